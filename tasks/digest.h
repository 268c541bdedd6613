// A fingerprint of a task's examples.
//
// A result row carries it, and digest_test pins it for every task: whoever
// changes a generator must also raise the task's version().

#ifndef LT2_TASKS_DIGEST_H_
#define LT2_TASKS_DIGEST_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "tasks/task.h"

namespace lt2::tasks {

// 64-bit FNV-1a over the lengths, inputs and targets of the first `examples`
// examples (or all, if there are fewer), as little-endian 32-bit words, byte
// by byte; printed as 16 hexadecimal digits.
absl::StatusOr<std::string> Digest(const Task& task, Split split, uint64_t seed,
                                   int64_t examples);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_DIGEST_H_
