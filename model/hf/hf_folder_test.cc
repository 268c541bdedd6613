// Folders in every layout: what is loaded is what was stored, an Ouro computes
// its formula, a hybrid takes over what it should.

#include "model/hf/hf_folder.h"

#include "gtest/gtest.h"
#include "model/hf/hf_testing.h"
#include "model/looped/ouro_formula.h"

namespace lt2::model {
namespace {

using testing::CpuContext;
using testing::Near;
using testing::ToDoubles;

constexpr int64_t kSeq = 17;

std::vector<int32_t> Ids() {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < kSeq; ++i) ids.push_back((i * 7 + 3) % 31);
  return ids;
}

std::vector<double> LogitsOf(LoopedModel& model) {
  Context& ctx = model.ctx();
  Tape tape(ctx, Tape::kInference);
  const Var logits = model.Logits(
      tape, *ctx.FromHost<int32_t>(Ids(), {1, kSeq}), ForwardOptions());
  LT2_CHECK(tape.ok(), tape.status().ToString());
  return ToDoubles(ctx, logits.value());
}

std::string Temporary(const std::string& name) {
  return ::testing::TempDir() + "/" + name;
}

// The values of the folder's own tensors, by our names, in fp64.
OuroFormula::Weights StoredWeights(Context& ctx, const std::string& folder) {
  const auto plan = PlanModelFolder(ctx, folder, nlohmann::json::object());
  LT2_CHECK(plan.ok(), plan.status().ToString());
  OuroFormula::Weights weights;
  for (const PlannedParameter& p : plan->parameters) {
    weights[p.declared.name] =
        ToDoubles(ctx, *plan->tensors.Load(ctx, p.tensor, DType::kF32));
  }
  return weights;
}

// The formula is evaluated in fp64 from the tensors of the folder.
TEST(HfFolder, AnOuroComputesItsFormula) {
  auto ctx = CpuContext();
  for (const bool tied : {false, true}) {
    for (const int64_t shard_bytes : {0, 9000}) {
      nlohmann::json config = TinyOuro();
      config["tie_word_embeddings"] = tied;
      config["early_exit_threshold"] = 0.6;
      const std::string folder =
          OuroFolder(*ctx, "formula", config, shard_bytes);
      auto loaded = LoadModelFolder(*ctx, folder);
      ASSERT_TRUE(loaded.ok()) << loaded.status();
      const ModelConfig& ours = loaded->model->config();
      OuroFormula formula(ours, StoredWeights(*ctx, folder));
      const auto tokens = formula.Run(Ids(), kSeq);
      std::vector<double> want;
      for (const auto& token : tokens) {
        const auto& logits = token.Threshold(0.6);
        want.insert(want.end(), logits.begin(), logits.end());
      }
      // As in looped/ouro_test.
      EXPECT_TRUE(Near(LogitsOf(*loaded->model), want, 5e-6));
    }
  }
}

TEST(HfFolder, ConfigurationsOfOuroAreRead) {
  auto read = [](const nlohmann::json& changes) {
    nlohmann::json json = TinyOuro();
    json.update(changes);
    const auto config = ReadOuroConfig(json, "config.json");
    LT2_CHECK(config.ok(), config.status().ToString());
    return *config;
  };
  const OuroConfig plain = read(nlohmann::json::object());
  EXPECT_EQ(plain.model.loop_count, 3);
  EXPECT_EQ(plain.model.n_kv_heads, 2);
  EXPECT_EQ(plain.model.ffn_hidden, 48);
  EXPECT_EQ(plain.model.exit_rule, ModelConfig::ExitRule::kThreshold);
  EXPECT_EQ(plain.model.exit_threshold, 1);
  EXPECT_EQ(plain.loops, 0);
  const auto never = read({{"early_exit_threshold", nullptr}});
  EXPECT_EQ(never.model.exit_rule, ModelConfig::ExitRule::kLast);
  EXPECT_EQ(read({{"early_exit_step", 0}, {"head_dim", 8}}).loops, 1);
  nlohmann::json newer = {
      {"rope_theta", nullptr},
      {"rope_parameters", {{"rope_theta", 5000.0}, {"rope_type", "default"}}}};
  EXPECT_EQ(read(newer).model.rope_theta, 5000);
  const auto sliding = read({{"use_sliding_window", true},
                             {"sliding_window", 9},
                             {"max_window_layers", 1}});
  EXPECT_EQ(sliding.model.attention_pattern, "None,9");
  const auto hybrid = read(
      {{"lt2", {{"layer_pattern", "gdn,full"}, {"cache_sharing", "last"}}}});
  EXPECT_EQ(hybrid.model.layer_pattern, "gdn,full");
  EXPECT_EQ(hybrid.model.gdn.conv_size, 1);
  EXPECT_EQ(hybrid.model.gdn.d_v(), hybrid.model.gdn.d_k());
  EXPECT_EQ(hybrid.model.cache_sharing, ModelConfig::CacheSharing::kLast);
}

TEST(HfFolder, ConfigurationsAreWrittenAsTheyAreRead) {
  const nlohmann::json changes[] = {
      nlohmann::json::object(),
      {{"tie_word_embeddings", true}, {"early_exit_threshold", nullptr}},
      {{"use_sliding_window", true},
       {"sliding_window", 9},
       {"layer_types", {"full_attention", "sliding_attention"}}},
      {{"lt2",
        {{"layer_pattern", "gdn,full"},
         {"gdn", {{"conv_size", 4}}},
         {"exit_rule", "weighted"},
         {"cache_sharing", "first"}}}}};
  for (const nlohmann::json& change : changes) {
    nlohmann::json json = TinyOuro();
    json.update(change);
    const auto config = ReadOuroConfig(json, "config.json");
    ASSERT_TRUE(config.ok()) << config.status();
    const auto written = WriteOuroConfig(config->model, DType::kF32);
    ASSERT_TRUE(written.ok()) << written.status();
    const auto again = ReadOuroConfig(*written, "config.json");
    ASSERT_TRUE(again.ok()) << again.status();
    nlohmann::json a = config->model.ToJson(), b = again->model.ToJson();
    // A threshold that no rule uses is not kept.
    a.erase("exit_threshold");
    b.erase("exit_threshold");
    if (b["attention_pattern"] == "None,None") b["attention_pattern"] = "0:1";
    EXPECT_EQ(a, b) << change.dump();
  }
}

TEST(HfFolder, ExportsRoundTripInBothLayoutsAndTypes) {
  auto ctx = CpuContext();
  const auto model = RandomOuro(*ctx, TinyOuro());
  const auto want = LogitsOf(*model);
  for (const FolderLayout layout : {FolderLayout::kOuro, FolderLayout::kOurs}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      for (const int64_t shard_bytes : {int64_t{0}, int64_t{9000}}) {
        ExportOptions options;
        options.layout = layout;
        options.dtype = dtype;
        options.shard_bytes = shard_bytes;
        options.config = {{"name", "kept"}};
        const std::string folder = Temporary("round_trip");
        ASSERT_TRUE(ExportModelFolder(*model, folder, options).ok());
        const auto loaded = LoadModelFolder(*ctx, folder);
        ASSERT_TRUE(loaded.ok()) << loaded.status();
        EXPECT_EQ(loaded->config_json.contains("name"),
                  layout == FolderLayout::kOurs);
        for (size_t i = 0; i < model->parameters().size(); ++i) {
          EXPECT_EQ(testing::Rounded(
                        dtype, ToDoubles(*ctx, model->parameters()[i]->value)),
                    ToDoubles(*ctx, loaded->model->parameters()[i]->value))
              << model->parameters()[i]->name;
        }
        if (dtype == DType::kF32) {
          EXPECT_EQ(LogitsOf(*loaded->model), want);
        }
      }
    }
  }
}

