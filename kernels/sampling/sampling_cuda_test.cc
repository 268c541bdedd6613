#include <limits>

#include "gtest/gtest.h"
#include "kernels/sampling/sampling.h"
#include "kernels/sampling/sampling_testing.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CpuContext;
using ::lt2::testing::CudaContext;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(SamplingCuda, SameIdsAsOnTheCpu) {
  LT2_SKIP_WITHOUT_CUDA();
  auto cpu = CpuContext();
  auto cuda = CudaContext();
  for (const int64_t vocab : {1, 2, 31, 33, 511, 512, 513, 5003, 131072}) {
    const int64_t batch = vocab > 10000 ? 4 : 40;
    auto logits = testing::Uniform(vocab, batch * vocab, -8, 8);
    for (size_t i = 0; i < logits.size(); ++i) {
      if (i % 3 == 0) logits[i] = std::round(logits[i]);  // ties
      if (i % 17 == 1) logits[i] = -kInfinity;
    }
    if (vocab == 1) logits.assign(batch, -0.0);
    if (vocab == 2) logits.assign(batch * 2, 0.5);
    for (SamplingSettings s : ManySettings()) {
      s.step = vocab;
      for (int64_t b = 0; b < batch; ++b) {
        s.streams.push_back(static_cast<int32_t>(7 * b + 3));
      }
      EXPECT_EQ(*Draw(*cuda, logits, batch, s), *Draw(*cpu, logits, batch, s))
          << "vocab " << vocab << " " << s.ToString();
    }
  }
}

TEST(SamplingCuda, CountsAsTheCpu) {
  LT2_SKIP_WITHOUT_CUDA();
  auto cpu = CpuContext();
  auto cuda = CudaContext();
  const int64_t batch = 3, n = 1237, vocab = 101;
  std::vector<int32_t> ids;
  for (const double x : testing::Uniform(1, batch * n, -3, 105)) {
    ids.push_back(static_cast<int32_t>(std::floor(x)));  // some are outside
  }
  auto count = [&](Context& ctx) {
    Tensor counts = *ctx.Zeros(DType::kI32, {batch, vocab});
    const Tensor all = *ctx.FromHost<int32_t>(ids, {batch, n});
    LT2_CHECK_OK(CountTokens(ctx, all, &counts));
    LT2_CHECK_OK(CountTokens(ctx, all, &counts));
    return *ctx.ToHost<int32_t>(counts);
  };
  EXPECT_EQ(count(*cuda), count(*cpu));
}

TEST(SamplingCuda, DrawsFollowTheReferenceDistribution) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const std::vector<double> logits = {-1, 1, 0.25, -4, 1, 1.5, -1, 0.5, -2, 0};
  for (const SamplingSettings& s : ManySettings()) {
    EXPECT_TRUE(FollowDistribution(DrawMany(*ctx, logits, 20000, s),
                                   Expected(logits, s)))
        << s.ToString();
  }
  EXPECT_FALSE(FollowDistribution(DrawMany(*ctx, logits, 20000, {1.1f}),
                                  SamplingReference(logits, 1, 0, 1)))
      << "the test would not notice a wrong temperature";
}

TEST(SamplingCuda, UnusableRowsGiveMinusOneAndLeaveOthersAlone) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const int64_t vocab = 700;
  std::vector<double> logits = testing::Uniform(1, 5 * vocab);
  logits[vocab + 699] = std::nan("");
  logits[2 * vocab] = kInfinity;
  for (int64_t v = 0; v < vocab; ++v) logits[3 * vocab + v] = -kInfinity;
  for (const SamplingSettings& s : ManySettings()) {
    const auto ids = *Draw(*ctx, logits, 5, s);
    EXPECT_GE(ids[0], 0) << s.ToString();
    EXPECT_EQ(ids[1], -1) << s.ToString();
    EXPECT_EQ(ids[2], -1) << s.ToString();
    EXPECT_EQ(ids[3], -1) << s.ToString();
    EXPECT_GE(ids[4], 0) << s.ToString();
  }
}

}  // namespace
}  // namespace lt2::kernels
