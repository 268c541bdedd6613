#include "model/config/config.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace lt2::model {
namespace {

using Types = std::vector<std::string>;
using Windows = std::vector<int64_t>;
using nlohmann::json;

// Of one loop.
absl::StatusOr<Types> ParseLayerPattern(const char* pattern, int64_t layers) {
  const auto parsed = LayerPattern::Parse(pattern, layers, 1);
  if (!parsed.ok()) return parsed.status();
  return parsed->Types(1, 0, 0);
}

std::string ErrorOf(const json& config) {
  return std::string(ModelConfig::FromJson(config, "model").status().message());
}

TEST(LayerPattern, Forms) {
  EXPECT_EQ(*ParseLayerPattern("gdn", 3), (Types{"gdn", "gdn", "gdn"}));
  EXPECT_EQ(*ParseLayerPattern("interleaved:2:1:gdn:full", 5),
            (Types{"gdn", "gdn", "full", "gdn", "gdn"}));
  EXPECT_EQ(*ParseLayerPattern("interleaved:4:0:gdn:full", 5), Types(5, "gdn"));
  EXPECT_EQ(*ParseLayerPattern("bookend:1:gdn:full", 4),
            (Types{"full", "gdn", "gdn", "full"}));
  EXPECT_EQ(*ParseLayerPattern("front:1:gdn:full", 3),
            (Types{"full", "gdn", "gdn"}));
  EXPECT_EQ(*ParseLayerPattern("back:2:gdn:full", 3),
            (Types{"gdn", "full", "full"}));
  EXPECT_EQ(*ParseLayerPattern("gdn, full", 2), (Types{"gdn", "full"}));
}

TEST(LayerPattern, ThePapersHybridSizes) {
  // 20 layers, 4 mixer : 1 full -> full at 4, 9, 14, 19 (paper.md 1.6).
  const Types types = *ParseLayerPattern("interleaved:4:1:gdn:full", 20);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(types[i] == "full", i % 5 == 4);
}

TEST(LayerPattern, Errors) {
  for (const char* bad :
       {"interleaved:1:gdn:full", "interleaved:0:0:gdn:full",
        "interleaved:x:1:gdn:full", "interleaved:1:1:gdn:gdn",
        "bookend:2:gdn:full", "gdn,full", "sideways:1:gdn:full"}) {
    EXPECT_FALSE(ParseLayerPattern(bad, 3).ok()) << bad;
  }
}

TEST(LayerPattern, PerLoop) {
  const auto p =
      LayerPattern::Parse("full -> gdn,full -> front:1:gdn:window", 2, 3);
  ASSERT_TRUE(p.ok()) << p.status();
  EXPECT_EQ(p->Types(3, 0, 0),
            (Types{"full", "full", "gdn", "full", "window", "gdn"}));
  EXPECT_EQ(p->Types(1, 0, 0), (Types{"full", "full"}));
  // Loops past the last part repeat it.
  EXPECT_EQ(p->Types(5, 0, 0),
            (Types{"full", "full", "gdn", "full", "window", "gdn", "window",
                   "gdn", "window", "gdn"}));
  EXPECT_EQ(p->TypesOf(0), (Types{"full", "gdn", "window"}));
  EXPECT_EQ(p->TypesOf(1), (Types{"full", "gdn"}));
  EXPECT_FALSE(p->random());
}

TEST(LayerPattern, RandomHasTheExactShareAndChangesWithTheStep) {
  const auto p = LayerPattern::Parse("random:4:1:gdn:full", 5, 4);
  ASSERT_TRUE(p.ok()) << p.status();
  ASSERT_TRUE(p->random());
  EXPECT_EQ(p->TypesOf(3), (Types{"gdn", "full"}));
  std::vector<int> total(20, 0);
  for (uint64_t step = 0; step < 200; ++step) {
    const Types types = p->Types(4, 1, step);
    EXPECT_EQ(std::count(types.begin(), types.end(), "full"), 4);
    EXPECT_EQ(types, p->Types(4, 1, step));
    for (size_t i = 0; i < types.size(); ++i) total[i] += types[i] == "full";
  }
  for (int n : total) EXPECT_NEAR(n, 40, 25);
  EXPECT_NE(p->Types(4, 1, 0), p->Types(4, 2, 0)) << "seed";
  const auto b = LayerPattern::Parse("bookend_random:1:1:gdn:full", 4, 2);
  const Types types = b->Types(2, 1, 7);
  for (int slot : {0, 3, 4, 7}) EXPECT_EQ(types[slot], "full");
  EXPECT_EQ(b->TypesOf(0), (Types{"full"}));
  EXPECT_EQ(b->TypesOf(1), (Types{"gdn", "full"}));
}

// The draw of layers and that of masks are independent.
TEST(LayerPattern, RandomLayersAndMasksAreTwoStreams) {
  const auto layers = LayerPattern::Parse("random:1:1:gdn:full", 8, 4);
  const auto masks = AttentionPattern::Parse("random:1:1", 8, 4, 64);
  const Types types = layers->Types(4, 3, 5);
  const Windows windows = masks->Windows(4, 3, 5);
  int equal = 0;
  for (size_t i = 0; i < types.size(); ++i) {
    equal += (types[i] == "full") == (windows[i] == 0);
  }
  EXPECT_LT(equal, 30);
  EXPECT_GT(equal, 2);
}

TEST(Patterns, ErrorsNameTheKeyAndTheNumbers) {
  auto layers = [](const char* pattern) {
    return ErrorOf({{"vocab_size", 8},
                    {"n_layers", 3},
                    {"loop_count", 2},
                    {"layer_pattern", pattern}});
  };
  EXPECT_EQ(layers("gdn->full->gdn"),
            "model.layer_pattern: pattern 'gdn->full->gdn' has 3 parts, "
            "loop_count is 2");
  EXPECT_EQ(layers("gdn->full,full"),
            "model.layer_pattern: pattern 'full,full' lists 2 layers, n_layers "
            "is 3");
  EXPECT_EQ(layers("bookend:2:gdn:full"),
            "model.layer_pattern: pattern 'bookend:2:gdn:full' needs 4 layers, "
            "n_layers is 3");
  EXPECT_EQ(layers("random:0:0:gdn:full"),
            "model.layer_pattern: pattern 'random:0:0:gdn:full' has an empty "
            "cycle");
  EXPECT_NE(layers("random:1:1:gdn").find("model.layer_pattern: "),
            std::string::npos);
  auto masks = [](const char* pattern) {
    return ErrorOf({{"vocab_size", 8},
                    {"n_layers", 3},
                    {"loop_count", 2},
                    {"attention_pattern", pattern}});
  };
  EXPECT_EQ(masks("full->SWA=4->full"),
            "model.attention_pattern: pattern 'full->SWA=4->full' has 3 parts, "
            "loop_count is 2");
  EXPECT_EQ(masks("16,None"),
            "model.attention_pattern: pattern '16,None' lists 2 layers, "
            "n_layers is 3");
  EXPECT_EQ(masks("bookend:2"),
            "model.attention_pattern: pattern 'bookend:2' needs 4 layers, "
            "n_layers is 3");
}

Windows Masks(const char* pattern, int64_t layers, int64_t loops) {
  auto p = AttentionPattern::Parse(pattern, layers, loops, 64);
  EXPECT_TRUE(p.ok()) << p.status();
  return p->Windows(loops, 0, 0);
}

TEST(AttentionPattern, StaticForms) {
  EXPECT_EQ(Masks("0:1", 3, 1), (Windows{0, 0, 0}));
  EXPECT_EQ(Masks("1:0", 2, 1), (Windows{64, 64}));
  EXPECT_EQ(Masks("2:1", 4, 1), (Windows{64, 64, 0, 64}));
  EXPECT_EQ(Masks("bookend:1", 3, 1), (Windows{0, 64, 0}));
  EXPECT_EQ(Masks("sandwich:1", 3, 1), (Windows{0, 64, 0}));
  EXPECT_EQ(Masks("16,None,8", 3, 1), (Windows{16, 0, 8}));
  EXPECT_EQ(Masks("2:1", 2, 2), (Windows{64, 64, 64, 64}));
}

TEST(AttentionPattern, PerLoop) {
  EXPECT_EQ(Masks("full->SWA=16->1:1", 2, 3), (Windows{0, 0, 16, 16, 64, 0}));
  auto p = AttentionPattern::Parse("full->SWA=16", 1, 2, 64);
  EXPECT_EQ(p->Windows(4, 0, 0), (Windows{0, 16, 16, 16}));
  EXPECT_FALSE(AttentionPattern::Parse("full->SWA=16", 1, 3, 64).ok());
}

TEST(AttentionPattern, RandomHasTheExactShareAndChangesWithTheStep) {
  auto p = AttentionPattern::Parse("random:4:1", 5, 4, 64);
  ASSERT_TRUE(p->random());
  Windows total(20, 0);
  for (uint64_t step = 0; step < 200; ++step) {
    const Windows w = p->Windows(4, 1, step);
    EXPECT_EQ(std::count(w.begin(), w.end(), 0), 4);
    EXPECT_EQ(w, p->Windows(4, 1, step));
    for (size_t i = 0; i < w.size(); ++i) total[i] += w[i] == 0;
  }
  for (int64_t n : total) EXPECT_NEAR(n, 40, 25);
  auto b = AttentionPattern::Parse("bookend_random:1:1", 4, 2, 64);
  const Windows w = b->Windows(2, 1, 7);
  for (int slot : {0, 3, 4, 7}) EXPECT_EQ(w[slot], 0);
}

TEST(AttentionPattern, Errors) {
  for (const char* bad : {"", "random:1", "1", "16,None", "SWA=0", "0:0",
                          "bookend:3", "full->", "None,0,1"}) {
    EXPECT_FALSE(AttentionPattern::Parse(bad, 3, 2, 64).ok()) << bad;
  }
}

TEST(ModelConfig, DefaultsAreThePapers) {
  const auto c = ModelConfig::FromJson(
      {{"vocab_size", 100}, {"dim", 1024}, {"n_heads", 16}}, "model");
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->ffn_hidden, 2816);
  EXPECT_EQ(c->gdn.key_dim, 768);
  EXPECT_EQ(c->gdn.d_k(), 48);
  EXPECT_EQ(c->gdn.d_v(), 96);
  EXPECT_EQ(c->gdn.value_dim(), 1536);
  EXPECT_EQ(c->deltanet.d_v(), 64);
  EXPECT_EQ(FfnHidden(2048, 1, 256), 5632);
  EXPECT_EQ(FfnHidden(256, 1, 256), 768);
}

