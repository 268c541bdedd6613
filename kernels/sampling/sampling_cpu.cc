#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/sampling/sampling_internal.h"
#include "kernels/sampling/sampling_weight.h"

namespace lt2::kernels {
namespace {

// Zeroes the weights of what top-k and top-p leave out.
void Filter(const SamplingArgs& args, const float* logits,
            std::vector<uint64_t>* weights) {
  const int64_t vocab = weights->size();
  const int64_t k =
      args.top_k > 0 ? std::min<int64_t>(args.top_k, vocab) : vocab;
  std::vector<int32_t> order(vocab);
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(
      order.begin(), order.begin() + k, order.end(), [&](int32_t a, int32_t b) {
        return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
      });
  int64_t kept = k;
  if (args.top_p < 1) {
    uint64_t total = 0, sum = 0;
    for (int64_t i = 0; i < k; ++i) total += (*weights)[order[i]];
    const uint64_t target = NucleusWeight(args.top_p, total);
    for (kept = 0; sum < target; ++kept) sum += (*weights)[order[kept]];
  }
  for (int64_t i = kept; i < vocab; ++i) (*weights)[order[i]] = 0;
}

// Scratch of one thread.
struct Scratch {
  std::vector<uint64_t> weights;
  std::vector<float> penalized;
};

// The token of one row, -1 if its logits are unusable.
int32_t SampleRow(const SamplingArgs& args, int64_t row, Scratch* scratch) {
  const int64_t vocab = args.logits.dim(1);
  const float* logits = args.logits.data<float>() + row * vocab;
  if (args.repetition_penalty != 1) {
    const int32_t* counts = args.counts.data<int32_t>() + row * vocab;
    scratch->penalized.resize(vocab);
    for (int64_t v = 0; v < vocab; ++v) {
      scratch->penalized[v] =
          counts[v] > 0 ? Penalized(logits[v], args.repetition_penalty)
                        : logits[v];
    }
    logits = scratch->penalized.data();
  }
  std::vector<uint64_t>* weights = &scratch->weights;
  int32_t best = 0;
  for (int64_t v = 0; v < vocab; ++v) {
    if (std::isnan(logits[v])) return -1;
    if (logits[v] > logits[best]) best = static_cast<int32_t>(v);
  }
  if (std::isinf(logits[best])) return -1;
  if (args.temperature == 0 || args.top_k == 1) return best;

  weights->resize(vocab);
  const float inverse_temperature = 1.0f / args.temperature;
  for (int64_t v = 0; v < vocab; ++v) {
    (*weights)[v] = TokenWeight(logits[v], logits[best], inverse_temperature);
  }
  if (args.top_k > 0 || args.top_p < 1) Filter(args, logits, weights);
  if (args.min_p > 0) {
    const uint64_t least = MinWeight(args.min_p);
    for (uint64_t& weight : *weights) {
      if (weight < least) weight = 0;
    }
  }
  const uint64_t total =
      std::accumulate(weights->begin(), weights->end(), uint64_t{0});
  const int64_t stream =
      args.streams.defined() ? args.streams.data<int32_t>()[row] : row;
  uint64_t left = Below(DrawBits(args.seed, args.step, stream), total);
  int32_t v = 0;
  while (left >= (*weights)[v]) left -= (*weights)[v++];
  return v;
}

}  // namespace

absl::Status SampleCpu(Context& ctx, const SamplingArgs& args, Tensor* ids) {
  const int64_t batch = args.logits.dim(0);
  int32_t* out = ids->data<int32_t>();
  ctx.ParallelFor(batch, 1, [&](int64_t begin, int64_t end) {
    Scratch scratch;
    for (int64_t b = begin; b < end; ++b) {
      out[b] = SampleRow(args, b, &scratch);
    }
  });
  for (int64_t b = 0; b < batch; ++b) {
    if (out[b] < 0) {
      return InvalidArgument("sampling: row ", b,
                             " has a NaN or +infinity, or only -infinity");
    }
  }
  return absl::OkStatus();
}

absl::Status CountTokensCpu(Context&, const Tensor& ids, Tensor* counts) {
  const int64_t n = ids.dim(1), vocab = counts->dim(1);
  const int32_t* id = ids.data<int32_t>();
  int32_t* out = counts->data<int32_t>();
  for (int64_t i = 0; i < ids.numel(); ++i) {
    if (id[i] >= 0 && id[i] < vocab) ++out[i / n * vocab + id[i]];
  }
  return absl::OkStatus();
}

}  // namespace lt2::kernels
