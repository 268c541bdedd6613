// Checks of operator arguments that need more than ExpectTensor.

#ifndef LT2_KERNELS_CORE_CHECKS_H_
#define LT2_KERNELS_CORE_CHECKS_H_

#include "kernels/core/tensor.h"

namespace lt2 {

// OK if `x` is an activation of rank >= 1: f32, or bf16 on a CUDA device.
inline absl::Status ExpectActivation(absl::string_view what, const Tensor& x) {
  if (!x.defined()) {
    return InvalidArgument(what, ": expected a tensor, got undefined");
  }
  const bool f32 = x.dtype() == DType::kF32;
  const bool bf16 = x.dtype() == DType::kBF16 && x.device() == Device::kCUDA;
  if (!f32 && !bf16) {
    return InvalidArgument(what, ": expected f32, or bf16 on cuda, got ",
                           x.ToString());
  }
  if (x.rank() < 1) {
    return InvalidArgument(what, ": expected rank >= 1, got ", x.ToString());
  }
  return absl::OkStatus();
}

// OK if `x` has the type, device and shape of `like`.
inline absl::Status ExpectLike(absl::string_view what, const Tensor& x,
                               const Tensor& like) {
  return ExpectTensor(what, x, like.device(), like.dtype(), like.shape());
}

// OK if the operator's first argument is on the device of its context.
inline absl::Status ExpectDevice(absl::string_view what, const Tensor& x,
                                 Device device) {
  if (x.device() == device) return absl::OkStatus();
  return InvalidArgument(what, ": expected on ", Name(device), ", got ",
                         x.ToString());
}

}  // namespace lt2

#endif  // LT2_KERNELS_CORE_CHECKS_H_
