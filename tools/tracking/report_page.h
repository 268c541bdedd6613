// The page of a comparison or a gate: an entry for each row, with its interval
// on one common axis.

#ifndef LT2_TOOLS_TRACKING_REPORT_PAGE_H_
#define LT2_TOOLS_TRACKING_REPORT_PAGE_H_

#include <string>
#include <utility>
#include <vector>

#include "bench/tracking/compare.h"
#include "tools/tracking/page.h"

namespace lt2::tools {

// `about` says how it was measured; `next` are more steps for the reader, after
// what the verdict itself asks for.
Page ReportPage(const bench::Report& report, const std::string& title,
                std::vector<std::pair<std::string, std::string>> about,
                std::vector<PageStep> next);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TRACKING_REPORT_PAGE_H_