TEST(ModelConfig, RoundTrips) {
  const auto c =
      ModelConfig::FromJson({{"vocab_size", 100},
                             {"layer_pattern", "interleaved:1:1:gdn:full"},
                             {"gdn", {{"allow_neg_eigval", true}}}},
                            "model");
  ASSERT_TRUE(c.ok()) << c.status();
  const auto again = ModelConfig::FromJson(c->ToJson(), "model");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->ToJson(), c->ToJson());
  EXPECT_TRUE(again->gdn.allow_neg_eigval);
}

// Configurations from before Ouro's keys are written as they were.
TEST(ModelConfig, OurosKeysRoundTripAndAreAbsentByDefault) {
  const json ouro = {{"sandwich_norm", true}, {"loop_norm", true},
                     {"exit_gate", true},     {"exit_rule", "threshold"},
                     {"exit_threshold", 0.7}, {"cache_sharing", "first"}};
  json all = {{"vocab_size", 8}};
  const auto plain = ModelConfig::FromJson(all, "model");
  ASSERT_TRUE(plain.ok()) << plain.status();
  for (const auto& [key, value] : ouro.items()) {
    EXPECT_FALSE(plain->ToJson().contains(key)) << key;
  }
  all.update(ouro);
  const auto config = ModelConfig::FromJson(all, "model");
  ASSERT_TRUE(config.ok()) << config.status();
  const json written = config->ToJson();
  for (const auto& [key, value] : ouro.items()) {
    EXPECT_EQ(written[key], value) << key;
  }
  EXPECT_EQ(ModelConfig::FromJson(written, "model")->ToJson(), written);
  EXPECT_NE(ErrorOf({{"vocab_size", 8}, {"cache_sharing", "middle"}})
                .find("model.cache_sharing: "),
            std::string::npos);
  EXPECT_EQ(ErrorOf({{"vocab_size", 8}, {"exit_rule", "weighted"}}),
            "model.exit_rule: 'weighted' needs the gate: set exit_gate to "
            "true");
}

