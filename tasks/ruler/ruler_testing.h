// What the tests of RULER share: specs of small tasks, and solvers that read
// nothing but the prompt.

#ifndef LT2_TASKS_RULER_RULER_TESTING_H_
#define LT2_TASKS_RULER_RULER_TESTING_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tasks/ruler/ruler.h"

namespace lt2::tasks {

// The tokenizer whose tokens are bytes.
const Tokenizer& Bytes();

// Writes a file of the test's folder; its path.
std::string WriteFile(const std::string& name, const std::string& text);

// A task with the text of testdata/text or files of made-up questions.
nlohmann::json SpecOf(const std::string& name, int64_t max_length = 16384);

// With Bytes(); keys in errors begin with "r.".
absl::StatusOr<std::unique_ptr<RulerTask>> TryRuler(const nlohmann::json& spec);
std::unique_ptr<RulerTask> MakeRuler(const nlohmann::json& spec);

// What is between `before` and `after`, at each place of `before`.
std::vector<std::string> Between(const std::string& text,
                                 const std::string& before,
                                 const std::string& after);
std::string AfterLast(const std::string& text, const std::string& mark);

// The answers of task `name`, in any order.
std::vector<std::string> Solve(const std::string& name,
                               const std::string& prompt);

std::vector<std::string> Sorted(std::vector<std::string> words);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_RULER_RULER_TESTING_H_
