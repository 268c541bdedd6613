// What operator tests share: seeded inputs, contexts that poison their
// allocations with NaN, and the error contract.
//
// The contract (README.md of this folder): an implementation may err at most
// twice as much as the plain formula evaluated in the same precision, both
// measured against fp64 as RMS ratios, plus a few roundings of the output type.

#ifndef LT2_KERNELS_CORE_TESTING_H_
#define LT2_KERNELS_CORE_TESTING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/core/context.h"

namespace lt2::testing {

// A poisoned context; aborts if there is no such device.
std::unique_ptr<Context> CpuContext(int threads = 1);
std::unique_ptr<Context> CudaContext();

// In a test body: skips visibly where there is no GPU.
#define LT2_SKIP_WITHOUT_CUDA()                                  \
  if (!::lt2::CudaAvailable()) {                                 \
    GTEST_SKIP() << "no CUDA device: this test checked nothing"; \
  }                                                              \
  static_assert(true, "")

// Values uniform in [low, high), a pure function of (seed, n).
std::vector<double> Uniform(uint64_t seed, int64_t n, double low = -1.0,
                            double high = 1.0);

// `values` as a tensor of this type on ctx's device, and back as doubles.
Tensor ToTensor(Context& ctx, DType dtype, const Shape& shape,
                const std::vector<double>& values);
std::vector<double> ToDoubles(Context& ctx, const Tensor& t);

// What `values` become when stored in this type.
std::vector<double> Rounded(DType dtype, const std::vector<double>& values);

// RMS(actual - expected) / RMS(expected); infinity if any value of `actual`
// is NaN or infinite where `expected` is not, or sizes differ. 0 if both are
// all zero.
double RmsRatio(const std::vector<double>& actual,
                const std::vector<double>& expected);

// The contract, as a gtest assertion. `plain` is the plain formula in the same
// precision. `dtype` is the type of the results: half a unit in its last place
// is always allowed, as no implementation can do better.
::testing::AssertionResult MeetsContract(const std::vector<double>& actual,
                                         const std::vector<double>& plain,
                                         const std::vector<double>& fp64,
                                         DType dtype);

// Relative RMS error against `fp64` at most `limit`.
::testing::AssertionResult Near(const std::vector<double>& actual,
                                const std::vector<double>& fp64, double limit);

// Central finite differences of a scalar function of one vector.
std::vector<double> FiniteDifferences(
    const std::function<double(const std::vector<double>&)>& f,
    const std::vector<double>& x, double step = 1e-5);

// The value of an environment variable, or "".
std::string Env(const char* name);

}  // namespace lt2::testing

#endif  // LT2_KERNELS_CORE_TESTING_H_