TEST(HfFolder, ModelsWithoutAnOuroLayoutSayWhy) {
  auto ctx = CpuContext();
  const auto config = ModelConfig::FromJson(
      {{"vocab_size", 31}, {"dim", 32}, {"n_layers", 2}}, "model");
  const auto model = LoopedModel::Create(*ctx, *config, 1, false);
  ASSERT_TRUE(model.ok());
  ExportOptions options;
  options.layout = FolderLayout::kOuro;
  const absl::Status refused =
      ExportModelFolder(**model, Temporary("refused"), options);
  EXPECT_NE(std::string(refused.message()).find("sandwich_norm is false"),
            std::string::npos)
      << refused;
  // In ours it goes.
  options.layout = FolderLayout::kOurs;
  options.dtype = DType::kF32;
  ASSERT_TRUE(ExportModelFolder(**model, Temporary("plain"), options).ok());
  const auto loaded = LoadModelFolder(*ctx, Temporary("plain"));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(LogitsOf(*loaded->model), LogitsOf(**model));
}

TEST(HfFolder, LoopsAndKeysCanBeSetWhenLoading) {
  auto ctx = CpuContext();
  const std::string folder = OuroFolder(*ctx, "options");
  LoadOptions one;
  one.loops = 1;
  auto fewer = LoadModelFolder(*ctx, folder, one);
  ASSERT_TRUE(fewer.ok()) << fewer.status();
  EditConfig(folder, [](auto& c) { c["early_exit_step"] = 0; });
  auto fixed = LoadModelFolder(*ctx, folder);
  ASSERT_TRUE(fixed.ok()) << fixed.status();
  EXPECT_EQ(LogitsOf(*fewer->model), LogitsOf(*fixed->model));
  LoadOptions weighted;
  weighted.model = {{"exit_rule", "weighted"}};
  auto mean = LoadModelFolder(*ctx, folder, weighted);
  ASSERT_TRUE(mean.ok()) << mean.status();
  EXPECT_EQ(mean->model->config().exit_rule, ModelConfig::ExitRule::kWeighted);
  EXPECT_EQ(mean->model->default_loops(), 1);
}

