#include "tools/tracking/suite.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bench/tracking/rank_tests.h"
#include "kernels/core/json/json_reader.h"

namespace lt2::tools {

absl::StatusOr<Suite> ParseSuite(absl::string_view text,
                                 absl::string_view source) {
  LT2_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, source));
  JsonReader reader(json, source);
  reader.Require({"schema_version", "benchmarks"});
  reader.Int("schema_version", 0, 1, 1);
  Suite suite;
  suite.rounds =
      static_cast<int>(reader.Int("rounds", 7, 1, bench::kMostSamples));
  suite.min_time = reader.Float("min_time", 0, 0, 3600);
  for (JsonReader& entry : reader.Objects("benchmarks")) {
    entry.Require({"target"});
    const std::string target = entry.String("target", "");
    const absl::Status valid = SplitTarget(target).status();
    if (!valid.ok()) entry.Fail("target", valid.message());
    suite.entries.push_back({target, entry.String("filter", "")});
  }
  if (suite.entries.empty()) reader.Fail("benchmarks", "expected at least one");
  LT2_RETURN_IF_ERROR(reader.Finish());
  return suite;
}

absl::StatusOr<std::pair<std::string, std::string>> SplitTarget(
    const std::string& target) {
  const size_t colon = target.find(':');
  const std::string package = target.substr(0, colon);
  if (!absl::StartsWith(package, "//") || package.size() < 3 ||
      absl::StrContains(target, "...") || absl::StrContains(target, " ")) {
    return InvalidArgument(
        "expected a target such as //kernels/norm:norm_benchmark, got '",
        target, "'");
  }
  const std::string name = colon == std::string::npos
                               ? package.substr(package.rfind('/') + 1)
                               : target.substr(colon + 1);
  if (name.empty()) return InvalidArgument("no name in '", target, "'");
  return std::make_pair(package.substr(2), name);
}

std::vector<std::string> TestsOf(const Suite& suite,
                                 const std::string& wanted) {
  if (wanted == "none") return {};
  if (!wanted.empty()) return absl::StrSplit(wanted, ',', absl::SkipEmpty());
  std::vector<std::string> tests;
  for (const Suite::Entry& entry : suite.entries) {
    const std::string test =
        absl::StrCat(entry.target.substr(0, entry.target.rfind(':')), ":all");
    if (std::find(tests.begin(), tests.end(), test) == tests.end()) {
      tests.push_back(test);
    }
  }
  return tests;
}

}  // namespace lt2::tools
