#include "tools/tracking/program_bench.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "bench/tracking/google_benchmark.h"
#include "kernels/core/json/strict_json.h"
#include "model/io/atomic_file.h"
#include "tools/tracking/run_program.h"

namespace lt2::tools {
namespace {

using bench::Record;
using nlohmann::json;

// Names of the file's benchmarks, each once, as the filter wants them.
std::vector<std::string> RunNames(const json& file) {
  std::vector<std::string> names;
  for (const json& run : file["benchmarks"]) {
    if (run.value("run_type", "") == "aggregate") continue;
    const std::string name = run.value("run_name", run.value("name", ""));
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      names.push_back(name);
    }
  }
  return names;
}

}  // namespace

void ProgramBench::Range::Add(double x) {
  low = std::min(low, x);
  high = std::max(high, x);
}

ProgramBench::ProgramBench(std::vector<BenchSide> sides,
                           ProgramBenchOptions options)
    : sides_(std::move(sides)),
      options_(std::move(options)),
      processes_(options_.first_process) {}

int ProgramBench::programs() const {
  return static_cast<int>(sides_[0].programs.size());
}

absl::StatusOr<std::vector<Record>> ProgramBench::Run(
    int side, const Selection& selection) {
  const BenchSide& of = sides_[static_cast<size_t>(side)];
  const BenchProgram& program =
      of.programs[static_cast<size_t>(selection.program)];
  if (program.path.empty()) return std::vector<Record>();
  const uint64_t number = processes_++;
  const std::string stem =
      absl::StrCat(options_.out, "/", of.label, "-", program.suite, "-",
                   absl::StrFormat("%04d", number));
  const std::string file = stem + ".json", log = stem + ".txt";
  std::string filter = program.filter;
  if (!selection.subjects.empty()) {
    std::vector<std::string> wanted;
    for (const std::string& subject : selection.subjects) {
      const auto name = names_.find(subject);
      if (name == names_.end()) {
        wanted.clear();  // Not known by one name: then all of them.
        break;
      }
      wanted.push_back(QuoteForFilter(name->second));
    }
    if (!wanted.empty()) {
      filter = absl::StrCat("^(", absl::StrJoin(wanted, "|"), ")$");
    }
  }
  std::vector<std::string> command = {program.path, "--benchmark_out=" + file,
                                      "--benchmark_out_format=json"};
  if (!filter.empty()) command.push_back("--benchmark_filter=" + filter);
  if (program.min_time > 0) {
    command.push_back(
        absl::StrFormat("--benchmark_min_time=%g", program.min_time));
  }
  // The number is for programs that are made to test this one.
  LT2_RETURN_IF_ERROR(
      RunProgram(command, log, {absl::StrCat("LT2_TRACK_PROCESS=", number)}));
  std::remove(log.c_str());
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(file));
  // No benchmark fits the filter: rows that only the other side has, or no
  // rows, say so.
  if (text.empty()) return std::vector<Record>();
  bench::GoogleBenchmarkOptions google;
  google.metric = options_.metric;
  google.machine = options_.machine;
  google.build = options_.build;
  google.commit = of.commit;
  LT2_ASSIGN_OR_RETURN(std::vector<Record> records,
                       bench::ParseGoogleBenchmark(text, file, google));
  LT2_ASSIGN_OR_RETURN(const json parsed, ParseJson(text, file));
  const json& context = parsed["context"];
  if (context.contains("mhz_per_cpu") && context["mhz_per_cpu"].is_number()) {
    megahertz_.Add(context["mhz_per_cpu"].get<double>());
  }
  if (context.contains("load_avg") && context["load_avg"].is_array() &&
      !context["load_avg"].empty() && context["load_avg"][0].is_number()) {
    load_.Add(context["load_avg"][0].get<double>());
  }
  for (Record& record : records) record.suite = program.suite;
  const std::vector<std::string> names = RunNames(parsed);
  if (names.size() == records.size()) {
    for (size_t i = 0; i < names.size(); ++i) {
      names_[records[i].Subject()] = names[i];
    }
  }
  return records;
}

double ProgramBench::Seconds() {
  const std::chrono::duration<double> now =
      std::chrono::steady_clock::now().time_since_epoch();
  return now.count();
}

bool ProgramBench::Interrupted() { return interrupted; }

std::string QuoteForFilter(const std::string& text) {
  std::string quoted;
  for (const char c : text) {
    if (std::string("\\^$.|?*+()[]{}").find(c) != std::string::npos) {
      quoted += '\\';
    }
    quoted += c;
  }
  return quoted;
}

}  // namespace lt2::tools
