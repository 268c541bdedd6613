#include "bench/scaling/grid.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "model/mixers/mixer.h"

namespace lt2::bench {

std::string NameOf(Phase phase) {
  switch (phase) {
    case Phase::kForward:
      return "forward";
    case Phase::kForwardBackward:
      return "forward_backward";
    case Phase::kPrefill:
      return "prefill";
    case Phase::kDecode:
      return "decode";
    case Phase::kTrain:
      break;
  }
  return "train";
}

std::string Cell::Key() const {
  return absl::StrCat(mixer, "/", length, "/", loops, "/", NameOf(phase), "/",
                      batch);
}

bool Tier::Has(const Cell& cell) const {
  auto has = [](const auto& list, const auto& value) {
    return list.empty() ||
           std::find(list.begin(), list.end(), value) != list.end();
  };
  return has(phases, cell.phase) && has(lengths, cell.length) &&
         has(loops, cell.loops) && has(batches, cell.batch);
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
    preset.ceiling_n = 1024;
    preset.ceiling_bytes = int64_t{1} << 27;
    preset.lengths = {256, 512, 1024, 2048, 4096};
    preset.model.update({{"dim", 64},
                         {"n_heads", 2},
                         {"multiple_of", 64},
                         {"default_sliding_window", 128}});
    preset.row_seconds = 0.3;
    preset.max_samples = 25;
    preset.call_seconds = 1.5;
    preset.total_seconds = 165;
    return preset;
  }
  // Two layers of the paper's width of 1.3 B (paper.md 1.6), so that hybrids
  // have one of each and long prompts fit.
  const nlohmann::json wide = {{"dim", 2048},
                               {"n_heads", 16},
                               {"n_layers", 2},
                               {"default_sliding_window", 2048}};
  if (name == "paper") {
    preset.device = Device::kCUDA;
    preset.mixers = {"full", "window", "gdn",      "kda",
                     "dsa",  "nsa",    "full+gdn", "gdn+dsa"};
    for (int64_t k = 1; k <= 256; k *= 2) preset.lengths.push_back(k * 1024);
    preset.batches = {1, 2, 4, 8};
    preset.model.update(wide);
    const std::vector<int64_t> most = {2048, 4096, 8192, 16384, 32768, 65536};
    preset.tiers = {
        {{Phase::kForward, Phase::kForwardBackward}, most, {}, {1}},
        {{Phase::kPrefill, Phase::kDecode}, most, {1, 4}, {1}},
        {{Phase::kTrain}, {2048, 8192, 32768}, {1, 4}, {1}},
        {{Phase::kPrefill, Phase::kDecode}, {8192, 32768}, {4}, {8}},
        {{Phase::kPrefill, Phase::kDecode}, {131072, 262144}, {4}, {1}},
        {{}, {}, {}, {1}}};
    preset.row_seconds = 0.2;
    preset.max_samples = 31;
    preset.call_seconds = 2;
    preset.total_seconds = 570;
    return preset;
  }
  if (name == "peers") {
    preset.device = Device::kCUDA;
    preset.mixers = {"full", "window", "gdn", "deltanet", "kda", "nsa"};
    preset.lengths = {2048, 8192, 32768};
    preset.loops = {4};
    preset.model.update(wide);
    preset.tiers = {{{Phase::kForward, Phase::kForwardBackward}}};
    preset.row_seconds = 0.2;
    preset.max_samples = 31;
    preset.call_seconds = 2;
    preset.total_seconds = 120;
    return preset;
  }
  if (name == "tiny") {
    preset.ceiling_n = 64;
    preset.ceiling_bytes = 1 << 20;
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
  return InvalidArgument("preset '", name,
                         "' is not one of cpu, paper, peers, tiny");
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
  auto add = [&](bool operators) {
    for (const std::string& mixer : preset.mixers) {
      if (operators && mixer.find('+') != std::string::npos) continue;
      for (int64_t batch : preset.batches) {
        for (int64_t loops : preset.loops) {
          if (operators && loops != preset.loops[0]) break;
          for (int64_t length : preset.lengths) {
            for (Phase phase : kPhases) {
              if (OfOperator(phase) != operators) continue;
              cells.push_back(
                  {mixer, length, operators ? 1 : loops, batch, phase});
            }
          }
        }
      }
    }
  };
  add(true);
  add(false);
  auto tier = [&](const Cell& cell) {
    size_t i = 0;
    while (i < preset.tiers.size() && !preset.tiers[i].Has(cell)) ++i;
    return i;
  };
  std::stable_sort(
      cells.begin(), cells.end(),
      [&](const Cell& a, const Cell& b) { return tier(a) < tier(b); });
  return cells;
}

}  // namespace lt2::bench
