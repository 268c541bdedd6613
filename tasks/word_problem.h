// The word problem of a finite group: state tracking.
//
//   inputs   x_1 ... x_k, elements of G, independent and uniform
//   targets  y_t = y_{t-1} * x_t at every position, y_0 = the identity
//
// Inputs and targets are element numbers 0, ..., |G|-1 (tasks/group.h fixes
// the numbering and the order of composition: (p * q)(i) = p(q(i)), so a new
// factor is applied before the older ones). Seen as an arrangement, y_t(i) =
// y_{t-1}(x_t(i)): slot i now holds what slot x_t(i) held.
//
// A5, Z60 and A4xZ5 all have 60 elements; only A5 is not solvable. Compare
// the three.
//
// Spec: {"task": "word_problem", "group": "S5", "max_length": 32,
//        "min_length": 32, "test_min_length": 32, "test_max_length": 32}
// The length k is uniform in min_length..max_length; validation and test use
// test_min_length..test_max_length. min_length defaults to max_length, and the
// test lengths to the training lengths. As every prefix is scored, one length
// trains all shorter ones.
//
// chance() = 1/|G|; targets are exactly uniform.

#ifndef LT2_TASKS_WORD_PROBLEM_H_
#define LT2_TASKS_WORD_PROBLEM_H_

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "tasks/task.h"

namespace lt2::tasks {

absl::StatusOr<std::unique_ptr<Task>> CreateWordProblem(
    const nlohmann::json& spec, const TaskOptions& options);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_WORD_PROBLEM_H_
