#include "tasks/registry.h"

#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "kernels/core/json/json_reader.h"
#include "kernels/core/status.h"
#include "tasks/modular_arithmetic.h"
#include "tasks/mqar.h"
#include "tasks/parity.h"
#include "tasks/program.h"
#include "tasks/text.h"
#include "tasks/word_problem.h"

namespace lt2::tasks {

absl::Span<const TaskEntry> TaskTable() {
  static constexpr TaskEntry kTable[] = {
      {"modular_arithmetic", CreateModularArithmetic},
      {"mqar", CreateMqar},
      {"parity", CreateParity},
      {"program", CreateProgram},
      {"text", CreateText},
      {"word_problem", CreateWordProblem},
  };
  return kTable;
}

std::vector<std::string> TaskNames() {
  std::vector<std::string> names;
  for (const TaskEntry& entry : TaskTable()) names.emplace_back(entry.name);
  return names;
}

absl::StatusOr<std::unique_ptr<Task>> CreateTask(const nlohmann::json& spec,
                                                 const TaskOptions& options) {
  JsonReader reader(spec, options.path);
  reader.Require({"task"});
  const std::string name = reader.String("task", "");
  LT2_RETURN_IF_ERROR(reader.status());
  for (const TaskEntry& entry : TaskTable()) {
    if (entry.name == name) return entry.create(spec, options);
  }
  reader.Fail("task", "must be one of ", absl::StrJoin(TaskNames(), ", "),
              "; got \"", name.substr(0, 60), "\"");
  return reader.status();
}

}  // namespace lt2::tasks
