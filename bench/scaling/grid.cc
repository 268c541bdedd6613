#include "bench/scaling/grid.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "model/mixers/mixer.h"

namespace lt2::bench {

std::string NameOf(Phase phase) {
  switch (phase) {
    case Phase::kTrain:
      return "train";
    case Phase::kPrefill:
      return "prefill";
    case Phase::kDecode:
      break;
  }
  return "decode";
}

std::string Cell::Key() const {
  return absl::StrCat(mixer, "/", length, "/", loops, "/", NameOf(phase), "/",
                      batch);
}

absl::StatusOr<Preset> MakePreset(absl::string_view name) {
  Preset preset;
  preset.name = std::string(name);
  preset.mixers = {"full", "window",   "gdn",    "deltanet",
                   "kda",  "full+gdn", "gdn+dsa"};
  preset.loops = {1, 2, 4, 8};
  preset.batches = {1};
  // A small vocabulary: the blocks are what is measured.
  preset.model = {{"vocab_size", 64}, {"n_layers", 2}};
  if (name == "cpu") {
    preset.lengths = {256, 512, 1024, 2048, 4096};
    preset.model.update({{"dim", 64},
                         {"n_heads", 2},
                         {"multiple_of", 64},
                         {"default_sliding_window", 128}});
    preset.row_seconds = 0.4;
    preset.max_samples = 25;
    preset.call_seconds = 1.5;
    preset.total_seconds = 165;
    return preset;
  }
  if (name == "paper") {
    preset.device = Device::kCUDA;
    for (int64_t k = 1; k <= 256; k *= 2) preset.lengths.push_back(k * 1024);
    preset.batches = {1, 8};
    preset.model.update({{"dim", 512},
                         {"n_heads", 4},
                         {"n_layers", 4},
                         {"default_sliding_window", 2048}});
    preset.row_seconds = 0.25;
    preset.max_samples = 51;
    preset.call_seconds = 4;
    preset.total_seconds = 570;
    return preset;
  }
  if (name == "tiny") {
    preset.mixers = {"full", "gdn", "gdn+dsa"};
    preset.lengths = {8, 16, 32};
    preset.loops = {1, 2};
    preset.model.update({{"dim", 32}, {"n_heads", 2}, {"multiple_of", 16}});
    preset.row_seconds = 0.01;
    preset.max_samples = 7;
    preset.call_seconds = 60;
    preset.total_seconds = 60;
    return preset;
  }
  return InvalidArgument("preset '", name, "' is not one of cpu, paper, tiny");
}

absl::StatusOr<model::ModelConfig> ConfigOf(const Preset& preset,
                                            const std::string& mixer) {
  const std::vector<std::string> known = model::MixerNames();
  const std::vector<std::string> parts = absl::StrSplit(mixer, '+');
  bool ok = parts.size() <= 2;
  for (const std::string& part : parts) {
    ok = ok && std::find(known.begin(), known.end(), part) != known.end();
  }
  if (!ok) {
    return InvalidArgument("mixer '", mixer,
                           "' is not one of, or two joined by '+' of, ",
                           absl::StrJoin(known, ", "));
  }
  nlohmann::json json = preset.model;
  json["layer_pattern"] =
      parts.size() == 1
          ? mixer
          : absl::StrCat("interleaved:1:1:", parts[0], ":", parts[1]);
  json["loop_count"] = preset.loops.back();
  return model::ModelConfig::FromJson(json, "model");
}

std::vector<Cell> CellsOf(const Preset& preset) {
  std::vector<Cell> cells;
  for (const std::string& mixer : preset.mixers) {
    for (int64_t batch : preset.batches) {
      for (int64_t loops : preset.loops) {
        for (int64_t length : preset.lengths) {
          for (Phase phase : kPhases) {
            cells.push_back({mixer, length, loops, batch, phase});
          }
        }
      }
    }
  }
  return cells;
}

}  // namespace lt2::bench
