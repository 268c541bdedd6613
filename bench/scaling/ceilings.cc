#include "bench/scaling/ceilings.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "bench/scaling/statistics.h"
#include "kernels/gemm/gemm.h"

namespace lt2::bench {
namespace {

constexpr TimerLimits kLimits = {0.5, 31, 10};

absl::StatusOr<double> MedianSeconds(Timer& timer, const Timer::Step& call) {
  LT2_ASSIGN_OR_RETURN(
      const Timing timing,
      timer.Measure(
          kLimits, [](int) { return absl::OkStatus(); }, call));
  LT2_ASSIGN_OR_RETURN(const MedianInterval m, MedianOf(timing.samples));
  return m.median;
}

}  // namespace

absl::StatusOr<Ceilings> MeasureCeilings(Context& ctx, Timer& timer, int64_t n,
                                         int64_t bytes) {
  Ceilings ceilings;
  Noise noise(ctx);
  const DType act = ctx.is_cuda() ? DType::kBF16 : DType::kF32;
  {
    Tensor a[2], b[2], c[2];
    for (int i = 0; i < 2; ++i) {
      LT2_ASSIGN_OR_RETURN(a[i], noise.Uniform(act, {n, n}, -1, 1));
      LT2_ASSIGN_OR_RETURN(b[i], noise.Uniform(act, {n, n}, -1, 1));
      LT2_ASSIGN_OR_RETURN(c[i], ctx.Empty(act, {n, n}));
    }
    LT2_ASSIGN_OR_RETURN(const double seconds, MedianSeconds(timer, [&](int i) {
                           return kernels::Gemm(
                               ctx, {a[i % 2], b[i % 2], false, true},
                               &c[i % 2]);
                         }));
    ceilings.flops_per_s = 2.0 * static_cast<double>(n) *
                           static_cast<double>(n) * static_cast<double>(n) /
                           seconds;
    ceilings.clock_mhz = timer.clock_mhz();
  }
  {
    LT2_ASSIGN_OR_RETURN(const Tensor from,
                         noise.Uniform(DType::kF32, {bytes / 4}, -1, 1));
    LT2_ASSIGN_OR_RETURN(Tensor to, ctx.Empty(DType::kF32, {bytes / 4}));
    LT2_ASSIGN_OR_RETURN(
        const double seconds, MedianSeconds(timer, [&](int) -> absl::Status {
          if (ctx.is_cuda()) return ctx.Copy(from, &to);
          ctx.ParallelFor(bytes, 1 << 20, [&](int64_t begin, int64_t end) {
            std::memcpy(static_cast<char*>(to.raw()) + begin,
                        static_cast<const char*>(from.raw()) + begin,
                        end - begin);
          });
          return absl::OkStatus();
        }));
    ceilings.bytes_per_s = 2.0 * static_cast<double>(bytes) / seconds;
  }
  ceilings.gemm = absl::StrCat(
      n, " x ", n,
      ctx.is_cuda() ? " bf16 matrices, cuBLASLt" : " f32 matrices, OpenBLAS");
  ceilings.copy = absl::StrCat(bytes / 1e6, " MB, ",
                               ctx.is_cuda() ? "device to device" : "memcpy");
  return ceilings;
}

}  // namespace lt2::bench
