// The CPU and CUDA forms behind the headers of this folder. Arguments are
// checked, results allocated, and there is at least one element.

#ifndef LT2_KERNELS_ACTIVATION_ACTIVATION_INTERNAL_H_
#define LT2_KERNELS_ACTIVATION_ACTIVATION_INTERNAL_H_

#include "kernels/activation/activation.h"

namespace lt2::kernels {

absl::Status SiluCpu(Context&, const SiluArgs&, const Tensor& y);
absl::Status SiluCuda(Context&, const SiluArgs&, const Tensor& y);
absl::Status SiluGradCpu(Context&, const SiluGradArgs&, const Tensor& dx);
absl::Status SiluGradCuda(Context&, const SiluGradArgs&, const Tensor& dx);
absl::Status SigmoidCpu(Context&, const SigmoidArgs&, const Tensor& y);
absl::Status SigmoidCuda(Context&, const SigmoidArgs&, const Tensor& y);
absl::Status SigmoidGradCpu(Context&, const SigmoidGradArgs&, const Tensor& dx);
absl::Status SigmoidGradCuda(Context&, const SigmoidGradArgs&,
                             const Tensor& dx);
absl::Status AddCpu(Context&, const AddArgs&, const Tensor& y);
absl::Status AddCuda(Context&, const AddArgs&, const Tensor& y);
// Between different types.
absl::Status CastCpu(Context&, const CastArgs&, const Tensor& y);
absl::Status CastCuda(Context&, const CastArgs&, const Tensor& y);

absl::Status SwiGluCpu(Context&, const SwiGluArgs&, const Tensor& y);
absl::Status SwiGluCuda(Context&, const SwiGluArgs&, const Tensor& y);
absl::Status SwiGluGradCpu(Context&, const SwiGluGradArgs&,
                           const SwiGluGradResults&);
absl::Status SwiGluGradCuda(Context&, const SwiGluGradArgs&,
                            const SwiGluGradResults&);
absl::Status SigmoidGateCpu(Context&, const SigmoidGateArgs&, const Tensor& y);
absl::Status SigmoidGateCuda(Context&, const SigmoidGateArgs&, const Tensor& y);
absl::Status SigmoidGateGradCpu(Context&, const SigmoidGateGradArgs&,
                                const SigmoidGateGradResults&);
absl::Status SigmoidGateGradCuda(Context&, const SigmoidGateGradArgs&,
                                 const SigmoidGateGradResults&);
absl::Status ScaledAddCpu(Context&, const ScaledAddArgs&, const Tensor& y);
absl::Status ScaledAddCuda(Context&, const ScaledAddArgs&, const Tensor& y);
absl::Status ScaledAddGradCpu(Context&, const ScaledAddGradArgs&,
                              const ScaledAddGradResults&);
absl::Status ScaledAddGradCuda(Context&, const ScaledAddGradArgs&,
                               const ScaledAddGradResults&);

absl::Status DecayGateCpu(Context&, const DecayGateArgs&, const Tensor& g);
absl::Status DecayGateCuda(Context&, const DecayGateArgs&, const Tensor& g);
absl::Status DecayGateGradCpu(Context&, const DecayGateGradArgs&,
                              const DecayGateGradResults&);
absl::Status DecayGateGradCuda(Context&, const DecayGateGradArgs&,
                               const DecayGateGradResults&);

absl::Status MultiplyCpu(Context&, const MultiplyArgs&, const Tensor& y);
absl::Status MultiplyCuda(Context&, const MultiplyArgs&, const Tensor& y);
absl::Status MultiplyGradCpu(Context&, const MultiplyGradArgs&,
                             const MultiplyGradResults&);
absl::Status MultiplyGradCuda(Context&, const MultiplyGradArgs&,
                              const MultiplyGradResults&);
absl::Status ScaleRowsCpu(Context&, const ScaleRowsArgs&, const Tensor& y);
absl::Status ScaleRowsCuda(Context&, const ScaleRowsArgs&, const Tensor& y);
absl::Status ScaleRowsGradCpu(Context&, const ScaleRowsGradArgs&,
                              const ScaleRowsGradResults&);
absl::Status ScaleRowsGradCuda(Context&, const ScaleRowsGradArgs&,
                               const ScaleRowsGradResults&);

absl::Status AddBiasCpu(Context&, const AddBiasArgs&, const Tensor& y);
absl::Status AddBiasCuda(Context&, const AddBiasArgs&, const Tensor& y);
absl::Status AddBiasGradCpu(Context&, const AddBiasGradArgs&,
                            const Tensor& dbias);
absl::Status AddBiasGradCuda(Context&, const AddBiasGradArgs&,
                             const Tensor& dbias);
absl::Status SoftplusCpu(Context&, const SoftplusArgs&, const Tensor& y);
absl::Status SoftplusCuda(Context&, const SoftplusArgs&, const Tensor& y);
absl::Status SoftplusGradCpu(Context&, const SoftplusGradArgs&,
                             const SoftplusGradResults&);
absl::Status SoftplusGradCuda(Context&, const SoftplusGradArgs&,
                              const SoftplusGradResults&);

absl::Status InterleaveCpu(Context&, const InterleaveArgs&, const Tensor& y);
absl::Status InterleaveCuda(Context&, const InterleaveArgs&, const Tensor& y);
absl::Status TakeEveryCpu(Context&, const TakeEveryArgs&, const Tensor& y);
absl::Status TakeEveryCuda(Context&, const TakeEveryArgs&, const Tensor& y);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ACTIVATION_ACTIVATION_INTERNAL_H_
