// What activation_test.cc and activation_cuda_test.cc share: one seeded problem
// for any operator, its results, and the contract they must meet.

#ifndef LT2_KERNELS_ACTIVATION_ACTIVATION_TESTING_H_
#define LT2_KERNELS_ACTIVATION_ACTIVATION_TESTING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/activation/activation.h"
#include "kernels/activation/activation_reference.h"
#include "kernels/core/contract_pool.h"
#include "kernels/core/testing.h"

namespace lt2::kernels {

struct ActivationProblem {
  ActivationOp op = ActivationOp::kSilu;
  DType dtype = DType::kF32;
  // Type of y and dy: that of the activations, but for DecayGate and Softplus
  // f32, and for Sigmoid a choice.
  DType out = DType::kF32;
  int64_t rows = 1;
  ActivationInput in;  // activations are exact in dtype
  std::string ToString() const;
};
ActivationProblem MakeActivationProblem(ActivationOp op, DType dtype,
                                        int64_t rows, int64_t dim,
                                        double scale = 3, uint64_t seed = 1);
// One problem for each operator, and for each of its forms: with fewer groups
// than channels, with a negative slope, without a bias.
std::vector<ActivationProblem> AllActivationProblems(DType dtype, int64_t rows,
                                                     int64_t dim,
                                                     double scale = 3);

// Runs the operator and its gradient. With `in_slices` the activations lie at
// odd offsets of larger tensors, where 16-byte accesses are not possible; with
// `in_place` y overwrites the first input.
ActivationOutput RunActivation(Context& ctx, const ActivationProblem& problem,
                               bool in_slices = false, bool in_place = false);

// Only what the operator computes: the gradient of Add, and da of ScaledAdd and
// AddBias, are dy itself.
void AddToPool(const ActivationProblem& problem, const ActivationOutput& actual,
               testing::ContractPool* pool);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ACTIVATION_ACTIVATION_TESTING_H_
