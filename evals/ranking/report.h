// The leaderboard's outputs, all from the same rows: a table for the terminal,
// a Markdown report, and JSON (schema in evals/README.md).

#ifndef LT2_EVALS_RANKING_REPORT_H_
#define LT2_EVALS_RANKING_REPORT_H_

#include <string>
#include <vector>

#include "evals/ranking/run.h"
#include "nlohmann/json.hpp"

namespace lt2::evals {

inline constexpr int kResultsSchemaVersion = 1;

// What is said of a whole run beside its rows.
struct RunInfo {
  std::string build;    // compiler and build id
  std::string machine;  // processor or GPU
  std::string command;
  double seconds = 0;
};

// One table for each column, best first, and an overview (models x columns).
std::string TextReport(const std::vector<Row>& rows, const RunInfo& info);
std::string MarkdownReport(const std::vector<Row>& rows, const RunInfo& info);
nlohmann::json JsonReport(const std::vector<Row>& rows, const RunInfo& info);

// "1.23M", "512", "4.5k".
std::string Short(double number);

}  // namespace lt2::evals

#endif  // LT2_EVALS_RANKING_REPORT_H_
