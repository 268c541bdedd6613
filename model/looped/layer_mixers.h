// The mixers of one layer: one for each distinct type that its loops use.
//
// Loops of the same type share its weights. Types of softmax attention whose
// parameters have the same names and shapes (full and window) share one set
// too: they differ in what a query sees, not in what is learned.

#ifndef LT2_MODEL_LOOPED_LAYER_MIXERS_H_
#define LT2_MODEL_LOOPED_LAYER_MIXERS_H_

#include <memory>
#include <string>
#include <vector>

#include "model/mixers/mixer.h"

namespace lt2::model {

struct LayerMixers {
  // In the order of first use.
  std::vector<std::string> types;
  std::vector<std::unique_ptr<Mixer>> mixers;
  // Whose weights mixer i uses: i for its own, else those of an earlier one.
  std::vector<size_t> owner;

  // Of layer `layer` of a pattern; parameters are unallocated.
  static absl::StatusOr<LayerMixers> Create(const ModelConfig& config,
                                            const LayerPattern& pattern,
                                            int64_t layer);

  // The mixer of a type, which must be one of them.
  Mixer* Find(absl::string_view type) const;
  // True if there is more than one set of weights.
  bool several_sets() const;
};

}  // namespace lt2::model

#endif  // LT2_MODEL_LOOPED_LAYER_MIXERS_H_
