#include "tools/tracking/track.h"

#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "bench/tracking/change_points.h"
#include "bench/tracking/google_benchmark.h"
#include "bench/tracking/records.h"
#include "evals/stats/table.h"
#include "model/io/atomic_file.h"
#include "tools/tracking/report.h"

namespace lt2::tools {
namespace {

using bench::Record;

// "a=1,b=2"
absl::StatusOr<std::map<std::string, std::string>> ParsePairs(
    const char* what, const std::string& text) {
  std::map<std::string, std::string> pairs;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> pair =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    if (pair.first.empty() || pair.second.empty() ||
        !pairs.insert(pair).second) {
      return InvalidArgument(what, ": expected distinct NAME=VALUE, got '",
                             text, "'");
    }
  }
  return pairs;
}

absl::StatusOr<std::vector<Record>> ReadSide(const std::string& files,
                                             const TrackOptions& options) {
  const std::vector<std::string> paths = absl::StrSplit(files, ',');
  std::vector<Record> records;
  for (const std::string& path : paths) {
    LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
    std::vector<Record> some;
    if (bench::LooksLikeGoogleBenchmark(text)) {
      bench::GoogleBenchmarkOptions google;
      google.metric = options.metric;
      google.commit = options.commit;
      LT2_ASSIGN_OR_RETURN(google.machine,
                           ParsePairs("--machine", options.machine));
      LT2_ASSIGN_OR_RETURN(google.build, ParsePairs("--build", options.build));
      google.sampling = paths.size() > 1 ? bench::Sampling::kProcess
                                         : bench::Sampling::kRepetition;
      LT2_ASSIGN_OR_RETURN(some,
                           bench::ParseGoogleBenchmark(text, path, google));
    } else {
      LT2_ASSIGN_OR_RETURN(some, bench::ParseRecords(text, path));
    }
    records.insert(records.end(), some.begin(), some.end());
  }
  return records;
}

absl::StatusOr<std::vector<Record>> ReadHistory(const std::string& path) {
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
  return bench::ParseHistory(text, path);
}

absl::StatusOr<int> Finish(const bench::Report& report,
                           const TrackOptions& options, std::string* out) {
  out->append(ReportText(report, options.all));
  if (!options.json.empty()) {
    LT2_RETURN_IF_ERROR(model::WriteFileAtomically(
        options.json, ReportJson(report).dump(1) + "\n"));
  }
  if (!options.xml.empty()) {
    LT2_RETURN_IF_ERROR(
        model::WriteFileAtomically(options.xml, ReportJUnit(report)));
  }
  return report.ExitCode();
}

absl::StatusOr<int> Compare(const std::string& base_files,
                            const std::string& head_files,
                            const TrackOptions& options, std::string* out) {
  LT2_ASSIGN_OR_RETURN(const auto base, ReadSide(base_files, options));
  LT2_ASSIGN_OR_RETURN(const auto head, ReadSide(head_files, options));
  bench::CompareOptions compare;
  compare.floor = options.floor;
  compare.paired = options.paired;
  LT2_ASSIGN_OR_RETURN(const bench::Report report,
                       bench::CompareRecords(base, head, compare));
  return Finish(report, options, out);
}

absl::StatusOr<int> RunGate(const std::string& files,
                            const TrackOptions& options, std::string* out) {
  if (options.history.empty()) return InvalidArgument("gate needs --history");
  LT2_ASSIGN_OR_RETURN(const auto history, ReadHistory(options.history));
  LT2_ASSIGN_OR_RETURN(const auto head, ReadSide(files, options));
  std::vector<Record> second;
  if (!options.confirm.empty()) {
    LT2_ASSIGN_OR_RETURN(second, ReadSide(options.confirm, options));
  }
  LT2_ASSIGN_OR_RETURN(const bench::Report report,
                       bench::Gate(history, head, second, {}));
  return Finish(report, options, out);
}

absl::StatusOr<int> AppendToHistory(const std::string& files,
                                    const TrackOptions& options,
                                    std::string* out) {
  if (options.history.empty()) return InvalidArgument("record needs --history");
  LT2_ASSIGN_OR_RETURN(const auto records, ReadSide(files, options));
  LT2_ASSIGN_OR_RETURN(const auto merged, bench::MergeProcesses(records));
  if (merged.empty()) return InvalidArgument(files, ": no records");
  std::string text;
  const auto before = model::ReadFile(options.history);
  if (before.ok()) {
    text = *before;
  } else if (!absl::IsNotFound(before.status())) {
    return before.status();
  }
  if (!text.empty() && text.back() != '\n') text += '\n';
  for (const Record& record : merged) {
    if (record.commit.empty()) {
      return InvalidArgument(record.Name(), ": no commit; give --commit");
    }
    absl::StrAppend(&text, bench::RecordLine(record), "\n");
  }
  // Also refuses to mix machine classes.
  LT2_ASSIGN_OR_RETURN(const auto all,
                       bench::ParseHistory(text, options.history));
  LT2_RETURN_IF_ERROR(model::WriteFileAtomically(options.history, text));
  absl::StrAppend(out, "appended ", merged.size(), " records, now ", all.size(),
                  " in ", options.history, "\n");
  return 0;
}

absl::StatusOr<int> Series(const std::string& path, std::string* out) {
  LT2_ASSIGN_OR_RETURN(const auto history, ReadHistory(path));
  std::map<std::string, std::vector<const Record*>> series;
  std::vector<std::string> order;
  for (const Record& record : history) {
    const std::string key = record.Key();
    if (series[key].empty()) order.push_back(key);
    series[key].push_back(&record);
  }
  const auto right = evals::Align::kRight;
  evals::Table table({{"benchmark"},
                      {"first commit"},
                      {"last before"},
                      {"change", right},
                      {"interval %", right},
                      {"p", right},
                      {"verdict"}});
  int worse = 0;
  int64_t left_out = 0;
  for (const std::string& key : order) {
    std::vector<double> medians;
    std::vector<const Record*> measured;
    for (const Record* record : series[key]) {
      const double median = record->samples.empty()
                                ? std::nan("")
                                : bench::Median(record->samples);
      bool whole = !record->samples.empty();
      for (double x : record->samples) whole = whole && x > 0;
      if (!whole) {
        ++left_out;
        continue;
      }
      medians.push_back(median);
      measured.push_back(record);
    }
    LT2_ASSIGN_OR_RETURN(const auto points, bench::FindChangePoints(medians));
    for (const bench::ChangePoint& point : points) {
      const Record& first = *measured[point.first];
      const bool is_worse = (point.change > 0) != first.higher_is_better;
      worse += is_worse;
      table.AddRow(
          {first.Name(), first.commit, measured[point.first - 1]->commit,
           bench::Percent(point.change),
           absl::StrFormat("[%+.2f, %+.2f]", 100 * std::expm1(point.low),
                           100 * std::expm1(point.high)),
           absl::StrFormat("%.5f", point.p_value),
           is_worse ? "WORSE" : "BETTER"});
    }
  }
  if (table.rows() > 0) absl::StrAppend(out, table.ToText(), "\n");
  absl::StrAppend(out, order.size(), " series, ", table.rows(),
                  " change points, ", worse, " for the worse, ", left_out,
                  " points without a value.\n");
  return worse > 0 ? 1 : 0;
}

}  // namespace

absl::StatusOr<int> Track(const std::vector<std::string>& arguments,
                          const TrackOptions& options, std::string* out) {
  const std::string command = arguments.empty() ? "" : arguments[0];
  if (command == "compare" && arguments.size() == 3) {
    return Compare(arguments[1], arguments[2], options, out);
  }
  if (command == "gate" && arguments.size() == 2) {
    return RunGate(arguments[1], options, out);
  }
  if (command == "record" && arguments.size() == 2) {
    return AppendToHistory(arguments[1], options, out);
  }
  if (command == "series" && arguments.size() == 2) {
    return Series(arguments[1], out);
  }
  return InvalidArgument(
      "expected 'compare BASE HEAD', 'gate RESULT', 'record RESULT' or "
      "'series HISTORY', got '",
      absl::StrJoin(arguments, " "), "'");
}

}  // namespace lt2::tools