TEST(MixerConfigs, DefaultsAreTheLayers) {
  const auto c = ModelConfig::FromJson(
      {{"vocab_size", 100}, {"dim", 1024}, {"n_heads", 16}}, "model");
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->kda.d_k(), 64);
  EXPECT_EQ(c->kda.value_dim(), 1024);
  EXPECT_EQ(c->deltaproduct.d_v(), 96);
  EXPECT_EQ(c->deltaproduct.num_householder, 2);
  EXPECT_TRUE(c->deltaproduct.allow_neg_eigval);
  EXPECT_EQ(c->linear_attention.d_v(), 64);
  EXPECT_EQ(c->retnet.value_dim(), 2048);
  EXPECT_EQ(c->gla.d_k(), 32);
  EXPECT_EQ(c->gla.value_dim(), 1024);
  EXPECT_EQ(c->hgrn2.d_k(), 64);
  EXPECT_EQ(c->mamba2.head_dim(), 128);
  EXPECT_EQ(c->mamba2.state_size, 64);
  EXPECT_EQ(c->nsa.n_kv_heads, 1);
  EXPECT_EQ(c->dsa.index_heads, 4);
  EXPECT_EQ(c->DeltaRuleOf("kda"), &c->kda);
  EXPECT_EQ(c->DeltaRuleOf("gla"), nullptr);
}

