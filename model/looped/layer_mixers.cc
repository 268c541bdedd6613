#include "model/looped/layer_mixers.h"

#include <algorithm>

namespace lt2::model {
namespace {

bool IsSoftmax(absl::string_view type) {
  return type == "full" || type == "window" || type == "nsa" || type == "dsa";
}

bool SameParameters(Mixer& a, Mixer& b) {
  const std::vector<Parameter*> of_a = a.parameters(), of_b = b.parameters();
  // Every parameter of a mixer is declared.
  return std::equal(
      of_a.begin(), of_a.end(), of_b.begin(), of_b.end(),
      [](const Parameter* x, const Parameter* y) {
        return x->name == y->name &&
               static_cast<const DeclaredParameter*>(x)->shape ==
                   static_cast<const DeclaredParameter*>(y)->shape;
      });
}

}  // namespace

absl::StatusOr<LayerMixers> LayerMixers::Create(const ModelConfig& config,
                                                const LayerPattern& pattern,
                                                int64_t layer) {
  LayerMixers result;
  result.types = pattern.TypesOf(layer);
  for (size_t i = 0; i < result.types.size(); ++i) {
    auto mixer = CreateMixer(result.types[i], config);
    if (!mixer.ok()) return Annotate(mixer.status(), "layer_pattern");
    size_t owner = i;
    for (size_t j = 0; j < i && owner == i; ++j) {
      if (IsSoftmax(result.types[i]) && IsSoftmax(result.types[j]) &&
          SameParameters(**mixer, *result.mixers[j])) {
        owner = result.owner[j];
      }
    }
    result.owner.push_back(owner);
    result.mixers.push_back(*std::move(mixer));
  }
  return result;
}

Mixer* LayerMixers::Find(absl::string_view type) const {
  const auto found = std::find(types.begin(), types.end(), type);
  LT2_CHECK(found != types.end(), "the layer has no mixer ", type);
  return mixers[found - types.begin()].get();
}

bool LayerMixers::several_sets() const {
  // The first mixer always has its own.
  return std::any_of(owner.begin(), owner.end(),
                     [](size_t o) { return o != 0; });
}

}  // namespace lt2::model
