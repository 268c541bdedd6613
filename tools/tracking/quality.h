// Quality beside speed: compares two results.json of the leaderboard (example
// by example, the rules of //evals:compare) or of a curriculum (successes of
// seeds, Fisher's exact test), and says it in the forms of //tools:track: text,
// JSON, JUnit's XML, a page, and its exit codes.

#ifndef LT2_TOOLS_TRACKING_QUALITY_H_
#define LT2_TOOLS_TRACKING_QUALITY_H_

#include <string>
#include <utility>
#include <vector>

#include "kernels/core/status.h"
#include "nlohmann/json.hpp"
#include "tools/tracking/page.h"

namespace lt2::tools {

inline constexpr int kQualitySchemaVersion = 1;

enum class QualityKind { kNone, kScores, kSuccesses };
// By its keys; kNone for what is not a results.json.
QualityKind KindOf(const nlohmann::json& json);

struct QualityOptions {
  double accuracy_floor = 0.01;  // absolute
  double bits_floor = 0.001;     // share of the base's bits per byte
  double success_floor = 0.2;    // absolute, of rates over seeds
};

// One comparison, of either kind.
struct QualityRow {
  enum class Class { kWorse, kMissing, kUnclear, kNew, kBetter, kSame };
  Class type = Class::kMissing;
  std::string suite;   // task or preset
  std::string name;    // model; row and column
  std::string label;   // the verdict of its kind: "WORSE", "IDENTICAL", ...
  std::string reason;  // of kMissing and kNew
  // Values of both sides, head - base with its interval, and how small a
  // difference would have been seen, in words.
  std::string base, head, change, detectable;
  // Of accuracy: examples that only one side got right, McNemar's exact p.
  std::string pairs;
  double estimate = 0, low = 0, high = 0;  // in the metric's unit
  double p = 1;                            // adjusted
  int64_t n = 0;                           // examples, or seeds of the head
  // The same as shares, more is worse, for the figure.
  double cost = 0, cost_low = 0, cost_high = 0, floor = 0;
};

struct QualityReport {
  QualityKind kind = QualityKind::kNone;
  std::vector<QualityRow> rows;  // worst first
  // 0 nothing is worse, 1 something is, 2 a row vanished or nothing could be
  // compared, 3 a row is unclear or new.
  int ExitCode() const;
};

// Both of one kind; `sources` name the files in errors.
absl::StatusOr<QualityReport> CompareQuality(
    const nlohmann::json& base, const nlohmann::json& head,
    const std::pair<std::string, std::string>& sources,
    const QualityOptions& options);

std::string QualityText(const QualityReport& report, bool all);
nlohmann::ordered_json QualityJson(const QualityReport& report);
std::string QualityJUnit(const QualityReport& report);
Page QualityPage(const QualityReport& report,
                 const std::pair<std::string, std::string>& sources);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TRACKING_QUALITY_H_
