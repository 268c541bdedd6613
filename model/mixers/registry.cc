// One line for each mixer. To add one: model/README.md, "Adding a mixer".

#include <functional>

#include "absl/strings/str_join.h"
#include "model/mixers/delta_net.h"
#include "model/mixers/dsa.h"
#include "model/mixers/linear_mixer.h"
#include "model/mixers/mamba2.h"
#include "model/mixers/mixer.h"
#include "model/mixers/nsa.h"
#include "model/mixers/softmax_attention.h"

namespace lt2::model {
namespace {

struct Entry {
  const char* name;
  std::function<std::unique_ptr<Mixer>(const ModelConfig&)> create;
};

const std::vector<Entry>& Registry() {
  static const std::vector<Entry>& entries = *new std::vector<Entry>{
      {"full",
       [](const ModelConfig& c) {
         return std::make_unique<SoftmaxAttention>(c);
       }},
      {"window",
       [](const ModelConfig& c) {
         return std::make_unique<SoftmaxAttention>(c);
       }},
      {"deltanet",
       [](const ModelConfig& c) {
         return std::make_unique<DeltaNet>(c, DeltaNet::kPlain);
       }},
      {"gdn",
       [](const ModelConfig& c) {
         return std::make_unique<DeltaNet>(c, DeltaNet::kGated);
       }},
      {"kda",
       [](const ModelConfig& c) {
         return std::make_unique<DeltaNet>(c, DeltaNet::kKda);
       }},
      {"deltaproduct",
       [](const ModelConfig& c) {
         return std::make_unique<DeltaNet>(c, DeltaNet::kProduct);
       }},
      {"linear_attention",
       [](const ModelConfig& c) {
         return std::make_unique<LinearMixer>(c, LinearMixer::kLinearAttention);
       }},
      {"retnet",
       [](const ModelConfig& c) {
         return std::make_unique<LinearMixer>(c, LinearMixer::kRetNet);
       }},
      {"mamba2",
       [](const ModelConfig& c) { return std::make_unique<Mamba2>(c); }},
      {"gla",
       [](const ModelConfig& c) {
         return std::make_unique<LinearMixer>(c, LinearMixer::kGla);
       }},
      {"hgrn2",
       [](const ModelConfig& c) {
         return std::make_unique<LinearMixer>(c, LinearMixer::kHgrn2);
       }},
      {"nsa", [](const ModelConfig& c) { return std::make_unique<Nsa>(c); }},
      {"dsa", [](const ModelConfig& c) { return std::make_unique<Dsa>(c); }},
  };
  return entries;
}

}  // namespace

std::vector<std::string> MixerNames() {
  std::vector<std::string> names;
  for (const Entry& entry : Registry()) names.push_back(entry.name);
  return names;
}

absl::StatusOr<std::unique_ptr<Mixer>> CreateMixer(absl::string_view name,
                                                   const ModelConfig& config) {
  for (const Entry& entry : Registry()) {
    if (name == entry.name) return entry.create(config);
  }
  return absl::NotFoundError(absl::StrCat(
      "no mixer '", name, "'; there are: ", absl::StrJoin(MixerNames(), ", ")));
}

int64_t WindowOf(absl::string_view name, const ModelConfig& config,
                 int64_t pattern_window) {
  if (name == "window") return config.default_sliding_window;
  if (name == "full") return pattern_window;
  return 0;
}

}  // namespace lt2::model