const Parameter& Find(const LoopedModel& model, const std::string& name) {
  for (const Parameter* p : model.parameters()) {
    if (p->name == name) return *p;
  }
  LT2_CHECK(false, "no parameter ", name);
  std::abort();
}

TEST(HfFolder, AHybridTakesOverTheProjectionsOfAttention) {
  auto ctx = CpuContext();
  const std::string folder = OuroFolder(*ctx, "teacher");
  const auto teacher = LoadModelFolder(*ctx, folder);
  ASSERT_TRUE(teacher.ok()) << teacher.status();
  LoadOptions options;
  options.model = {{"layer_pattern", "gdn,full"}};
  const auto student = LoadModelFolder(*ctx, folder, options);
  ASSERT_TRUE(student.ok()) << student.status();
  ASSERT_EQ(student->notes.size(), 1u);
  auto values = [&](const auto& loaded, const std::string& name) {
    return ToDoubles(*ctx, Find(*loaded->model, name).value);
  };
  const std::string a = "layers.0.attention.";
  EXPECT_EQ(values(student, a + "q_proj.weight"),
            values(teacher, a + "wq.weight"));
  EXPECT_EQ(values(student, a + "o_proj.weight"),
            values(teacher, a + "wo.weight"));
  // Two heads of keys and values for four of queries: each twice.
  for (const auto& [mine, theirs] : {std::pair("k_proj.weight", "wk.weight"),
                                     std::pair("v_proj.weight", "wv.weight")}) {
    const auto got = values(student, a + mine),
               from = values(teacher, a + theirs);
    ASSERT_EQ(got.size(), 2 * from.size());
    constexpr size_t kHead = 8 * 32;
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i], from[i / kHead / 2 * kHead + i % kHead]) << mine << i;
    }
  }
  for (const double tap : values(student, a + "q_conv1d.weight")) {
    EXPECT_EQ(tap, 1);
  }
  // The other layer, the FFN and the norms stay.
  for (const char* name :
       {"layers.1.attention.wk.weight", "layers.0.feed_forward.w2.weight",
        "layers.0.attention_norm_2.weight", "exit_gate.weight"}) {
    EXPECT_EQ(values(student, name), values(teacher, name)) << name;
  }
  // It runs, and the same seed makes the same student.
  const auto logits = LogitsOf(*student->model);
  for (double v : logits) ASSERT_TRUE(std::isfinite(v));
  EXPECT_EQ(LogitsOf(*LoadModelFolder(*ctx, folder, options)->model), logits);

  // The student, stored, declares itself; all of it is loaded then.
  for (const FolderLayout layout : {FolderLayout::kOuro, FolderLayout::kOurs}) {
    ExportOptions out;
    out.layout = layout;
    out.dtype = DType::kF32;
    ASSERT_TRUE(
        ExportModelFolder(*student->model, Temporary("student"), out).ok());
    const auto again = LoadModelFolder(*ctx, Temporary("student"));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_TRUE(again->notes.empty());
    EXPECT_EQ(LogitsOf(*again->model), logits);
  }
}

