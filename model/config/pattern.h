// Which mixer each layer is, and what each attention layer sees.
//
// layer_pattern (paper.md 1.7; TYPE is a mixer's name):
//   "TYPE"                          every layer
//   "interleaved:N:M:TYPE1:TYPE2"   cycles of N TYPE1 then M TYPE2: layer i is
//                                   TYPE1 iff (i mod (N+M)) < N
//   "bookend:K:TYPE1:TYPE2"         K layers of TYPE2 at each end
//   "front:K:TYPE1:TYPE2"           the first K layers are TYPE2
//   "back:K:TYPE1:TYPE2"            the last K layers are TYPE2
//   "TYPE,TYPE,..."                 one name for each layer
//   "P->P->..."                     one of the forms above for each loop, as
//                                   many as loop_count
//   "random:N:M:TYPE1:TYPE2"        floor(T L M/(N+M)) of the T L (loop, layer)
//                                   slots are TYPE2, drawn anew for every step
//   "bookend_random:N:M:TYPE1:TYPE2"
//                                   the same, first and last layer of each loop
//                                   TYPE2
//
// attention_pattern: the mask of the layers of type "full"; others ignore it.
//   "W:F"                    cycles of W window layers then F full ones
//   "bookend:K"/"sandwich:K" K full layers at each end, window between
//   "2048,None,..."          one window for each layer, None = full
//   "P->P->..."              one pattern for each loop: "full", "SWA=n" or any
//                            of the forms above
//   "random:W:F"             floor(T L F/(W+F)) full slots of the T L (loop,
//                            layer) slots, drawn anew for every step
//   "bookend_random:W:F"     the same, first and last layer of each loop full
// A window of w keys includes the token itself.
//
// Loops past the last part of "P->P", at inference, repeat that part. A random
// pattern is a function of (seed, step), one draw for layers and masks each.

#ifndef LT2_MODEL_CONFIG_PATTERN_H_
#define LT2_MODEL_CONFIG_PATTERN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/core/status.h"

namespace lt2::model {

// Some slots of loops * n_layers, drawn by (seed, step): `share` of every
// `share + others`, rounded down; with `bookend` the first and last layer of
// each loop are among them, and more than that share if need be.
struct RandomSlots {
  int64_t others = 0, share = 0;
  bool bookend = false;
  uint32_t stream = 0;  // of the generator

  std::vector<bool> Draw(int64_t n_layers, int64_t loops, uint64_t seed,
                         uint64_t step) const;
};

class LayerPattern {
 public:
  static absl::StatusOr<LayerPattern> Parse(absl::string_view pattern,
                                            int64_t n_layers,
                                            int64_t loop_count);

  // True if Types depends on the step.
  bool random() const { return random_; }

  // Mixer of each slot loop * n_layers + layer, for any number of loops.
  std::vector<std::string> Types(int64_t loops, uint64_t seed,
                                 uint64_t step) const;
  // The distinct mixers that a layer can have in its loops, in order of use.
  std::vector<std::string> TypesOf(int64_t layer) const;

 private:
  int64_t n_layers_ = 0;
  std::vector<std::vector<std::string>> per_loop_;  // static forms
  bool random_ = false;
  RandomSlots slots_;
  std::string type1_, type2_;
};

class AttentionPattern {
 public:
  static absl::StatusOr<AttentionPattern> Parse(absl::string_view pattern,
                                                int64_t n_layers,
                                                int64_t loop_count,
                                                int64_t default_window);

  // True if Windows depends on the step.
  bool random() const { return random_; }

  // Window of each slot loop * n_layers + layer, 0 = full, for any number of
  // loops.
  std::vector<int64_t> Windows(int64_t loops, uint64_t seed,
                               uint64_t step) const;

 private:
  int64_t n_layers_ = 0;
  int64_t default_window_ = 0;
  std::vector<std::vector<int64_t>> per_loop_;  // static forms
  bool random_ = false;
  RandomSlots slots_;
};

}  // namespace lt2::model

#endif  // LT2_MODEL_CONFIG_PATTERN_H_
