#include "tools/tracking/track.h"

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "bench/tracking/google_benchmark.h"
#include "bench/tracking/machine.h"
#include "bench/tracking/records.h"
#include "kernels/core/json/strict_json.h"
#include "model/io/atomic_file.h"
#include "tools/tracking/history.h"
#include "tools/tracking/report.h"
#include "tools/tracking/report_page.h"

namespace lt2::tools {
namespace {

using bench::Record;
using nlohmann::json;

// Numbers of processes that no earlier series has.
constexpr uint64_t kMoreProcesses = 10000, kConfirmationProcesses = 1000000;

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

// The class of the machine that wrote a file of Google Benchmark.
absl::StatusOr<bench::MachineClass> MachineOf(const std::string& text,
                                              const std::string& path,
                                              const TrackOptions& options) {
  if (!options.machine.empty()) return ParsePairs("--machine", options.machine);
  LT2_ASSIGN_OR_RETURN(const json file, ParseJson(text, path));
  const auto context = file.find("context");
  if (context == file.end() || !context->is_object() ||
      !context->contains("host_name") || !(*context)["host_name"].is_string()) {
    return bench::MachineClass();
  }
  const std::string host = (*context)["host_name"];
  if (host == bench::HostName()) return bench::DetectMachine();
  return bench::MachineClass{{"host", host}};
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
      LT2_ASSIGN_OR_RETURN(google.machine, MachineOf(text, path, options));
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

// A results.json of the evaluations; discarded if the file is something else.
absl::StatusOr<json> ReadQuality(const std::string& path) {
  json nothing(json::value_t::discarded);
  if (absl::StrContains(path, ',')) return nothing;
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
  const auto parsed = ParseJson(text, path);
  return parsed.ok() && KindOf(*parsed) != QualityKind::kNone ? *parsed
                                                              : nothing;
}

absl::StatusOr<std::vector<Record>> ReadHistory(const std::string& path) {
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
  return bench::ParseHistory(text, path);
}

absl::StatusOr<MeasureOptions> ToMeasure(const TrackOptions& options) {
  MeasureOptions measure = options.measure;
  measure.metric = options.metric;
  measure.floor = options.floor;
  measure.commit = options.commit;
  LT2_ASSIGN_OR_RETURN(measure.machine,
                       ParsePairs("--machine", options.machine));
  if (measure.machine.empty()) measure.machine = bench::DetectMachine();
  LT2_ASSIGN_OR_RETURN(measure.build, ParsePairs("--build", options.build));
  return measure;
}

bool Measures(const TrackOptions& options) {
  return !options.measure.commits.empty() || !options.measure.binaries.empty();
}

absl::Status WriteIfWanted(const std::string& path, const std::string& text) {
  return path.empty() ? absl::OkStatus()
                      : model::WriteFileAtomically(path, text);
}

absl::Status WritePage(const Page& page, const TrackOptions& options) {
  LT2_RETURN_IF_ERROR(WriteIfWanted(options.html, PageHtml(page)));
  return WriteIfWanted(options.markdown, PageMarkdown(page));
}

using About = std::vector<std::pair<std::string, std::string>>;

absl::StatusOr<int> Finish(const bench::Report& report,
                           const std::string& title, const About& about,
                           const std::vector<PageStep>& next,
                           const TrackOptions& options, std::string* out) {
  out->append(ReportText(report, options.all));
  LT2_RETURN_IF_ERROR(
      WriteIfWanted(options.json, ReportJson(report).dump(1) + "\n"));
  LT2_RETURN_IF_ERROR(WriteIfWanted(options.xml, ReportJUnit(report)));
  LT2_RETURN_IF_ERROR(
      WritePage(ReportPage(report, title, about, next), options));
  return report.ExitCode();
}

absl::StatusOr<int> Quality(const std::string& base_path, const json& base,
                            const std::string& head_path, const json& head,
                            const TrackOptions& options, std::string* out) {
  const std::pair<std::string, std::string> sources = {base_path, head_path};
  LT2_ASSIGN_OR_RETURN(const QualityReport report,
                       CompareQuality(base, head, sources, options.quality));
  out->append(QualityText(report, options.all));
  LT2_RETURN_IF_ERROR(
      WriteIfWanted(options.json, QualityJson(report).dump(1) + "\n"));
  LT2_RETURN_IF_ERROR(WriteIfWanted(options.xml, QualityJUnit(report)));
  LT2_RETURN_IF_ERROR(WritePage(QualityPage(report, sources), options));
  return report.ExitCode();
}

absl::StatusOr<int> CompareFiles(const std::string& base_files,
                                 const std::string& head_files,
                                 const TrackOptions& options,
                                 std::string* out) {
  LT2_ASSIGN_OR_RETURN(const json scores, ReadQuality(base_files));
  if (!scores.is_discarded()) {
    LT2_ASSIGN_OR_RETURN(const json others, ReadQuality(head_files));
    return Quality(base_files, scores, head_files, others, options, out);
  }
  LT2_ASSIGN_OR_RETURN(const auto base, ReadSide(base_files, options));
  LT2_ASSIGN_OR_RETURN(const auto head, ReadSide(head_files, options));
  bench::CompareOptions compare;
  compare.floor = options.floor;
  compare.paired = options.paired;
  LT2_ASSIGN_OR_RETURN(const bench::Report report,
                       bench::CompareRecords(base, head, compare));
  About about = {{"base", base_files}, {"head", head_files}};
  if (!head.empty()) {
    about.push_back({"machine", bench::MachineText(head[0].machine)});
  }
  return Finish(report, "Speed of two builds", about, {}, options, out);
}

// The command that goes on where the rounds ended.
std::vector<PageStep> GoOn(const MeasureOptions& measure,
                           const std::string& ended) {
  if (ended == "clear" ||
      (ended == "max_rounds" && 2 * measure.max_rounds > bench::kMostSamples)) {
    return {};
  }
  std::string command = "./bazelw run //tools:track -- compare";
  for (const auto& [flag, value] :
       {std::make_pair("commits", measure.commits),
        std::make_pair("binaries", measure.binaries),
        std::make_pair("benchmark", measure.benchmark),
        std::make_pair("suite", measure.suite),
        std::make_pair("filter", measure.filter)}) {
    if (!value.empty()) {
      absl::StrAppend(&command, " --", flag, "='", value, "'");
    }
  }
  if (ended == "interrupted") return {{"To start again:", command}};
  const bool late = ended == "time_limit";
  absl::StrAppend(&command, late ? " --time_limit=" : " --max_rounds=",
                  late ? absl::StrCat(2 * measure.time_limit)
                       : absl::StrCat(2 * measure.max_rounds));
  return {{"Or let it take twice as long:", command}};
}

absl::StatusOr<int> CompareMeasured(const TrackOptions& options,
                                    std::string* out) {
  LT2_ASSIGN_OR_RETURN(const MeasureOptions measure, ToMeasure(options));
  LT2_ASSIGN_OR_RETURN(const ComparedBuilds compared, CompareBuilds(measure));
  std::vector<PageStep> next = GoOn(measure, compared.measured.ended);
  if (compared.measured.report.ExitCode() == 1 && !measure.commits.empty()) {
    next.push_back({"What lies between the two:",
                    absl::StrCat("git log --oneline ", measure.commits)});
  }
  LT2_ASSIGN_OR_RETURN(const int code,
                       Finish(compared.measured.report, "Speed of two builds",
                              compared.about, next, options, out));
  for (const auto& [key, value] : compared.about) {
    absl::StrAppend(out, key, ": ", value, "\n");
  }
  for (const PageStep& step : next) {
    absl::StrAppend(out, step.text, "\n  ", step.command, "\n");
  }
  return code;
}

absl::StatusOr<int> Gate(const std::vector<Record>& head,
                         const std::vector<Record>& second,
                         const std::vector<Record>& history, About about,
                         const TrackOptions& options, std::string* out) {
  LT2_ASSIGN_OR_RETURN(const bench::Report report,
                       bench::Gate(history, head, second, {}));
  about.insert(about.begin(), {"history", options.history});
  if (!head.empty()) {
    about.push_back({"machine", bench::MachineText(head[0].machine)});
    about.push_back({"commit", head[0].commit});
  }
  return Finish(report, "Speed against the history", about, {}, options, out);
}

absl::StatusOr<int> GateFiles(const std::string& files,
                              const TrackOptions& options, std::string* out) {
  if (!options.baseline.empty()) {
    LT2_ASSIGN_OR_RETURN(const json base, ReadQuality(options.baseline));
    LT2_ASSIGN_OR_RETURN(const json head, ReadQuality(files));
    return Quality(options.baseline, base, files, head, options, out);
  }
  if (options.history.empty()) {
    return InvalidArgument(
        "gate needs --history, or --baseline for a results.json");
  }
  LT2_ASSIGN_OR_RETURN(const auto history, ReadHistory(options.history));
  LT2_ASSIGN_OR_RETURN(const auto head, ReadSide(files, options));
  std::vector<Record> second;
  if (!options.confirm.empty()) {
    LT2_ASSIGN_OR_RETURN(second, ReadSide(options.confirm, options));
  }
  return Gate(head, second, history, {{"result", files}}, options, out);
}

// Measures until the gate finds nothing UNCLEAR, or to the most rounds.
absl::StatusOr<std::vector<Record>> MeasureForGate(
    const std::vector<Record>& history, MeasureOptions measure) {
  std::vector<Record> all;
  while (true) {
    LT2_ASSIGN_OR_RETURN(const auto more, MeasureCommits(measure, {}));
    all.insert(all.end(), more.begin(), more.end());
    LT2_ASSIGN_OR_RETURN(all, bench::MergeProcesses(all));
    LT2_ASSIGN_OR_RETURN(const bench::Report report,
                         bench::Gate(history, all, {}, {}));
    bool unclear = false;
    int rounds = 0;
    for (const bench::Row& row : report.rows) {
      unclear = unclear || row.Is(bench::Verdict::kUnclear);
    }
    for (const Record& record : all) {
      rounds = std::max(rounds, static_cast<int>(record.samples.size()));
    }
    if (!unclear || 2 * rounds > measure.max_rounds) return all;
    if (measure.tell) measure.tell("something is unclear: measuring more");
    measure.rounds = rounds;
    measure.first_process += kMoreProcesses;
  }
}

// What is SLOWER is measured a second time.
absl::StatusOr<int> GateMeasured(const TrackOptions& options,
                                 std::string* out) {
  if (options.history.empty()) return InvalidArgument("gate needs --history");
  LT2_ASSIGN_OR_RETURN(const auto history, ReadHistory(options.history));
  LT2_ASSIGN_OR_RETURN(MeasureOptions measure, ToMeasure(options));
  LT2_ASSIGN_OR_RETURN(const auto head, MeasureForGate(history, measure));
  LT2_ASSIGN_OR_RETURN(const bench::Report first,
                       bench::Gate(history, head, {}, {}));
  std::vector<Record> second;
  for (const bench::Row& row : first.rows) {
    if (!row.Is(bench::Verdict::kSlower) || row.judgement.hint) continue;
    if (measure.tell) measure.tell("something is slower: measuring again");
    measure.first_process = kConfirmationProcesses;
    LT2_ASSIGN_OR_RETURN(second, MeasureForGate(history, measure));
    break;
  }
  return Gate(head, second, history, {}, options, out);
}

absl::StatusOr<int> Append(const std::vector<Record>& records,
                           const TrackOptions& options, std::string* out) {
  LT2_ASSIGN_OR_RETURN(const std::string text,
                       AppendedHistory(records, options.history));
  LT2_ASSIGN_OR_RETURN(const auto all,
                       bench::ParseHistory(text, options.history));
  LT2_RETURN_IF_ERROR(model::WriteFileAtomically(options.history, text));
  absl::StrAppend(out, "appended ", records.size(), " records, now ",
                  all.size(), " in ", options.history, "\n");
  return 0;
}

absl::StatusOr<int> RecordFiles(const std::string& files,
                                const TrackOptions& options, std::string* out) {
  if (options.history.empty()) return InvalidArgument("record needs --history");
  LT2_ASSIGN_OR_RETURN(const auto records, ReadSide(files, options));
  LT2_ASSIGN_OR_RETURN(const auto merged, bench::MergeProcesses(records));
  if (merged.empty()) return InvalidArgument(files, ": no records");
  return Append(merged, options, out);
}

absl::StatusOr<int> RecordMeasured(const TrackOptions& options,
                                   std::string* out) {
  if (options.history.empty()) return InvalidArgument("record needs --history");
  LT2_ASSIGN_OR_RETURN(const MeasureOptions measure, ToMeasure(options));
  std::vector<std::string> known;
  const auto history = ReadHistory(options.history);
  if (history.ok()) {
    for (const Record& record : *history) known.push_back(record.commit);
  } else if (!absl::IsNotFound(history.status())) {
    return history.status();
  }
  LT2_ASSIGN_OR_RETURN(const auto records, MeasureCommits(measure, known));
  if (records.empty()) {
    absl::StrAppend(out, "nothing to append to ", options.history, "\n");
    return 0;
  }
  return Append(records, options, out);
}

absl::StatusOr<int> SeriesOf(const std::string& path, bool page,
                             const TrackOptions& options, std::string* out) {
  LT2_ASSIGN_OR_RETURN(const auto history, ReadHistory(path));
  LT2_ASSIGN_OR_RETURN(const auto series, FindSeries(history));
  absl::StrAppend(out, SeriesText(series));
  if (page) {
    if (options.html.empty() && options.markdown.empty()) {
      return InvalidArgument("report needs --html or --markdown");
    }
    LT2_ASSIGN_OR_RETURN(const Page made, HistoryPage(history, path));
    LT2_RETURN_IF_ERROR(WritePage(made, options));
  }
  return SeriesExitCode(series);
}

}  // namespace

absl::StatusOr<int> Track(const std::vector<std::string>& arguments,
                          const TrackOptions& options, std::string* out) {
  const std::string command = arguments.empty() ? "" : arguments[0];
  const size_t files = arguments.empty() ? 0 : arguments.size() - 1;
  const bool measures = files == 0 && Measures(options);
  if (command == "compare" && files == 2) {
    return CompareFiles(arguments[1], arguments[2], options, out);
  }
  if (command == "compare" && measures) return CompareMeasured(options, out);
  if (command == "gate" && files == 1) {
    return GateFiles(arguments[1], options, out);
  }
  if (command == "gate" && measures) return GateMeasured(options, out);
  if (command == "record" && files == 1) {
    return RecordFiles(arguments[1], options, out);
  }
  if (command == "record" && measures) return RecordMeasured(options, out);
  if ((command == "series" || command == "report") && files == 1) {
    return SeriesOf(arguments[1], command == "report", options, out);
  }
  if (command == "machine" && files == 0) {
    for (const auto& [key, value] : bench::DetectMachine()) {
      absl::StrAppend(out, key, "=", value, "\n");
    }
    return 0;
  }
  return InvalidArgument(
      "expected 'compare BASE HEAD', 'gate RESULT', 'record RESULT' (or these "
      "with --commits or --binaries), 'series HISTORY', 'report HISTORY' or "
      "'machine', got '",
      absl::StrJoin(arguments, " "), "'");
}

}  // namespace lt2::tools
