// What the CPU and the CUDA tests share: inputs, and running the operator.

#ifndef LT2_KERNELS_CROSS_ENTROPY_CROSS_ENTROPY_TESTING_H_
#define LT2_KERNELS_CROSS_ENTROPY_CROSS_ENTROPY_TESTING_H_

#include <limits>

#include "kernels/core/philox.h"
#include "kernels/core/testing.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/cross_entropy/cross_entropy_reference.h"

namespace lt2::kernels {

struct CrossEntropyInputs {
  int64_t n, vocab;
  std::vector<double> logits;
  std::vector<int32_t> targets;
};

// Logits uniform in [-range, range), every fifth row ignored.
inline CrossEntropyInputs MakeCrossEntropyInputs(int64_t n, int64_t vocab,
                                                 double range = 5) {
  CrossEntropyInputs in;
  in.n = n;
  in.vocab = vocab;
  in.logits = testing::Rounded(
      DType::kF32, testing::Uniform(n + vocab, n * vocab, -range, range));
  Philox rng(n, vocab);
  for (int64_t i = 0; i < n; ++i) {
    in.targets.push_back(i % 5 == 4 ? kIgnoreTarget
                                    : static_cast<int32_t>(rng.Below(vocab)));
  }
  return in;
}

struct CrossEntropyOutputs {
  std::vector<double> loss, lse, argmax, mean, count, gradient;
};

inline CrossEntropyOutputs RunCrossEntropy(Context& ctx,
                                           const CrossEntropyInputs& in,
                                           DType out = DType::kF32) {
  const Tensor logits =
      testing::ToTensor(ctx, DType::kF32, {in.n, in.vocab}, in.logits);
  const Tensor targets = *ctx.FromHost<int32_t>(in.targets, {in.n});
  CrossEntropyResults results;
  absl::Status status = CrossEntropy(ctx, {logits, targets}, &results);
  EXPECT_TRUE(status.ok()) << status;
  Tensor dlogits;
  status = CrossEntropyGrad(
      ctx, {logits, targets, results.lse, results.count, out}, &dlogits);
  EXPECT_TRUE(status.ok()) << status;
  CrossEntropyOutputs outputs;
  outputs.loss = testing::ToDoubles(ctx, results.loss);
  outputs.lse = testing::ToDoubles(ctx, results.lse);
  outputs.argmax = testing::ToDoubles(ctx, results.argmax);
  outputs.mean = testing::ToDoubles(ctx, results.mean);
  outputs.count = testing::ToDoubles(ctx, results.count);
  outputs.gradient = testing::ToDoubles(ctx, dlogits);
  return outputs;
}

// Everything that RunCrossEntropy returns against the reference.
inline void ExpectCrossEntropyContract(const CrossEntropyOutputs& actual,
                                       const CrossEntropyInputs& in,
                                       DType out = DType::kF32) {
  SCOPED_TRACE(absl::StrCat("n ", in.n, " vocab ", in.vocab, " ", Name(out)));
  using testing::MeetsContract;
  const auto fp64 =
      CrossEntropyReference<double>(in.logits, in.targets, in.vocab);
  const auto plain =
      CrossEntropyReference<float>(in.logits, in.targets, in.vocab);
  EXPECT_TRUE(MeetsContract(actual.loss, plain.loss, fp64.loss, DType::kF32));
  EXPECT_TRUE(MeetsContract(actual.lse, plain.lse, fp64.lse, DType::kF32));
  EXPECT_EQ(actual.argmax, fp64.argmax);
  EXPECT_EQ(actual.count, std::vector<double>{fp64.count});
  // The mean of the losses given, summed in double: one rounding to float.
  double sum = 0;
  for (double loss : actual.loss) sum += loss;
  EXPECT_TRUE(testing::Near(actual.mean,
                            {fp64.count == 0 ? 0.0 : sum / fp64.count}, 6e-8));
  EXPECT_TRUE(MeetsContract(
      actual.gradient,
      testing::Rounded(out, CrossEntropyGradReference<float>(
                                in.logits, in.targets, in.vocab)),
      CrossEntropyGradReference<double>(in.logits, in.targets, in.vocab), out));
}

// Rows with masked (-infinity), huge and tied logits; the expected values are
// written out. vocab must be at least 6.
inline void ExpectExtremeRows(Context& ctx, int64_t vocab) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  CrossEntropyInputs in;
  in.n = 4;
  in.vocab = vocab;
  in.logits.assign(4 * vocab, -kInfinity);
  in.targets = {2, 3, 1, kIgnoreTarget};
  in.logits[2] = 7;                                    // one possible token
  in.logits[vocab + 3] = in.logits[vocab + 5] = 1e30;  // two, huge
  in.logits[2 * vocab] = in.logits[2 * vocab + 1] = -1e30;
  in.logits[3 * vocab + 4] = in.logits[3 * vocab + 1] = 0;
  const auto out = RunCrossEntropy(ctx, in);
  const double ln2 = 0.6931471805599453;
  EXPECT_EQ(out.lse[0], 7);
  EXPECT_EQ(out.loss[0], 0);
  // 1e30 + ln 2 rounds to 1e30.
  EXPECT_EQ(out.loss[1], 0);
  EXPECT_EQ(out.loss[2], 0);
  EXPECT_FLOAT_EQ(static_cast<float>(out.lse[3]), static_cast<float>(ln2));
  EXPECT_EQ(out.loss[3], 0);
  EXPECT_EQ(out.argmax, (std::vector<double>{2, 3, 0, 1}));
  EXPECT_EQ(out.count[0], 3);
  for (int64_t v = 0; v < vocab; ++v) {
    EXPECT_EQ(out.gradient[v], 0) << v;
    EXPECT_EQ(out.gradient[3 * vocab + v], 0) << v;
  }
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_CROSS_ENTROPY_CROSS_ENTROPY_TESTING_H_
