// What a comparison of speed says: text for people (worst first, rows that did
// not change folded into a count, then what to do next), JSON for programs, and
// JUnit's XML for CI.

#ifndef LT2_TOOLS_TRACKING_REPORT_H_
#define LT2_TOOLS_TRACKING_REPORT_H_

#include <string>

#include "bench/tracking/compare.h"
#include "nlohmann/json.hpp"

namespace lt2::tools {

inline constexpr int kTrackSchemaVersion = 1;

// `all`: unchanged rows too.
std::string ReportText(const bench::Report& report, bool all);
// Changes and intervals are ratios - 1 of the cost; null where not measured.
nlohmann::ordered_json ReportJson(const bench::Report& report);
// A slower row is a failure; one that could not be measured an error; one that
// is unclear, a hint, unconfirmed or without baseline is skipped, with why.
std::string ReportJUnit(const bench::Report& report);

// "1.23 ms" of 1.23e6 and "ns"; other units as they are.
std::string ValueText(double value, const std::string& unit);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TRACKING_REPORT_H_