TEST(MixerConfigs, EveryKeyRoundTrips) {
  const json mixers = {
      {"kda", {{"n_heads", 2}, {"key_dim", 64}, {"expand_v", 1.5}}},
      {"deltaproduct",
       {{"num_householder", 3},
        {"use_forget_gate", false},
        {"use_output_gate", false},
        {"allow_neg_eigval", false}}},
      {"linear_attention", {{"feature_map", "identity"}}},
      {"gla", {{"gate_low_rank_dim", 8}, {"gate_logit_normalizer", 4}}},
      {"hgrn2", {{"n_heads", 8}}},
      {"mamba2",
       {{"n_heads", 8},
        {"inner_dim", 320},
        {"state_size", 32},
        {"conv_size", 3}}},
      {"nsa",
       {{"n_kv_heads", 2},
        {"block_size", 16},
        {"block_counts", 4},
        {"window_size", 32}}},
      {"dsa",
       {{"top_k", 7},
        {"index_heads", 2},
        {"kl_weight", 0.5},
        {"warmup_steps", 9}}}};
  json config = {{"vocab_size", 100}};
  config.update(mixers);
  for (const json& dsa : {mixers["dsa"], json{{"mode", "lt2_released"},
                                              {"top_k", 9},
                                              {"latent_dim", 48},
                                              {"latent_value_dim", 32}}}) {
    config["dsa"] = dsa;
    const auto c = ModelConfig::FromJson(config, "model");
    ASSERT_TRUE(c.ok()) << c.status();
    const json written = c->ToJson();
    for (const auto& [mixer, keys] : mixers.items()) {
      for (const auto& [key, value] : config[mixer].items()) {
        EXPECT_EQ(written[mixer][key], value) << mixer << "." << key;
      }
    }
    const auto again = ModelConfig::FromJson(written, "model");
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->ToJson(), written);
  }
}

TEST(MixerConfigs, ErrorsNameThePath) {
  struct Case {
    const char* mixer;
    json shape;
    const char* message;
  };
  for (const Case& c : std::vector<Case>{
           {"kda",
            {{"n_v_heads", 8}},
            "model.kda.n_v_heads: 8 is not n_heads 4"},
           {"deltaproduct",
            {{"num_householder", 0}},
            "model.deltaproduct.num_householder: "},
           {"retnet", {{"key_dim", 12}}, "model.retnet.key_dim: heads of 3"},
           {"gla", {{"expand_v", 0.01}}, "model.gla.expand_v: "},
           {"hgrn2", {{"n_heads", 3}}, "model.hgrn2.n_heads: 3 does not"},
           {"hgrn2", {{"key_dim", 64}}, "model.hgrn2.key_dim: unknown key"},
           {"mamba2", {{"inner_dim", 6}}, "model.mamba2.inner_dim: 6"},
           {"nsa", {{"n_kv_heads", 3}}, "model.nsa.n_kv_heads: 3 does not"},
           {"dsa", {{"mode", "dense"}}, "model.dsa.mode: "},
           {"dsa", {{"latent_dim", 64}}, "model.dsa.latent_dim: unknown key"},
           {"dsa",
            {{"mode", "lt2_released"},
             {"latent_dim", 8},
             {"latent_value_dim", 9}},
            "model.dsa.latent_value_dim: 9 is more than latent_dim 8"},
       }) {
    EXPECT_EQ(ErrorOf({{"vocab_size", 8}, {c.mixer, c.shape}}).find(c.message),
              0u)
        << ErrorOf({{"vocab_size", 8}, {c.mixer, c.shape}});
  }
}

TEST(ModelConfig, ErrorsNameThePath) {
  EXPECT_EQ(ErrorOf({{"vocab_size", 8}, {"loop_cuont", 4}}),
            "model.loop_cuont: unknown key; did you mean 'loop_count'?");
  EXPECT_EQ(ErrorOf({{"vocab_size", 8}, {"n_heads", 3}}),
            "model.n_heads: 3 does not divide dim 256");
  EXPECT_NE(ErrorOf({{"vocab_size", 8}, {"dim", "wide"}}).find("model.dim: "),
            std::string::npos);
  EXPECT_NE(ErrorOf({{"vocab_size", 8}, {"gdn", {{"key_dim", 7}}}})
                .find("model.gdn.key_dim: 7"),
            std::string::npos);
  EXPECT_NE(ErrorOf({{"vocab_size", 8}, {"layer_pattern", "front:9:a:b"}})
                .find("model.layer_pattern: "),
            std::string::npos);
  EXPECT_NE(ErrorOf(json::object({{"dim", 8}})).find("vocab_size"),
            std::string::npos);
}

}  // namespace
}  // namespace lt2::model
