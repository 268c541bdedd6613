#include "tools/description/folder.h"

#include "gtest/gtest.h"
#include "model/hf/hf_testing.h"
#include "tools/description/description.h"
#include "tools/description/load.h"

namespace lt2::tools {
namespace {

using ::lt2::model::OuroFolder;
using ::lt2::model::Rewrite;
using ::lt2::model::Stored;
using ::lt2::testing::CpuContext;

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(DescribeFolder, ListsTheTensorsOfAnOuro) {
  auto ctx = CpuContext();
  const std::string folder =
      OuroFolder(*ctx, "describe", model::TinyOuro(), /*shard_bytes=*/9000);
  ASSERT_TRUE(HasWeights(folder));
  const auto d = DescribeFolder(folder);
  ASSERT_TRUE(d.ok()) << d.status();
  EXPECT_TRUE(d->status.ok()) << d->status;
  // Two layers of eleven, embedding, norm, head and gate.
  EXPECT_EQ(d->json["tensors"].size(), 2 * 11 + 5u);
  EXPECT_TRUE(Has(d->text, "27 tensors in 11 files")) << d->text;
  EXPECT_TRUE(Has(d->text, "model.layers.1.self_attn.k_proj.weight"));
  EXPECT_TRUE(Has(d->text, "[16, 32]"));
  EXPECT_TRUE(Has(d->text, "model-00001-of-00011.safetensors"));
  EXPECT_TRUE(Has(d->text, "layers.1.attention.wk.weight"));
  EXPECT_TRUE(Has(d->text, "Complete"));
  const auto config = LoadModelConfig(folder, {"total_ut_steps=2"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->config.loop_count, 2);
  const auto description = Describe(*config, {});
  ASSERT_TRUE(description.ok()) << description.status();
  EXPECT_TRUE(Has(ToText(*description),
                  "sandwich norms, a norm after every loop, exit gate, "
                  "threshold 1\n"))
      << ToText(*description);
}

TEST(DescribeFolder, SaysWhatIsMissingWrongAndTooMuch) {
  auto ctx = CpuContext();
  const std::string folder = OuroFolder(*ctx, "describe_bad");
  Rewrite(*ctx, folder + "/model.safetensors", [](std::vector<Stored>& all) {
    for (Stored& s : all) {
      if (s.name == "model.norm.weight") s.name = "model.norms.weight";
      if (s.name == "model.early_exit_gate.weight") s.shape = {32};
    }
  });
  const auto d = DescribeFolder(folder);
  ASSERT_TRUE(d.ok()) << d.status();
  EXPECT_FALSE(d->status.ok());
  EXPECT_EQ(d->json["problems"].size(), 3u);
  EXPECT_TRUE(Has(d->text, "MISSING: norm.weight")) << d->text;
  EXPECT_TRUE(Has(d->text, "no tensor 'model.norm.weight'"));
  EXPECT_TRUE(Has(d->text, "'model.early_exit_gate.weight' F32[32]"));
  EXPECT_TRUE(Has(d->text, "not used"));
  EXPECT_FALSE(Has(d->text, "Complete"));
}

TEST(DescribeFolder, AFolderThatCannotBeReadIsDescribedByItsError) {
  auto ctx = CpuContext();
  const std::string folder = OuroFolder(*ctx, "describe_cut");
  const std::string file = folder + "/model.safetensors";
  model::WriteText(file, model::ReadText(file).substr(0, 3000));
  const auto d = DescribeFolder(folder);
  ASSERT_TRUE(d.ok()) << d.status();
  EXPECT_FALSE(d->status.ok());
  EXPECT_TRUE(Has(d->text, "copy the file again")) << d->text;
}

TEST(DescribeFolder, ListsTheTensorsOfAShippedCheckpoint) {
  const std::string folder = "testdata/checkpoints/a5/gdn-neg-T4";
  if (!HasWeights(folder)) GTEST_SKIP() << folder << " is not there";
  const auto d = DescribeFolder(folder);
  ASSERT_TRUE(d.ok()) << d.status();
  EXPECT_TRUE(d->status.ok()) << d->status;
  EXPECT_TRUE(Has(d->text, "layers.0.attention.q_proj.weight")) << d->text;
}

}  // namespace
}  // namespace lt2::tools
