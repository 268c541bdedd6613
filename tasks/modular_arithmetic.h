// Modular arithmetic: the value of an expression modulo a small number.
//
//   inputs    the expression's tokens, then "="
//   targets   the value, as a digit token, at "="; nothing else is scored
//
// Tokens: 0 padding; 1 + d for the digit d in 0..M-1; then + - * =, and ( )
// where brackets are on. M = 5 gives the published vocabularies of 10 and 12.
//
// Without brackets (a regular language): d op d op ... d with uniform digits
// and operators and the usual precedence, * before + and -, equal ones from
// the left: 2 - 3 - 3 * 2 = 3 (mod 5).
//
// With brackets (context-free): an expression of n tokens is
//   n = 1   d              n = 3   ( d )
//   n = 2   - d            n = 4   ( - d )
//   n >= 5  ( L op R )     |L| uniform in 1..n-4, |R| = n - 3 - |L|,
//                          op uniform, L and R expressions
// the scheme of Deletang et al., "Neural networks and the Chomsky hierarchy".
//
// Spec: {"task": "modular_arithmetic", "modulus": 5, "brackets": false,
//        "train_min": 3, "train_max": 40, "test_min": 40, "test_max": 256}
// The number n of the expression's tokens ("=" not counted) is uniform among
// the possible ones in train_min..train_max (odd without brackets);
// validation and test use test_min..test_max.
//
// chance() = 1/M, a uniform guess. Short expressions favour 0 a little (one
// operand of * that is 0 decides); at length 40 that no longer shows.

#ifndef LT2_TASKS_MODULAR_ARITHMETIC_H_
#define LT2_TASKS_MODULAR_ARITHMETIC_H_

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "tasks/task.h"

namespace lt2::tasks {

absl::StatusOr<std::unique_ptr<Task>> CreateModularArithmetic(
    const nlohmann::json& spec, const TaskOptions& options);

// The tokens as text without spaces, e.g. "2-3-3*2="; padding is skipped.
std::string ModularArithmeticText(const std::vector<int32_t>& tokens,
                                  int64_t modulus);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_MODULAR_ARITHMETIC_H_
