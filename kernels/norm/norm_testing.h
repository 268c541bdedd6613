// What norm_test.cc and norm_cuda_test.cc share: one seeded problem for any of
// the norms, its results from the operators, and the contract they must meet.

#ifndef LT2_KERNELS_NORM_NORM_TESTING_H_
#define LT2_KERNELS_NORM_NORM_TESTING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/core/contract_pool.h"
#include "kernels/core/testing.h"
#include "kernels/norm/norm.h"
#include "kernels/norm/norm_reference.h"

namespace lt2::kernels {

enum class NormKind { kRms, kSiluGated, kSigmoidGated, kL2 };
inline constexpr NormKind kAllNormKinds[] = {
    NormKind::kRms, NormKind::kSiluGated, NormKind::kSigmoidGated,
    NormKind::kL2};
std::string NormKindName(NormKind kind);

struct NormProblem {
  NormKind kind = NormKind::kRms;
  DType dtype = DType::kF32;
  int64_t rows = 1;
  NormReferenceInput in;  // activations are exact in dtype
  std::vector<double> dy;
  std::string ToString() const;
};
NormProblem MakeNormProblem(NormKind kind, DType dtype, int64_t rows,
                            int64_t dim, double scale = 1, uint64_t seed = 1);

struct NormActual {
  NormReferenceOutput output;
  NormReferenceGrad grad;
};
// Runs the operators of this problem. With `in_slices` the activations lie at
// odd offsets of larger tensors, where 16-byte accesses are not possible.
NormActual RunNorm(Context& ctx, const NormProblem& problem,
                   bool in_slices = false);

// Adds y, rstd and the gradients to a pool, which then checks the contract.
void AddToPool(const NormProblem& problem, const NormActual& actual,
               testing::ContractPool* pool);

// The plain formulas that store what the operators store in the same type.
NormActual PlainNorm(const NormProblem& problem);
NormActual ExactNorm(const NormProblem& problem);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_NORM_NORM_TESTING_H_
