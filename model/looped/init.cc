#include "model/looped/init.h"

#include <cmath>

#include "kernels/activation/activation.h"
#include "kernels/core/hash.h"
#include "kernels/core/philox.h"

namespace lt2::model {
namespace {

float Draw(const DeclaredParameter& p, Philox& rng) {
  switch (p.init) {
    case Init::kTruncatedNormal: {
      float z;
      do {
        z = rng.Normal();
      } while (std::abs(z) > 3.0f);
      return p.scale * z;
    }
    case Init::kUniform:
      return p.scale * (2 * rng.Uniform() - 1);
    case Init::kOnes:
      return 1;
    case Init::kZeros:
      return 0;
    case Init::kLogUniform16:
      return std::log(16 * rng.Uniform());
    case Init::kLogUniform1To16:
      return std::log(1 + 15 * rng.Uniform());
    case Init::kInverseSoftplus: {
      const double low = std::log(0.001), high = std::log(0.1);
      const double dt =
          std::max(1e-4, std::exp(low + (high - low) * rng.Uniform()));
      return static_cast<float>(dt + std::log(-std::expm1(-dt)));
    }
  }
  return 0;
}

constexpr int64_t kBlock = 4096;  // a stream of its own for each block

// Blocks [first, last) of a parameter's values.
void FillBlocks(const DeclaredParameter& p, uint64_t seed, int64_t first,
                int64_t last, std::vector<float>* values) {
  const uint64_t stream = Fnv1a(p.name);
  const int64_t n = static_cast<int64_t>(values->size());
  for (int64_t block = first; block < last; ++block) {
    Philox rng(seed, stream, static_cast<uint32_t>(block));
    for (int64_t i = block * kBlock; i < std::min(n, (block + 1) * kBlock);
         ++i) {
      (*values)[i] = Draw(p, rng);
    }
  }
}

int64_t BlocksOf(int64_t values) { return (values + kBlock - 1) / kBlock; }

}  // namespace

std::vector<float> InitialValues(const DeclaredParameter& p, uint64_t seed) {
  std::vector<float> values(p.shape.numel());
  FillBlocks(p, seed, 0, BlocksOf(p.shape.numel()), &values);
  return values;
}

absl::Status Materialize(Context& ctx, absl::optional<uint64_t> seed,
                         bool training, DType matrices, DeclaredParameter* p) {
  LT2_ASSIGN_OR_RETURN(p->value, ctx.Empty(DType::kF32, p->shape));
  p->compute = p->value;
  if (matrices == DType::kBF16 && p->shape.rank() == 2) {
    LT2_ASSIGN_OR_RETURN(p->compute, ctx.Empty(DType::kBF16, p->shape));
  }
  if (training) {
    LT2_ASSIGN_OR_RETURN(p->grad, ctx.Zeros(DType::kF32, p->shape));
  }
  if (!seed.has_value()) return absl::OkStatus();
  std::vector<float> values(p->shape.numel());
  ctx.ParallelFor(BlocksOf(p->shape.numel()), 1,
                  [&](int64_t first, int64_t last) {
                    FillBlocks(*p, *seed, first, last, &values);
                  });
  return SetValues(ctx, values, p);
}

absl::Status SetValues(Context& ctx, absl::Span<const float> values,
                       Parameter* p) {
  LT2_CHECK(static_cast<int64_t>(values.size()) == p->value.numel());
  LT2_RETURN_IF_ERROR(ctx.CopyFromHost(values.data(), &p->value));
  if (p->compute.dtype() == DType::kF32) return absl::OkStatus();
  return kernels::Cast(ctx, {p->value, p->compute.dtype()}, &p->compute);
}

}  // namespace lt2::model
