// What ptxas says of each kernel, read back from an object file of nvcc: the
// numbers of `cuobjdump --dump-resource-usage`, without that program (which a
// toolkit may lack) and without compiling again.
//
// An object holds a section .nv_fatbin: for each architecture an ELF file
// (a cubin), in which
//   .nv.info               registers (attribute 0x2f) and the stack a kernel
//                          needs with all it calls (0x12, else its own frame,
//                          0x11), by the kernel's symbol
//   .nv.shared.KERNEL      its static shared memory
//   .text.KERNEL           its instructions, 16 bytes each
//   .note.nv.tkinfo        the toolkit and ptxas's options
// Loads and stores of local memory are counted from the instructions (LDL and
// STL of sm_70 to sm_90): these are spills, and arrays that are indexed at run
// time. Each instruction counts once, however often it runs.
//
// Not supported: compressed machine code (an Unimplemented error).

#ifndef LT2_TOOLS_EXACT_CUBIN_H_
#define LT2_TOOLS_EXACT_CUBIN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kernels/core/status.h"

namespace lt2::tools {

struct KernelResources {
  std::string symbol;        // mangled
  int64_t registers = 0;     // a thread
  int64_t shared_bytes = 0;  // static, a block; with what the driver reserves
  int64_t stack_bytes = 0;   // a thread
  int64_t local_load_bytes = 0;
  int64_t local_store_bytes = 0;
};

struct Cubin {
  std::string toolkit;                   // "13.0.88"
  std::string arch;                      // "sm_90a"
  std::vector<KernelResources> kernels;  // by symbol
};

// The cubins of an ELF object; none if it has no GPU code. `source` names it in
// errors. Damaged bytes are DataLoss, never a crash.
absl::StatusOr<std::vector<Cubin>> ReadObject(absl::string_view object,
                                              absl::string_view source);

// "NormForwardKernel<float, 256, 1>" for a mangled kernel: without its return
// type, parameters and this repository's namespaces, and without the hash that
// nvcc gives to unnamed ones, so that it is the same after every compilation.
std::string KernelName(const std::string& symbol);
// The same with its parameters, to tell overloads apart.
std::string KernelSignature(const std::string& symbol);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_EXACT_CUBIN_H_
