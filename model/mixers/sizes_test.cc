// Parameters and states at the paper's sizes (paper.md 1.6 and 2.14).

#include <map>

#include "gtest/gtest.h"
#include "model/mixers/mixer.h"

namespace lt2::model {
namespace {

std::unique_ptr<Mixer> Make(const char* name, int64_t dim,
                            const nlohmann::json& changes) {
  nlohmann::json json = {{"vocab_size", 100}, {"dim", dim}, {"n_heads", 16}};
  json.update(changes);
  const auto config = ModelConfig::FromJson(json, "model");
  LT2_CHECK(config.ok(), config.status().ToString());
  auto mixer = CreateMixer(name, *config);
  LT2_CHECK(mixer.ok(), mixer.status().ToString());
  return *std::move(mixer);
}

const nlohmann::json kNone = nlohmann::json::object();
const nlohmann::json kGate = {{"use_attn_gate", true}};
const nlohmann::json kWideKda = {{"kda", {{"expand_v", 1.5}}}};
const nlohmann::json kReleased = {{"dsa", {{"mode", "lt2_released"}}}};

TEST(Sizes, ParametersAreThePapers) {
  struct Case {
    const char* name;
    nlohmann::json changes;
    double at_1024, at_2048;  // millions, two digits (rounded either way)
  };
  for (const Case& c : std::vector<Case>{
           {"full", kNone, 4.19, 16.78},
           {"full", kGate, 5.24, 20.97},
           {"gdn", kNone, 6.34, 25.26},
           {"deltanet", kNone, 4.22, 16.84},
           {"kda", kNone, 4.49, 17.89},
           {"kda", kWideKda, 5.72, 22.81},
           {"retnet", kNone, 8.39, 33.56},
           {"hgrn2", kNone, 4.20, 16.78},
           {"mamba2", kNone, 6.45, 25.49},
           {"nsa", kNone, 2.28, 9.01},
           {"dsa", kReleased, 19.53, 39.06},
           {"gla", kNone, 4.22, 16.83},
       }) {
    for (int64_t dim : {1024, 2048}) {
      EXPECT_NEAR(
          static_cast<double>(Make(c.name, dim, c.changes)->ParameterCount()) *
              1e-6,
          dim == 1024 ? c.at_1024 : c.at_2048, 0.0075)
          << c.name << " at " << dim << ", " << c.changes;
    }
  }
}

TEST(Sizes, StatesAreThePapers) {
  struct Case {
    const char* name;
    nlohmann::json changes;
    int64_t floats_1024, floats_2048;  // of the matrix state
    int64_t tails;                     // of the convolutions, in units of dim
    int64_t more_tails;
  };
  for (const Case& c : std::vector<Case>{
           {"gdn", kNone, 73728, 294912, 9, 0},
           {"deltanet", kNone, 65536, 262144, 9, 0},
           {"kda", kNone, 65536, 262144, 9, 0},
           {"retnet", kNone, 131072, 524288, 0, 0},
           {"mamba2", kNone, 131072, 262144, 6, 3 * 2 * 64},
           {"hgrn2", kNone, 65536, 262144, 0, 0},
           {"linear_attention", kNone, 65536, 262144, 0, 0},
       }) {
    for (int64_t dim : {1024, 2048}) {
      const int64_t floats = dim == 1024 ? c.floats_1024 : c.floats_2048;
      const auto mixer = Make(c.name, dim, c.changes);
      for (int64_t tokens : {1, 100000}) {
        EXPECT_EQ(mixer->StateBytes(tokens, 0, DType::kBF16),
                  4 * floats + 2 * (c.tails * dim + c.more_tails))
            << c.name << " at " << dim;
      }
      EXPECT_FALSE(mixer->Grows(0)) << c.name;
    }
  }
}

// Numbers that each token adds, in the long run.
TEST(Sizes, CachesGrowAsThePapersDo) {
  auto growth = [](const Mixer& mixer) {
    const int64_t n = 1 << 20;
    return static_cast<double>(mixer.StateBytes(2 * n, 0, DType::kBF16) -
                               mixer.StateBytes(n, 0, DType::kBF16)) /
           (2.0 * n);
  };
  EXPECT_EQ(growth(*Make("full", 1024, kNone)), 2 * 1024);
  EXPECT_EQ(growth(*Make("nsa", 1024, kNone)), 2 * 64 + 2 * 64 / 64.0);
  // The paper's 576 + 64, and the value, which is cached by itself.
  EXPECT_EQ(growth(*Make("dsa", 1024, kReleased)), 576 + 64 + 512);
  EXPECT_EQ(growth(*Make("dsa", 1024, kNone)), 2 * 1024 + 32);
}

TEST(Sizes, DecodingFlopsAreThePapers) {
  // Beyond the matrices that every token multiplies: 7 d_k d_v H and so on.
  auto core = [](const Mixer& mixer) {
    return mixer.Flops(2, 0) - 2 * mixer.Flops(1, 0);
  };
  // A recurrence costs the same for every token.
  for (const char* name : {"gdn", "kda", "retnet", "mamba2", "deltaproduct"}) {
    EXPECT_EQ(core(*Make(name, 2048, kNone)), 0) << name;
  }
  // Attention costs one more pair with each token: 4 head_dim heads.
  EXPECT_EQ(core(*Make("full", 2048, kNone)), 4 * 2048);
}

}  // namespace
}  // namespace lt2::model
