// Which operators were called, and how often, without a GPU and without a
// counter in any operator.
//
// operator_calls.sh lists the functions lt2::kernels::NAME(Context&, ...) of
// the linked program, and Context's own Copy and Zero, and writes a counting
// detour for each; the linker (--wrap) sends the calls from other object files
// through it. So an operator that is called by another one of the same file is
// not counted, and a CPU implementation (NameCpu) never is. On a GPU each call
// is one or a few launches: more calls are more launches.

#ifndef LT2_TOOLS_EXACT_OPERATOR_CALLS_H_
#define LT2_TOOLS_EXACT_OPERATOR_CALLS_H_

#include <cstdint>
#include <map>
#include <string>

#include "kernels/core/status.h"

namespace lt2::tools {

// Calls since the program's start, of this process, by operator; overloads are
// added up. An error in a program that was linked without the detours.
absl::StatusOr<std::map<std::string, int64_t>> OperatorCalls();

}  // namespace lt2::tools

#endif  // LT2_TOOLS_EXACT_OPERATOR_CALLS_H_
