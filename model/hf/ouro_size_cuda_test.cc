// Ouro-1.4B at its full size with random weights: that the model of its
// config.json fits, prefills and decodes, and that its caches have the size and
// its decoding the results that they should. Values of the real weights are not
// needed for that.

#include <chrono>
#include <cmath>
#include <cstdio>
#include <thread>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "model/hf/ouro_config.h"
#include "model/looped/accounting.h"
#include "model/looped/looped_model.h"

namespace lt2::model {
namespace {

constexpr int64_t kPrompt = 4096, kDecoded = 16;
constexpr int64_t kVocab = 49152;
constexpr double kGiB = 1024.0 * 1024 * 1024;

// The keys of ByteDance/Ouro-1.4B's config.json that say what is computed.
nlohmann::json Ouro14() {
  return {{"model_type", "ouro"},
          {"architectures", {"OuroForCausalLM"}},
          {"hidden_size", 2048},
          {"num_hidden_layers", 24},
          {"num_attention_heads", 16},
          {"num_key_value_heads", 16},
          {"head_dim", 128},
          {"intermediate_size", 5632},
          {"vocab_size", kVocab},
          {"hidden_act", "silu"},
          {"rms_norm_eps", 1e-6},
          {"rope_theta", 1000000},
          {"rope_scaling", nullptr},
          {"max_position_embeddings", 65536},
          {"tie_word_embeddings", false},
          {"use_sliding_window", false},
          {"total_ut_steps", 4},
          {"early_exit_threshold", 1.0},
          {"torch_dtype", "bfloat16"}};
}

class Stopwatch {
 public:
  explicit Stopwatch(Context& ctx) : ctx_(ctx) { Restart(); }
  void Restart() {
    LT2_CHECK_OK(ctx_.Synchronize());
    start_ = std::chrono::steady_clock::now();
  }
  double Seconds() {
    LT2_CHECK_OK(ctx_.Synchronize());
    return std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                         start_)
        .count();
  }

