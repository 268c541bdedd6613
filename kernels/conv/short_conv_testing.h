// What short_conv_test.cc and short_conv_cuda_test.cc share: one seeded
// problem, its results, and the contract they must meet.

#ifndef LT2_KERNELS_CONV_SHORT_CONV_TESTING_H_
#define LT2_KERNELS_CONV_SHORT_CONV_TESTING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/conv/short_conv.h"
#include "kernels/conv/short_conv_reference.h"
#include "kernels/core/contract_pool.h"
#include "kernels/core/testing.h"

namespace lt2::kernels {

struct ShortConvProblem {
  DType dtype = DType::kF32;
  ShortConvReferenceInput in;  // activations are exact in dtype
  std::vector<double> dy;
  std::string ToString() const;
};
ShortConvProblem MakeShortConvProblem(DType dtype, int64_t batch, int64_t seq,
                                      int64_t channels, int64_t width,
                                      bool state, bool silu, double scale = 1,
                                      bool bias = false);

struct ShortConvActual {
  ShortConvReferenceOutput output;
  ShortConvReferenceGrad grad;
};
// With `in_slices` x, dy and the state lie at odd offsets of larger tensors,
// where 16-byte accesses are not possible.
ShortConvActual RunShortConv(Context& ctx, const ShortConvProblem& problem,
                             bool in_slices = false);

// The output of segments of these lengths, the state being updated in place.
ShortConvReferenceOutput RunInSegments(Context& ctx,
                                       const ShortConvProblem& problem,
                                       const std::vector<int64_t>& lengths);

void AddToPool(const ShortConvProblem& problem, const ShortConvActual& actual,
               testing::ContractPool* pool);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_CONV_SHORT_CONV_TESTING_H_
