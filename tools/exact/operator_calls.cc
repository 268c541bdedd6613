#include "tools/exact/operator_calls.h"

// Defined by what operator_calls.sh writes.
extern "C" {
struct Lt2OperatorCalls {
  const char* name;
  const uint64_t* calls;
};
__attribute__((weak)) extern const Lt2OperatorCalls lt2_operator_calls[];
__attribute__((weak)) extern const uint64_t lt2_operator_count;
}

namespace lt2::tools {

absl::StatusOr<std::map<std::string, int64_t>> OperatorCalls() {
  if (&lt2_operator_count == nullptr) {
    return absl::InternalError("linked without the counting detours");
  }
  std::map<std::string, int64_t> calls;
  for (uint64_t i = 0; i < lt2_operator_count; ++i) {
    const volatile uint64_t* counter = lt2_operator_calls[i].calls;
    calls[lt2_operator_calls[i].name] += static_cast<int64_t>(*counter);
  }
  return calls;
}

}  // namespace lt2::tools
