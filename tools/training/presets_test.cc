// Every run of every preset of //evals:curriculum is one that //tools:train
// accepts: evals/ does not know its configuration, so the test is here.

#include <dirent.h>

#include <set>

#include "evals/curricula/preset.h"
#include "gtest/gtest.h"
#include "model/looped/accounting.h"
#include "tools/training/train_config.h"

namespace lt2::tools {
namespace {

constexpr char kFolder[] = "evals/curricula/presets";

TEST(Presets, EveryRunIsAValidTraining) {
  DIR* folder = opendir(kFolder);
  ASSERT_NE(folder, nullptr);
  int64_t runs = 0;
  while (const dirent* entry = readdir(folder)) {
    const std::string file = entry->d_name;
    if (file.find(".json") == std::string::npos) continue;
    const auto preset = evals::ReadPreset(
        kFolder, file.substr(0, file.find(".json")), nlohmann::json::object());
    ASSERT_TRUE(preset.ok()) << preset.status();
    for (const evals::PlannedRun& run : preset->runs) {
      if (run.seed != 1) continue;
      const auto config = ReadTrainConfig(run.config, "");
      ASSERT_TRUE(config.ok())
          << file << " " << run.name << ": " << config.status();
      const auto cost =
          model::Cost(config->model, 64, /*loops=*/0, DType::kBF16);
      EXPECT_TRUE(cost.ok())
          << file << " " << run.name << ": " << cost.status();
      if (!preset->stage_numbers.empty()) {
        EXPECT_EQ(preset->stage_numbers.size(), config->stages.size()) << file;
      }
      // Heads that the bf16 kernels of a GPU have.
      for (const std::string& type : config->model.LayerTypes()) {
        const model::DeltaRuleConfig* c = config->model.DeltaRuleOf(type);
        if (c == nullptr || file == "smoke.json") continue;
        EXPECT_EQ(c->d_k() % 16, 0) << file << " " << run.name;
        EXPECT_EQ(c->d_v() % 16, 0) << file << " " << run.name;
      }
      ++runs;
    }
  }
  closedir(folder);
  EXPECT_GT(runs, 100);
}

}  // namespace
}  // namespace lt2::tools
