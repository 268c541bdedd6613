// What the CPU and the CUDA tests share: drawing, and comparing the draws with
// a distribution.

#ifndef LT2_KERNELS_SAMPLING_SAMPLING_TESTING_H_
#define LT2_KERNELS_SAMPLING_SAMPLING_TESTING_H_

#include <cmath>

#include "kernels/core/testing.h"
#include "kernels/sampling/sampling.h"
#include "kernels/sampling/sampling_reference.h"

namespace lt2::kernels {

struct SamplingSettings {
  float temperature = 1;
  int top_k = 0;
  float top_p = 1;
  uint64_t seed = 1;
  int64_t step = 0;
  float min_p = 0;
  float penalty = 1;
  // Of one row, repeated for all: tokens seen so often, the others not.
  std::vector<int> counts = {};
  std::vector<int32_t> streams = {};

  std::string ToString() const {
    return absl::StrCat("temperature ", temperature, " top_k ", top_k,
                        " top_p ", top_p, " seed ", seed, " step ", step,
                        " min_p ", min_p, " penalty ", penalty);
  }
};

// What a draw should follow.
inline std::vector<double> Expected(std::vector<double> logits,
                                    const SamplingSettings& s) {
  if (s.penalty != 1) {
    std::vector<int> counts = s.counts;
    counts.resize(logits.size(), 0);
    logits = PenaltyReference(logits, counts, s.penalty);
  }
  return SamplingReference(logits, s.temperature, s.top_k, s.top_p, s.min_p);
}

// Settings that between them take every path.
inline std::vector<SamplingSettings> ManySettings() {
  return {{},
          {0.5f},
          {3.0f},
          {1, 3},
          {1, 0, 0.8f},
          {0.7f, 5, 0.9f},
          {2.0f, 4, 0.5f},
          {1, 1},
          {0},
          {1, 0, 1e-6f},
          {1e-30f},
          {1, 1000000, 0.999f},
          {1, 0, 1, 1, 0, 0.2f},
          {2, 0, 0.9f, 1, 0, 0.5f},
          {1, 6, 1, 1, 0, 1},
          {1, 0, 1, 1, 0, 0, 1.5f, {0, 2, 1, 1}},
          {0.8f, 7, 0.95f, 1, 0, 0.1f, 2, {1, 1, 0, 0, 0, 3}},
          {0, 0, 1, 1, 0, 0, 3, {0, 0, 0, 0, 0, 1}},
          {1, 0, 1, 1, 0, 0, 0.5f, {1, 0, 0, 1}}};
}

inline absl::StatusOr<std::vector<int32_t>> Draw(
    Context& ctx, const std::vector<double>& logits, int64_t batch,
    const SamplingSettings& s) {
  const int64_t vocab = static_cast<int64_t>(logits.size()) / batch;
  SamplingArgs args;
  args.logits = testing::ToTensor(ctx, DType::kF32, {batch, vocab}, logits);
  args.temperature = s.temperature;
  args.top_k = s.top_k;
  args.top_p = s.top_p;
  args.seed = s.seed;
  args.step = s.step;
  args.min_p = s.min_p;
  args.repetition_penalty = s.penalty;
  if (s.penalty != 1) {
    std::vector<int32_t> counts;
    for (int64_t i = 0; i < batch * vocab; ++i) {
      const size_t v = i % vocab;
      counts.push_back(v < s.counts.size() ? s.counts[v] : 0);
    }
    LT2_ASSIGN_OR_RETURN(args.counts,
                         ctx.FromHost<int32_t>(counts, {batch, vocab}));
  }
  if (!s.streams.empty()) {
    LT2_ASSIGN_OR_RETURN(args.streams,
                         ctx.FromHost<int32_t>(s.streams, {batch}));
  }
  Tensor ids;
  LT2_RETURN_IF_ERROR(Sample(ctx, args, &ids));
  return ctx.ToHost<int32_t>(ids);
}

// `draws` tokens from one row of logits: rows of a batch draw independently.
inline std::vector<int32_t> DrawMany(Context& ctx,
                                     const std::vector<double>& logits,
                                     int64_t draws, const SamplingSettings& s) {
  std::vector<double> rows;
  for (int64_t i = 0; i < draws; ++i) {
    rows.insert(rows.end(), logits.begin(), logits.end());
  }
  auto ids = Draw(ctx, rows, draws, s);
  EXPECT_TRUE(ids.ok()) << ids.status();
  return std::move(ids).value();
}

// Chi-squared at the 0.1 % point; tokens of probability 0 must not occur. The
// seeds are fixed, so this either always passes or never.
inline ::testing::AssertionResult FollowDistribution(
    const std::vector<int32_t>& ids, const std::vector<double>& expected) {
  std::vector<double> counts(expected.size(), 0.0);
  for (int32_t id : ids) {
    if (id < 0 || id >= static_cast<int32_t>(expected.size())) {
      return ::testing::AssertionFailure() << "id " << id;
    }
    ++counts[id];
  }
  double chi2 = 0;
  int degrees = -1;
  for (size_t v = 0; v < expected.size(); ++v) {
    if (expected[v] == 0) {
      if (counts[v] > 0) {
        return ::testing::AssertionFailure()
               << "token " << v << " of probability 0 occurs " << counts[v]
               << " times";
      }
      continue;
    }
    const double mean = expected[v] * ids.size();
    chi2 += (counts[v] - mean) * (counts[v] - mean) / mean;
    ++degrees;
  }
  if (degrees == 0) return ::testing::AssertionSuccess();
  // Wilson and Hilferty's approximation of the quantile.
  const double t = 2.0 / (9.0 * degrees);
  const double limit = degrees * std::pow(1 - t + 3.0902 * std::sqrt(t), 3);
  if (chi2 <= limit) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "chi-squared " << chi2 << " with " << degrees << " degrees exceeds "
         << limit;
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SAMPLING_SAMPLING_TESTING_H_
