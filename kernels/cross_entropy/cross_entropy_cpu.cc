#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/core/vector_math.h"
#include "kernels/cross_entropy/cross_entropy_internal.h"

namespace lt2::kernels {
namespace {

// The largest element that is not NaN, -infinity if there is none. Partial
// maxima are independent so that the compiler vectorises.
float RowMax(const float* x, int64_t n) {
  constexpr int kLanes = 16;
  float lanes[kLanes];
  std::fill_n(lanes, kLanes, -std::numeric_limits<float>::infinity());
  int64_t v = 0;
  for (; v + kLanes <= n; v += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      lanes[l] = x[v + l] > lanes[l] ? x[v + l] : lanes[l];
    }
  }
  float max = *std::max_element(lanes, lanes + kLanes);
  for (; v < n; ++v) max = x[v] > max ? x[v] : max;
  return max;
}

absl::Status CheckTargets(const Tensor& targets, int64_t vocab) {
  const int32_t* t = targets.data<int32_t>();
  for (int64_t i = 0; i < targets.numel(); ++i) {
    if (t[i] != kIgnoreTarget && (t[i] < 0 || t[i] >= vocab)) {
      return InvalidArgument("cross entropy: target ", t[i], " of row ", i,
                             " is neither in [0, ", vocab, ") nor ",
                             kIgnoreTarget);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CrossEntropyCpu(Context& ctx, const CrossEntropyArgs& args,
                             CrossEntropyResults* results) {
  const int64_t n = args.logits.dim(0), vocab = args.logits.dim(1);
  LT2_RETURN_IF_ERROR(CheckTargets(args.targets, vocab));
  const float* logits = args.logits.data<float>();
  const int32_t* targets = args.targets.data<int32_t>();
  float* loss = results->loss.data<float>();
  float* lse = results->lse.data<float>();
  int32_t* argmax = results->argmax.data<int32_t>();
  const int64_t grain = std::max<int64_t>(1, 8192 / vocab);
  ctx.ParallelFor(n, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* row = logits + i * vocab;
      const float max = RowMax(row, vocab);
      // A maximum of -infinity would make the difference NaN.
      const float shift = std::isinf(max) && max < 0 ? 0.0f : max;
      lse[i] = shift + std::log(LaneSum(vocab, [&](int64_t v) {
                 return Exp(row[v] - shift);
               }));
      const float* best = std::find(row, row + vocab, max);
      argmax[i] = best == row + vocab ? 0 : static_cast<int32_t>(best - row);
      loss[i] = targets[i] == kIgnoreTarget ? 0.0f : lse[i] - row[targets[i]];
    }
  });
  double sum = 0;
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {
    sum += loss[i];
    count += targets[i] != kIgnoreTarget;
  }
  results->mean.data<float>()[0] =
      count == 0 ? 0.0f : static_cast<float>(sum / count);
  results->count.data<float>()[0] = static_cast<float>(count);
  return absl::OkStatus();
}

absl::Status CrossEntropyGradCpu(Context& ctx, const CrossEntropyGradArgs& args,
                                 Tensor* dlogits) {
  const int64_t n = args.logits.dim(0), vocab = args.logits.dim(1);
  LT2_RETURN_IF_ERROR(CheckTargets(args.targets, vocab));
  const float* logits = args.logits.data<float>();
  const int32_t* targets = args.targets.data<int32_t>();
  const float* lse = args.lse.data<float>();
  const float scale = 1.0f / std::max(1.0f, args.count.data<float>()[0]);
  float* gradient = dlogits->data<float>();
  const int64_t grain = std::max<int64_t>(1, 8192 / vocab);
  ctx.ParallelFor(n, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* row = logits + i * vocab;
      float* out = gradient + i * vocab;
      if (targets[i] == kIgnoreTarget) {
        std::fill_n(out, vocab, 0.0f);
        continue;
      }
      // The target's probability is taken before out, which may be the logits,
      // is written.
      const float shift = lse[i];
      const float target = Exp(row[targets[i]] - shift);
      for (int64_t v = 0; v < vocab; ++v) out[v] = scale * Exp(row[v] - shift);
      out[targets[i]] = scale * (target - 1.0f);
    }
  });
  return absl::OkStatus();
}

}  // namespace lt2::kernels