 private:
  Context& ctx_;
  std::chrono::steady_clock::time_point start_;
};

absl::StatusOr<Tensor> Logits(LoopedModel& model, const Tensor& ids,
                              DecodeState* state) {
  Tape tape(model.ctx(), Tape::kInference);
  ForwardOptions options;
  options.state = state;
  const Var logits = model.Logits(tape, ids, options);
  if (!tape.ok()) return tape.status();
  return logits.value();
}

int64_t NotFinite(const std::vector<float>& values) {
  int64_t n = 0;
  for (float v : values) n += !std::isfinite(v);
  return n;
}

TEST(OuroSizeCuda, TheConfigurationHasOneAndAHalfBillionParameters) {
  const auto config = ReadOuroConfig(Ouro14(), "config.json");
  ASSERT_TRUE(config.ok()) << config.status();
  const auto cost = Cost(config->model, kPrompt, 0, DType::kBF16);
  ASSERT_TRUE(cost.ok());
  // Embedding and head, 24 layers of attention, FFN and four norms, the last
  // norm, the gate.
  EXPECT_EQ(cost->parameters,
            2 * kVocab * 2048 +
                24 * (4 * 2048 * 2048 + 3 * 2048 * 5632 + 4 * 2048) + 2048 +
                2049);
  // 96 caches, 768 KiB a token.
  EXPECT_EQ(cost->state_bytes, kPrompt * 768 * 1024);
}

// How far the logits of tokens through the cache are from those of the whole
// sequence at once (relative RMS, the worst token), and how far logits of
// different tokens are from each other (the closest pair).
struct Agreement {
  double cached = 0, other = 1e9;
};

// Prefill and decoding with random weights; what is not finite or has not the
// right size fails.
void RunAtFullSize(DType activation, int64_t prompt, Agreement* agreement) {
  ContextOptions options;
  options.threads =
      std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  auto created = Context::Create(Device::kCUDA, options);
  ASSERT_TRUE(created.ok()) << created.status();
  Context& ctx = **created;
  if (ctx.info().memory_bytes < int64_t{24} << 30) {
    GTEST_SKIP() << "needs 24 GiB of GPU memory: this test checked nothing";
  }
  const auto config = ReadOuroConfig(Ouro14(), "config.json");
  ASSERT_TRUE(config.ok()) << config.status();
  Stopwatch watch(ctx);
  auto model = LoopedModel::Create(ctx, config->model, 1, /*training=*/false,
                                   activation);
  ASSERT_TRUE(model.ok()) << model.status();
  std::printf("%s: weights drawn in %.1f s, %.2f GiB\n", Name(activation),
              watch.Seconds(), double(ctx.arena().stats().in_use) / kGiB);

  const int64_t length = prompt + kDecoded;
  auto state = DecodeState::Create(**model, 1, length);
  ASSERT_TRUE(state.ok()) << state.status();
  const int64_t width = static_cast<int64_t>(ByteSize(activation));
  EXPECT_EQ((*state)->bytes(), length * 384 * 1024 * width);

  std::vector<int32_t> ids;
  for (int64_t i = 0; i < length; ++i) {
    ids.push_back(static_cast<int32_t>(i * 7919 % kVocab));
  }
  auto piece = [&](int64_t begin, int64_t end) {
    return *ctx.FromHost<int32_t>(
        absl::MakeConstSpan(ids).subspan(begin, end - begin), {1, end - begin});
  };
  watch.Restart();
  {
    const auto logits = Logits(**model, piece(0, prompt), state->get());
    ASSERT_TRUE(logits.ok()) << logits.status();
    std::printf("prefill of %ld tokens: %.3f s (the first, with set-up)\n",
                static_cast<long>(prompt), watch.Seconds());
    const auto host = ctx.ToHost<float>(*logits);
    ASSERT_TRUE(host.ok()) << host.status();
    EXPECT_EQ(NotFinite(*host), 0);
  }
  watch.Restart();
  std::vector<std::vector<float>> decoded;
  for (int64_t i = prompt; i < length; ++i) {
    const auto logits = Logits(**model, piece(i, i + 1), state->get());
    ASSERT_TRUE(logits.ok()) << logits.status();
    auto host = ctx.ToHost<float>(*logits);
    ASSERT_TRUE(host.ok()) << host.status();
    EXPECT_EQ(NotFinite(*host), 0);
    decoded.push_back(*std::move(host));
  }
  std::printf("decoding, operator by operator: %.1f ms a token\n",
              watch.Seconds() * 1e3 / kDecoded);
  EXPECT_EQ((*state)->position(), length);

  watch.Restart();
  const auto whole = Logits(**model, piece(0, length), nullptr);
  ASSERT_TRUE(whole.ok()) << whole.status();
  std::printf("whole sequence of %ld tokens: %.3f s\n",
              static_cast<long>(length), watch.Seconds());
  const auto last = ctx.ToHost<float>(whole->Slice(prompt, length));
  ASSERT_TRUE(last.ok()) << last.status();
  for (int64_t i = 0; i < kDecoded; ++i) {
    auto row = [&](int64_t r) {
      return std::vector<double>(last->begin() + r * kVocab,
                                 last->begin() + (r + 1) * kVocab);
    };
    const std::vector<double> mine(decoded[i].begin(), decoded[i].end());
    agreement->cached =
        std::max(agreement->cached, testing::RmsRatio(mine, row(i)));
    agreement->other = std::min(
        agreement->other, testing::RmsRatio(mine, row((i + 1) % kDecoded)));
  }
  std::printf(
      "cached against whole: relative RMS of logits %.2e; of another token "
      "%.2e\n",
      agreement->cached, agreement->other);
  std::printf("peak memory %.2f GiB, of which cache %.2f GiB\n",
              double(ctx.arena().stats().peak) / kGiB,
              double((*state)->bytes()) / kGiB);
}

// Small Ouros of every rule, and a hybrid without convolutions, through a state
// in f32: the GPU's logits against the CPU's.
TEST(OuroSizeCuda, SmallOurosComputeWhatTheCpuComputes) {
  LT2_SKIP_WITHOUT_CUDA();
  nlohmann::json tiny = Ouro14();
  tiny.update({{"hidden_size", 64},
               {"num_hidden_layers", 2},
               {"num_attention_heads", 2},
               {"num_key_value_heads", 1},
               {"head_dim", 32},
               {"intermediate_size", 96},
               {"vocab_size", 101}});
  const nlohmann::json kinds[] = {
      nlohmann::json::object(),
      {{"exit_rule", "weighted"}},
      {{"exit_threshold", 0.6}},
      {{"cache_sharing", "last"}},
      {{"cache_sharing", "first"}},
      {{"layer_pattern", "gdn,full"}, {"cache_sharing", "last"}}};
  constexpr int64_t kSeq = 40, kFirst = 33;
  for (const nlohmann::json& kind : kinds) {
    SCOPED_TRACE(kind.dump());
    const auto config = ReadOuroConfig(tiny, "config.json", kind);
    ASSERT_TRUE(config.ok()) << config.status();
    std::vector<std::vector<double>> logits;
    for (const Device device : {Device::kCPU, Device::kCUDA}) {
      auto ctx = Context::Create(device);
      ASSERT_TRUE(ctx.ok()) << ctx.status();
      auto model = LoopedModel::Create(**ctx, config->model, 1,
                                       /*training=*/false, DType::kF32);
      ASSERT_TRUE(model.ok()) << model.status();
      auto state = DecodeState::Create(**model, 1, kSeq);
      ASSERT_TRUE(state.ok()) << state.status();
      std::vector<double> all;
      for (int64_t at = 0; at < kSeq; at += at == 0 ? kFirst : 1) {
        std::vector<double> ids;
        for (int64_t i = at; i < (at == 0 ? kFirst : at + 1); ++i) {
          ids.push_back(static_cast<double>(i * 7 % 101));
        }
        const auto piece = Logits(
            **model,
            testing::ToTensor(**ctx, DType::kI32,
                              {1, static_cast<int64_t>(ids.size())}, ids),
            state->get());
        ASSERT_TRUE(piece.ok()) << piece.status();
        const auto values = testing::ToDoubles(**ctx, *piece);
        all.insert(all.end(), values.begin(), values.end());
      }
      logits.push_back(std::move(all));
    }
    const double error = testing::RmsRatio(logits[1], logits[0]);
    std::printf("%s: relative RMS of the GPU's logits %.1e\n",
                kind.dump().c_str(), error);
    // Two f32 engines through eight blocks.
    EXPECT_LT(error, 1e-4);
  }
}

// In bf16, as it is used. Random weights carry roundings through 192 blocks
// without bound, so the agreement is printed and not judged.
TEST(OuroSizeCuda, PrefillsAndDecodesAtFullSize) {
  LT2_SKIP_WITHOUT_CUDA();
  Agreement agreement;
  RunAtFullSize(DType::kBF16, kPrompt, &agreement);
}

// In f32 a token through the cache must be far closer to itself than to others.
TEST(OuroSizeCuda, TheCacheDoesNotChangeTheLogits) {
  LT2_SKIP_WITHOUT_CUDA();
  Agreement agreement;
  RunAtFullSize(DType::kF32, 512, &agreement);
  if (IsSkipped() || HasFailure()) return;
  EXPECT_LT(agreement.cached, 0.1 * agreement.other);
}

}  // namespace
}  // namespace lt2::model
