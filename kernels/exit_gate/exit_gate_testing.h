// Checks of ExitGate that its CPU and GPU tests share.

#ifndef LT2_KERNELS_EXIT_GATE_EXIT_GATE_TESTING_H_
#define LT2_KERNELS_EXIT_GATE_EXIT_GATE_TESTING_H_

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/core/testing.h"
#include "kernels/exit_gate/exit_gate.h"
#include "kernels/exit_gate/exit_gate_reference.h"

namespace lt2::kernels {

struct ExitGateOutcome {
  std::vector<double> probability, weight, step;
};

inline ExitGateOutcome RunExitGate(Context& ctx,
                                   const std::vector<double>& logits,
                                   int64_t loops, int64_t n, float threshold,
                                   ExitWeight kind) {
  ExitGateResults r;
  const Tensor z = testing::ToTensor(ctx, DType::kF32, {loops, n}, logits);
  LT2_CHECK_OK(ExitGate(ctx, {z, threshold, kind}, &r));
  return {testing::ToDoubles(ctx, r.probability),
          testing::ToDoubles(ctx, r.weight), testing::ToDoubles(ctx, r.step)};
}

// Sums of up to 64 numbers in [0, 1] of f32: 64 roundings of at most 2^-24.
inline constexpr double kExitGateRounding = 64.0 / (1 << 24);

// Against the definition, for both kinds of weight. `shifted` compares with the
// gates moved by one loop, which must be found out.
inline ::testing::AssertionResult ExitGateMatches(Context& ctx, int64_t loops,
                                                  int64_t n, double low,
                                                  double high, double threshold,
                                                  bool shifted = false) {
  const std::vector<double> logits =
      testing::Rounded(DType::kF32, testing::Uniform(7, loops * n, low, high));
  std::vector<double> defined = logits;
  if (shifted) {
    std::rotate(defined.begin(), defined.begin() + n, defined.end());
  }
  const ExitGateReferenceResults want =
      ExitGateReference(defined, loops, n, static_cast<float>(threshold));
  for (ExitWeight kind : {ExitWeight::kThreshold, ExitWeight::kWeighted}) {
    const ExitGateOutcome got =
        RunExitGate(ctx, logits, loops, n, static_cast<float>(threshold), kind);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t t = 0; t < loops; ++t) {
        const int64_t at = t * n + i;
        if (!(std::abs(got.probability[at] - want.probability[at]) <=
              kExitGateRounding)) {
          return ::testing::AssertionFailure()
                 << "probability of loop " << t << ", token " << i << ": "
                 << got.probability[at] << ", wanted " << want.probability[at];
        }
        const double weight = kind == ExitWeight::kWeighted
                                  ? got.probability[at]
                                  : (got.step[i] == double(t) ? 1 : 0);
        if (got.weight[at] != weight) {
          return ::testing::AssertionFailure()
                 << "weight of loop " << t << ", token " << i << ": "
                 << got.weight[at] << ", wanted " << weight;
        }
      }
      if (want.margin[i] > kExitGateRounding &&
          got.step[i] != double(want.step[i])) {
        return ::testing::AssertionFailure()
               << "token " << i << " leaves after loop " << got.step[i]
               << ", wanted " << want.step[i];
      }
    }
  }
  return ::testing::AssertionSuccess();
}

inline void CheckExitGate(Context& ctx) {
  for (int64_t loops : {1, 2, 3, 4, 8}) {
    for (int64_t n : {1, 3, 127, 128, 129, 1000}) {
      for (double threshold : {0.0, 0.3, 0.7, 1.0, 2.0}) {
        EXPECT_TRUE(ExitGateMatches(ctx, loops, n, -3, 3, threshold))
            << loops << " loops, " << n << " tokens, threshold " << threshold;
        EXPECT_TRUE(ExitGateMatches(ctx, loops, n, -200, 200, threshold))
            << loops << " loops, " << n << " tokens, threshold " << threshold
            << ", gates saturated";
      }
    }
  }
  EXPECT_FALSE(ExitGateMatches(ctx, 4, 100, -3, 3, 0.7, /*shifted=*/true));
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_EXIT_GATE_EXIT_GATE_TESTING_H_
