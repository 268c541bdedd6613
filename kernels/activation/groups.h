// Parameters with one value per group of neighbouring channels (a head).

#ifndef LT2_KERNELS_ACTIVATION_GROUPS_H_
#define LT2_KERNELS_ACTIVATION_GROUPS_H_

#include <vector>

#include "kernels/core/checks.h"

namespace lt2::kernels {

// OK if `values` is f32 [groups] on x's device and groups divides x's last
// dimension.
inline absl::Status ExpectGroups(absl::string_view what, const Tensor& values,
                                 const Tensor& x) {
  const int64_t dim = x.dim(-1);
  const bool divides =
      values.defined() && values.rank() == 1 &&
      (values.dim(0) == dim || (values.dim(0) > 0 && dim % values.dim(0) == 0));
  const Shape shape = {divides ? values.dim(0) : dim};
  return ExpectTensor(what, values, x.device(), DType::kF32, shape);
}

// One value per channel.
inline std::vector<float> PerChannel(const Tensor& values, int64_t dim) {
  std::vector<float> channels(dim);
  const int64_t group = dim / values.numel();
  for (int64_t c = 0; c < dim; ++c) {
    channels[c] = values.data<float>()[c / group];
  }
  return channels;
}

// out[g] = the sum of the channels of group g.
inline void SumGroups(const float* channels, int64_t dim, const Tensor& out) {
  const int64_t group = dim / out.numel();
  for (int64_t g = 0; g < out.numel(); ++g) {
    double sum = 0;
    for (int64_t c = 0; c < group; ++c) sum += channels[g * group + c];
    out.data<float>()[g] = static_cast<float>(sum);
  }
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ACTIVATION_GROUPS_H_
