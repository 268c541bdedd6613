#include "model/config/config.h"

#include "gtest/gtest.h"

namespace lt2::model {
namespace {

using Types = std::vector<std::string>;
using Windows = std::vector<int64_t>;
using nlohmann::json;

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
