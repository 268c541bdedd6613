#include "bench/scaling/green.h"

#include <cmath>
#include <vector>

#include "bench/scaling/operator_case.h"
#include "kernels/core/philox.h"
#include "model/looped/decode_graph.h"

namespace lt2::bench {
namespace {

constexpr int64_t kBatch = 2, kTokens = 150, kSteps = 3;

absl::StatusOr<std::vector<float>> Floats(Context& ctx, const Tensor& t) {
  if (t.dtype() == DType::kF32) return ctx.ToHost<float>(t);
  LT2_ASSIGN_OR_RETURN(const std::vector<BFloat16> values,
                       ctx.ToHost<BFloat16>(t));
  std::vector<float> floats;
  floats.reserve(values.size());
  for (BFloat16 x : values) floats.push_back(ToFloat(x));
  return floats;
}

// NaN anywhere is an error too.
absl::Status Compare(absl::string_view what, const std::vector<float>& actual,
                     const std::vector<float>& expected, double tolerance) {
  if (actual.size() != expected.size()) {
    return absl::InternalError(absl::StrCat(what, ": ", actual.size(),
                                            " values, not ", expected.size()));
  }
  double error = 0, norm = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double e = expected[i], d = actual[i] - e;
    error += d * d;
    norm += e * e;
  }
  const double relative = std::sqrt(error / norm);
  if (relative <= tolerance) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("not timed, as it is wrong: ", what, " has a relative ",
                   "error of ", relative, ", the limit is ", tolerance));
}

}  // namespace

absl::Status CheckOperator(Context& ctx, const model::ModelConfig& config,
                           const std::string& mixer, int threads) {
  if (!ctx.is_cuda()) return absl::OkStatus();
  ContextOptions options;
  options.threads = threads;
  LT2_ASSIGN_OR_RETURN(const auto cpu, Context::Create(Device::kCPU, options));
  std::vector<std::vector<float>> values[2];
  int side = 0;
  for (Context* c : {&ctx, cpu.get()}) {
    Noise noise(*c, /*rounded=*/true);
    LT2_ASSIGN_OR_RETURN(
        const auto made,
        OperatorCase::Create(*c, noise, config, mixer, kBatch, kTokens, 1));
    LT2_RETURN_IF_ERROR(made->Forward(0, /*keep=*/true));
    LT2_ASSIGN_OR_RETURN(std::vector<float> o, Floats(*c, made->kept()[0]));
    values[side].push_back(std::move(o));
    LT2_RETURN_IF_ERROR(made->ForwardBackward(0, /*keep=*/true));
    for (const Tensor& t : made->kept()) {
      LT2_ASSIGN_OR_RETURN(std::vector<float> v, Floats(*c, t));
      values[side].push_back(std::move(v));
    }
    ++side;
  }
  const char* const names[] = {"the output", "the output while recording", "dq",
                               "dk", "dv"};
  for (size_t i = 0; i < values[0].size(); ++i) {
    LT2_RETURN_IF_ERROR(
        Compare(names[i], values[0][i], values[1][i], i < 2 ? 0.05 : 0.1));
  }
  return absl::OkStatus();
}

absl::Status CheckModel(model::LoopedModel& model, bool chooses_tokens) {
  Context& ctx = model.ctx();
  const int64_t vocab = model.config().vocab_size;
  Philox rng(11, 0);
  std::vector<int32_t> ids(kBatch * kTokens);
  for (int32_t& id : ids) id = static_cast<int32_t>(rng.Below(vocab));
  auto tokens = [&](int64_t begin, int64_t end) {
    std::vector<int32_t> piece;
    for (int64_t b = 0; b < kBatch; ++b) {
      piece.insert(piece.end(), ids.begin() + b * kTokens + begin,
                   ids.begin() + b * kTokens + end);
    }
    return ctx.FromHost<int32_t>(piece, {kBatch, end - begin});
  };
  auto forward =
      [&](int64_t end,
          model::DecodeState* state) -> absl::StatusOr<std::vector<float>> {
    LT2_ASSIGN_OR_RETURN(const Tensor piece, tokens(0, end));
    model::Tape tape(ctx, model::Tape::kInference);
    model::ForwardOptions options;
    options.loops = 1;
    options.state = state;
    const model::Var logits = model.Logits(tape, piece, options);
    LT2_RETURN_IF_ERROR(tape.status());
    return ctx.ToHost<float>(logits.value());
  };
  LT2_ASSIGN_OR_RETURN(const std::vector<float> all, forward(kTokens, nullptr));
  LT2_ASSIGN_OR_RETURN(const auto state,
                       model::DecodeState::Create(model, kBatch, kTokens, 1));
  LT2_RETURN_IF_ERROR(forward(kTokens - kSteps, state.get()).status());
  LT2_ASSIGN_OR_RETURN(const auto decoder,
                       model::DecodeGraph::Create(model, state.get()));
  const double tolerance = model.activation() == DType::kF32 ? 2e-3
                           : chooses_tokens                  ? 0.3
                                                             : 0.15;
  for (int64_t t = kTokens - kSteps; t < kTokens; ++t) {
    LT2_ASSIGN_OR_RETURN(const Tensor step, tokens(t, t + 1));
    LT2_ASSIGN_OR_RETURN(const Tensor logits, decoder->Step(step));
    LT2_ASSIGN_OR_RETURN(const std::vector<float> actual,
                         ctx.ToHost<float>(logits));
    std::vector<float> expected;
    for (int64_t b = 0; b < kBatch; ++b) {
      const auto row = all.begin() + (b * kTokens + t) * vocab;
      expected.insert(expected.end(), row, row + vocab);
    }
    LT2_RETURN_IF_ERROR(
        Compare(absl::StrCat("decoding token ", t, " of ", kTokens), actual,
                expected, tolerance));
  }
  return absl::OkStatus();
}

}  // namespace lt2::bench
