// Parity of a bit string: the smallest state-tracking task, and a test of
// length extrapolation.
//
//   inputs    b_1 ... b_n, tokens 1 (bit 0) and 2 (bit 1); 0 is padding
//   targets   supervise "last": the parity of all bits, as a bit token, at the
//             last bit; nothing else is scored
//             supervise "all": at every bit the parity of the bits so far
//
// In next-token terms the answer comes right after the bits; it is read out
// at the last bit, so no query token is needed.
//
// Spec: {"task": "parity", "train_min": 3, "train_max": 40, "test_min": 40,
//        "test_max": 256, "supervise": "last"}
// n is uniform in train_min..train_max; validation and test use
// test_min..test_max. chance() = 1/2; targets are exactly uniform.

#ifndef LT2_TASKS_PARITY_H_
#define LT2_TASKS_PARITY_H_

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "tasks/task.h"

namespace lt2::tasks {

absl::StatusOr<std::unique_ptr<Task>> CreateParity(const nlohmann::json& spec,
                                                   const TaskOptions& options);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_PARITY_H_
