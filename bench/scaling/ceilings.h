// What the machine reaches at best, measured at the start of a run, so that
// rows can be compared with it and not with a data sheet.

#ifndef LT2_BENCH_SCALING_CEILINGS_H_
#define LT2_BENCH_SCALING_CEILINGS_H_

#include <string>

#include "bench/scaling/noise.h"
#include "bench/scaling/timer.h"

namespace lt2::bench {

struct Ceilings {
  double flops_per_s = 0;  // of a product of two n x n matrices
  double bytes_per_s = 0;  // read and written, of a copy
  std::string gemm, copy;  // "8192 x 8192 bf16 matrices through cuBLASLt"
  int clock_mhz = 0;       // of a GPU, after the products
};

// bf16 through cuBLASLt and a device copy on a GPU; f32 through OpenBLAS and
// memcpy by the context's threads on the CPU. Random values; `n` and `bytes`
// are of the matrices and of what the copy reads.
absl::StatusOr<Ceilings> MeasureCeilings(Context& ctx, Timer& timer, int64_t n,
                                         int64_t bytes);

}  // namespace lt2::bench

#endif  // LT2_BENCH_SCALING_CEILINGS_H_
