// What is measured, one function a section of the record (README.md).
//
// An error of the code FailedPrecondition says that this machine or build
// cannot measure the section; any other one is a failure.

#ifndef LT2_TOOLS_EXACT_SECTIONS_H_
#define LT2_TOOLS_EXACT_SECTIONS_H_

#include <string>
#include <vector>

#include "tools/exact/compare.h"
#include "tools/exact/record.h"

namespace lt2::tools {

// Digests of the floating-point bits that the CPU computes: logits, decoding
// and training of a small random model of each kind, and scores of shipped
// checkpoints. Wants UseOneArithmetic() at the start of main.
absl::StatusOr<Section> MeasureBits();

// Calls of operators, FLOPs and peak memory of a forward pass, a training step
// and a decoding step of each small model; and by formula the parameters, FLOPs
// and bytes of every preset. No number depends on the processor.
absl::StatusOr<Section> MeasureWork();

// Nodes (launches, copies, fills) of the captured CUDA graphs of a training and
// of a decoding step of each small model. Needs a GPU.
absl::StatusOr<Section> MeasureLaunches();

// Registers, memory and spills of every CUDA kernel of the objects that the
// file `manifest` lists, a path a line (objects.bzl). Needs no GPU, but a build
// with the CUDA toolkit.
absl::StatusOr<Section> MeasureKernels(const std::string& manifest);

// Those of `names`, or all if there are none; an unknown name is an error.
absl::StatusOr<Measured> Measure(const std::vector<std::string>& names,
                                 const std::string& manifest);

// OpenBLAS picks kernels by the processor it finds and threads by its number of
// cores, when it is loaded. Starts this program again with both fixed, unless
// they are. Call it first in main.
void UseOneArithmetic(char** argv);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_EXACT_SECTIONS_H_
