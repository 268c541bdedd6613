// What a comparison says: text and Markdown for people (worst first, rows that
// did not change folded into a count, then what to do next), and JSON.

#ifndef LT2_EVALS_COMPARISON_REPORT_H_
#define LT2_EVALS_COMPARISON_REPORT_H_

#include <string>
#include <vector>

#include "evals/comparison/compare.h"

namespace lt2::evals {

inline constexpr int kComparisonSchemaVersion = 1;

// `all`: unchanged rows too.
std::string ComparisonText(const ResultsFile& base, const ResultsFile& head,
                           const std::vector<Comparison>& comparisons,
                           bool all);
nlohmann::json ComparisonJson(const ResultsFile& base, const ResultsFile& head,
                              const std::vector<Comparison>& comparisons);

}  // namespace lt2::evals

#endif  // LT2_EVALS_COMPARISON_REPORT_H_
