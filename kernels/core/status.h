// Status macros and invariant checks.
//
// What a caller, a file or a flag can cause is an absl::Status whose message
// names the offending value, what was expected, and where. Broken invariants
// are LT2_CHECKs: they print file, line and message, and abort.
//
//   absl::Status F() {
//     LT2_ASSIGN_OR_RETURN(Tensor x, ctx.Empty(DType::kF32, {4, 8}));
//     LT2_RETURN_IF_ERROR(Fill(ctx, 1.0f, &x));
//     return absl::OkStatus();
//   }

#ifndef LT2_KERNELS_CORE_STATUS_H_
#define LT2_KERNELS_CORE_STATUS_H_

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

#define LT2_CONCAT_INNER(a, b) a##b
#define LT2_CONCAT(a, b) LT2_CONCAT_INNER(a, b)

// Returns from the enclosing function if `expr` is an error.
#define LT2_RETURN_IF_ERROR(expr)            \
  do {                                       \
    ::absl::Status lt2_status = (expr);      \
    if (!lt2_status.ok()) return lt2_status; \
  } while (false)

// Declares or assigns `lhs` from a StatusOr expression, or returns its error.
#define LT2_ASSIGN_OR_RETURN(lhs, expr) \
  LT2_ASSIGN_OR_RETURN_IMPL(LT2_CONCAT(lt2_or_, __LINE__), lhs, expr)
#define LT2_ASSIGN_OR_RETURN_IMPL(or_, lhs, expr) \
  auto or_ = (expr);                              \
  if (!or_.ok()) return or_.status();             \
  lhs = std::move(or_).value()

// Aborts with file, line and message when an invariant is broken. The message
// arguments are those of absl::StrCat.
#define LT2_CHECK(condition, ...)                                        \
  do {                                                                   \
    if (!(condition)) {                                                  \
      ::lt2::CheckFailed(__FILE__, __LINE__, #condition,                 \
                         ::absl::StrCat("" __VA_OPT__(, ) __VA_ARGS__)); \
    }                                                                    \
  } while (false)

// Aborts when a Status is an error that the program cannot meet.
#define LT2_CHECK_OK(expr)                                         \
  do {                                                             \
    ::absl::Status lt2_check_status = (expr);                      \
    LT2_CHECK(lt2_check_status.ok(), lt2_check_status.ToString()); \
  } while (false)

namespace lt2 {

[[noreturn]] inline void CheckFailed(const char* file, int line,
                                     const char* condition,
                                     const std::string& message) {
  std::fprintf(stderr, "%s:%d: check failed: %s %s\n", file, line, condition,
               message.c_str());
  std::abort();
}

// An InvalidArgument error from absl::StrCat arguments.
template <typename... Args>
absl::Status InvalidArgument(const Args&... args) {
  return absl::InvalidArgumentError(absl::StrCat(args...));
}

// `status` with "context: " before its message; OK stays OK.
inline absl::Status Annotate(const absl::Status& status,
                             absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(context, ": ", status.message()));
}

}  // namespace lt2

#endif  // LT2_KERNELS_CORE_STATUS_H_
