// What the leaderboard measures: its columns.
//
// A column is a task at fixed parameters, a number of examples and a metric.
// Models are trained for a family of columns (a folder of checkpoints): a model
// of the family "program" is measured at several program lengths.
//
// To add a column: one entry in columns.cc, and checkpoints of its family.

#ifndef LT2_EVALS_RANKING_COLUMNS_H_
#define LT2_EVALS_RANKING_COLUMNS_H_

#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "tasks/task.h"

namespace lt2::evals {

enum class Metric {
  kAccuracy,     // right answers / scored positions; higher is better
  kBitsPerByte,  // -log2 p(text) / bytes; lower is better
};

struct TaskColumn {
  std::string name;    // "program32"
  std::string family;  // folder of checkpoints: "program"
  std::string title;   // one line for people
  Metric metric = Metric::kAccuracy;
  nlohmann::json spec;  // of the task
  tasks::Split split = tasks::Split::kTest;
  int64_t examples = 0;  // of a full evaluation
  bool needs_data_dir = false;
  bool carry_state = false;  // text: the model's state runs through the text
};

// All columns, in the table's order.
const std::vector<TaskColumn>& Columns();

}  // namespace lt2::evals

#endif  // LT2_EVALS_RANKING_COLUMNS_H_
