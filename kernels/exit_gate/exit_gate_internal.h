// The CPU and CUDA forms of ExitGate; arguments have been checked.

#ifndef LT2_KERNELS_EXIT_GATE_EXIT_GATE_INTERNAL_H_
#define LT2_KERNELS_EXIT_GATE_EXIT_GATE_INTERNAL_H_

#include "kernels/exit_gate/exit_gate.h"

namespace lt2::kernels {

absl::Status ExitGateCpu(Context& ctx, const ExitGateArgs& args,
                         const ExitGateResults& results);
absl::Status ExitGateCuda(Context& ctx, const ExitGateArgs& args,
                          const ExitGateResults& results);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_EXIT_GATE_EXIT_GATE_INTERNAL_H_