// The declaration in config.json itself, with a convolution of four taps, and a
// layer of our own layout that changes its mixer.
TEST(HfFolder, HybridsMayBeDeclaredInTheFolder) {
  auto ctx = CpuContext();
  const std::string folder = OuroFolder(*ctx, "declared");
  LoadOptions options;
  options.model = {{"layer_pattern", "gdn,full"}};
  const auto by_options = LoadModelFolder(*ctx, folder, options);
  ASSERT_TRUE(by_options.ok()) << by_options.status();
  EditConfig(folder, [](auto& c) {
    c["lt2"] = {{"layer_pattern", "gdn,full"}, {"gdn", {{"conv_size", 4}}}};
  });
  const auto declared = LoadModelFolder(*ctx, folder);
  ASSERT_TRUE(declared.ok()) << declared.status();
  // Three zeros and a one are no convolution either.
  EXPECT_TRUE(
      Near(LogitsOf(*declared->model), LogitsOf(*by_options->model), 1e-6));

  ExportOptions out;
  out.dtype = DType::kF32;
  const auto teacher = RandomOuro(*ctx, TinyOuro());
  ASSERT_TRUE(ExportModelFolder(*teacher, Temporary("our_teacher"), out).ok());
  options.model["gdn"] = {{"key_dim", 32}, {"expand_v", 1}, {"conv_size", 1}};
  const auto ours = LoadModelFolder(*ctx, Temporary("our_teacher"), options);
  ASSERT_TRUE(ours.ok()) << ours.status();
  EXPECT_EQ(LogitsOf(*ours->model), LogitsOf(*by_options->model));
}

// With some of the student's own tensors the others must be there.
TEST(HfFolder, AHybridThatIsNotWholeIsAnError) {
  auto ctx = CpuContext();
  const std::string folder = OuroFolder(*ctx, "half_student");
  LoadOptions options;
  options.model = {{"layer_pattern", "gdn,full"}};
  const auto student = LoadModelFolder(*ctx, folder, options);
  ASSERT_TRUE(student.ok()) << student.status();
  ExportOptions out;
  out.layout = FolderLayout::kOuro;
  out.dtype = DType::kF32;
  ASSERT_TRUE(ExportModelFolder(*student->model, folder, out).ok());
  Rewrite(*ctx, folder + "/model.safetensors", [](auto& all) {
    all.erase(std::remove_if(all.begin(), all.end(),
                             [](const Stored& s) {
                               return s.name ==
                                      "model.layers.0.self_attn.A_log";
                             }),
              all.end());
  });
  const auto status = LoadModelFolder(*ctx, folder).status();
  EXPECT_NE(std::string(status.message())
                .find("no tensor 'model.layers.0.self_attn.A_log'"),
            std::string::npos)
      << status;
}

}  // namespace
}  // namespace lt2::model
