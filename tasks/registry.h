// The table of tasks. A new task is one line in registry.cc.

#ifndef LT2_TASKS_REGISTRY_H_
#define LT2_TASKS_REGISTRY_H_

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "tasks/task.h"

namespace lt2::tasks {

// Makes one kind of task. The key "task" is in the spec, so a factory has to
// read it too.
using TaskFactory = absl::StatusOr<std::unique_ptr<Task>> (*)(
    const nlohmann::json& spec, const TaskOptions& options);

struct TaskEntry {
  absl::string_view name;
  TaskFactory create;
};

// Sorted by name.
absl::Span<const TaskEntry> TaskTable();

}  // namespace lt2::tasks

#endif  // LT2_TASKS_REGISTRY_H_
