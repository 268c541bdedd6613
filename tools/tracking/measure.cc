#include "tools/tracking/measure.h"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "bench/tracking/machine.h"
#include "model/io/atomic_file.h"
#include "tools/tracking/checkout.h"
#include "tools/tracking/program_bench.h"
#include "tools/tracking/run_program.h"
#include "tools/tracking/suite.h"

namespace lt2::tools {
namespace {

namespace fs = std::filesystem;
using bench::Record;

constexpr size_t kShortCommit = 12;

absl::StatusOr<Suite> SuiteOf(const MeasureOptions& options) {
  if (options.suite.empty() == options.benchmark.empty()) {
    return InvalidArgument("expected one of --benchmark and --suite");
  }
  Suite suite;
  if (!options.suite.empty()) {
    LT2_ASSIGN_OR_RETURN(const std::string text,
                         model::ReadFile(options.suite));
    LT2_ASSIGN_OR_RETURN(suite, ParseSuite(text, options.suite));
  }
  for (absl::string_view target :
       absl::StrSplit(options.benchmark, ',', absl::SkipEmpty())) {
    suite.entries.push_back({std::string(target), ""});
  }
  for (Suite::Entry& entry : suite.entries) {
    LT2_RETURN_IF_ERROR(SplitTarget(entry.target).status());
    if (!options.filter.empty()) entry.filter = options.filter;
  }
  if (options.rounds > 0) suite.rounds = options.rounds;
  if (options.min_time >= 0) suite.min_time = options.min_time;
  return suite;
}

absl::StatusOr<std::string> RawFolder(const MeasureOptions& options) {
  std::string folder = options.out;
  if (folder.empty()) {
    const std::time_t now = std::time(nullptr);
    char name[32];
    std::tm parts;
    std::strftime(name, sizeof(name), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &parts));
    folder = absl::StrCat(
        options.cache.empty() ? DefaultCache() : options.cache, "/runs/", name);
  }
  std::error_code error;
  folder = fs::absolute(folder, error).string();
  fs::create_directories(folder, error);
  if (error) return InvalidArgument(folder, ": ", error.message());
  return folder;
}

// The build's part of the key: the compiler, and the flags that change code.
std::map<std::string, std::string> BuildFacts(const MeasureOptions& options) {
  std::map<std::string, std::string> build = options.build;
  const auto version = OutputOf({"g++", "-dumpfullversion"});
  if (version.ok() && build.count("compiler") == 0) {
    const std::vector<std::string> lines = absl::StrSplit(*version, '\n');
    build["compiler"] = "g++ " + lines[0];
  }
  std::vector<std::string> flags;
  for (absl::string_view flag :
       absl::StrSplit(options.bazel_flags, ' ', absl::SkipEmpty())) {
    for (const char* kind : {"--copt", "--cxxopt", "--linkopt", "--config",
                             "--repo_env", "--define", "--compilation_mode"}) {
      if (absl::StartsWith(flag, kind)) flags.push_back(std::string(flag));
    }
  }
  if (!flags.empty()) build["flags"] = absl::StrJoin(flags, " ");
  return build;
}

absl::StatusOr<std::unique_ptr<Checkout>> OpenCheckout(
    const MeasureOptions& options) {
  CheckoutOptions checkout;
  std::error_code error;
  checkout.cache =
      options.cache.empty()
          ? DefaultCache()
          : fs::absolute(options.cache, error).lexically_normal().string();
  checkout.bazel_flags =
      absl::StrSplit(options.bazel_flags, ' ', absl::SkipEmpty());
  checkout.tell = options.tell;
  return Checkout::Open(checkout);
}

absl::StatusOr<std::vector<BenchProgram>> BuildPrograms(
    Checkout& checkout, const std::string& commit, const Suite& suite,
    const std::vector<std::string>& tests) {
  std::vector<std::string> targets;
  for (const Suite::Entry& entry : suite.entries) {
    targets.push_back(entry.target);
  }
  LT2_ASSIGN_OR_RETURN(const std::vector<std::string> paths,
                       checkout.Build(commit, targets, tests));
  std::vector<BenchProgram> programs;
  for (size_t i = 0; i < paths.size(); ++i) {
    LT2_ASSIGN_OR_RETURN(const auto parts, SplitTarget(targets[i]));
    programs.push_back(
        {paths[i], parts.second, suite.entries[i].filter, suite.min_time});
  }
  return programs;
}

// One side for each label.
absl::StatusOr<std::vector<BenchSide>> SidesOfBinaries(
    const MeasureOptions& options, const std::vector<std::string>& labels) {
  const std::vector<std::string> lists =
      absl::StrSplit(options.binaries, ',', absl::SkipEmpty());
  if (lists.size() != labels.size()) {
    return InvalidArgument("--binaries: expected ", absl::StrJoin(labels, ","),
                           ", got '", options.binaries, "'");
  }
  std::vector<BenchSide> sides;
  for (size_t side = 0; side < lists.size(); ++side) {
    sides.push_back({labels[side], labels[side], {}});
    for (absl::string_view path : absl::StrSplit(lists[side], ':')) {
      std::error_code error;
      const fs::path program = fs::absolute(std::string(path), error);
      if (!fs::exists(program, error)) {
        return InvalidArgument("--binaries: no program ", path);
      }
      sides[side].programs.push_back(
          {program.string(), program.filename().string(), options.filter,
           std::max(0.0, options.min_time)});
    }
    if (sides[side].programs.size() != sides[0].programs.size()) {
      return InvalidArgument("--binaries: as many programs on both sides, got ",
                             sides[0].programs.size(), " and ",
                             sides[side].programs.size());
    }
    // Programs at the same place are the same suite, whatever they are called.
    for (size_t i = 0; i < sides[0].programs.size(); ++i) {
      sides[side].programs[i].suite = sides[0].programs[i].suite;
    }
  }
  return sides;
}

// The sides of MeasureCommits, built.
absl::StatusOr<std::vector<BenchSide>> SidesOfCommits(
    const MeasureOptions& options, const Suite& suite,
    const std::vector<std::string>& known) {
  LT2_ASSIGN_OR_RETURN(const auto all,
                       ResolveCommits(".", options.commits, true));
  LT2_ASSIGN_OR_RETURN(const auto checkout, OpenCheckout(options));
  const std::vector<std::string> tests = TestsOf(suite, options.tests);
  std::vector<BenchSide> sides;
  for (const std::string& commit : all) {
    const std::string name = commit.substr(0, kShortCommit);
    if (std::find(known.begin(), known.end(), name) != known.end()) {
      if (options.tell) options.tell(name + ": already in the history");
      continue;
    }
    BenchSide side{name, name, {}};
    LT2_ASSIGN_OR_RETURN(side.programs,
                         BuildPrograms(*checkout, commit, suite, tests));
    sides.push_back(std::move(side));
  }
  return sides;
}

std::string RangeText(const ProgramBench::Range& range, const char* unit) {
  return range.low == range.high
             ? absl::StrFormat("%.4g%s", range.low, unit)
             : absl::StrFormat("%.4g to %.4g%s", range.low, range.high, unit);
}

bool SameBytes(const std::string& a, const std::string& b) {
  const auto left = model::ReadFile(a), right = model::ReadFile(b);
  return left.ok() && right.ok() && *left == *right;
}

std::string Budget(const Measured& measured) {
  if (measured.ended == "clear") return "every verdict is clear";
  if (measured.ended == "max_rounds") return "--max_rounds was reached";
  if (measured.ended == "time_limit") return "--time_limit was reached";
  return "interrupted: what was measured so far";
}

}  // namespace

std::string DefaultCache() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache != 0) return absl::StrCat(cache, "/lt2-track");
  const char* home = std::getenv("HOME");
  return absl::StrCat(home == nullptr ? "/tmp" : home, "/.cache/lt2-track");
}

absl::StatusOr<ComparedBuilds> CompareBuilds(const MeasureOptions& options) {
  RoundsOptions rounds;
  rounds.rounds = options.rounds > 0 ? options.rounds : 7;
  std::vector<BenchSide> sides;
  ComparedBuilds result;
  ProgramBenchOptions bench_options;
  bench_options.metric = options.metric;
  bench_options.machine = options.machine;
  bench_options.build = options.build;
  LT2_ASSIGN_OR_RETURN(bench_options.out, RawFolder(options));
  if (!options.binaries.empty()) {
    LT2_ASSIGN_OR_RETURN(sides, SidesOfBinaries(options, {"base", "head"}));
  } else {
    LT2_ASSIGN_OR_RETURN(const Suite suite, SuiteOf(options));
    rounds.rounds = suite.rounds;
    bench_options.build = BuildFacts(options);
    LT2_ASSIGN_OR_RETURN(const auto checkout, OpenCheckout(options));
    LT2_ASSIGN_OR_RETURN(const auto commits,
                         ResolveCommits(".", options.commits, false));
    if (commits.size() != 2) {
      return InvalidArgument("--commits: expected BASE..HEAD, got '",
                             options.commits, "'");
    }
    const std::vector<std::string> tests = TestsOf(suite, options.tests);
    for (size_t i = 0; i < 2; ++i) {
      BenchSide side{
          i == 0 ? "base" : "head", commits[i].substr(0, kShortCommit), {}};
      LT2_ASSIGN_OR_RETURN(side.programs,
                           BuildPrograms(*checkout, commits[i], suite, tests));
      sides.push_back(std::move(side));
    }
  }
  result.about.push_back({"base", sides[0].commit});
  result.about.push_back({"head", sides[1].commit});
  for (size_t i = 0; i < sides[0].programs.size(); ++i) {
    const std::string &base = sides[0].programs[i].path,
                      &head = sides[1].programs[i].path;
    const bool same = SameBytes(base, head);
    result.about.push_back(
        {"program",
         absl::StrCat(sides[0].programs[i].suite,
                      same ? ": the same bytes on both sides" : "")});
    if (same && options.tell) {
      options.tell(absl::StrCat(sides[0].programs[i].suite,
                                ": both sides are the same bytes"));
    }
  }
  ProgramBench bench(sides, bench_options);
  rounds.max_rounds = std::max(options.max_rounds, rounds.rounds);
  rounds.time_limit = options.time_limit;
  rounds.confirm = options.confirm;
  rounds.compare.floor = options.floor;
  rounds.progress = options.progress;
  LT2_ASSIGN_OR_RETURN(result.measured, MeasureInRounds(bench, rounds));
  const Measured& measured = result.measured;
  result.about.push_back(
      {"rounds",
       absl::StrCat("up to ", measured.rounds, ", ", measured.processes,
                    " processes in ", Clock(measured.seconds), "; ",
                    Budget(measured))});
  result.about.push_back(
      {"machine", bench::MachineText(bench_options.machine)});
  if (!bench_options.build.empty()) {
    result.about.push_back({"build", bench::MachineText(bench_options.build)});
  }
  if (!bench.megahertz().empty()) {
    result.about.push_back({"clock", RangeText(bench.megahertz(), " MHz")});
  }
  if (!bench.load().empty()) {
    const auto cores = options.machine.find("cores");
    int count = 0;
    const bool busy = cores != options.machine.end() &&
                      absl::SimpleAtoi(cores->second, &count) &&
                      bench.load().low > count;
    result.about.push_back(
        {"load average",
         absl::StrCat(RangeText(bench.load(), ""),
                      busy ? ": more programs ran than the machine has cores, "
                             "which makes verdicts UNCLEAR"
                           : "")});
  }
  result.about.push_back({"raw files", bench_options.out});
  return result;
}

absl::StatusOr<std::vector<Record>> MeasureCommits(
    const MeasureOptions& options, const std::vector<std::string>& known) {
  Suite suite;
  std::vector<BenchSide> sides;
  ProgramBenchOptions bench_options;
  bench_options.metric = options.metric;
  bench_options.machine = options.machine;
  bench_options.build = options.build;
  bench_options.first_process = options.first_process;
  if (!options.binaries.empty()) {
    if (options.commit.empty()) {
      return InvalidArgument("--binaries: give their --commit too");
    }
    LT2_ASSIGN_OR_RETURN(sides, SidesOfBinaries(options, {options.commit}));
    if (options.rounds > 0) suite.rounds = options.rounds;
  } else {
    LT2_ASSIGN_OR_RETURN(suite, SuiteOf(options));
    LT2_ASSIGN_OR_RETURN(sides, SidesOfCommits(options, suite, known));
    bench_options.build = BuildFacts(options);
  }
  if (sides.empty()) return std::vector<Record>();
  LT2_ASSIGN_OR_RETURN(bench_options.out, RawFolder(options));
  ProgramBench bench(sides, bench_options);
  std::vector<std::vector<Record>> records(sides.size());
  const double start = bench.Seconds();
  for (int round = 0; round < suite.rounds; ++round) {
    for (size_t turn = 0; turn < sides.size(); ++turn) {
      const size_t side = round % 2 == 0 ? turn : sides.size() - 1 - turn;
      for (int program = 0; program < bench.programs(); ++program) {
        LT2_ASSIGN_OR_RETURN(
            const auto some,
            bench.Run(static_cast<int>(side), Selection{program, {}}));
        records[side].insert(records[side].end(), some.begin(), some.end());
      }
      if (!options.progress) continue;
      const double done = static_cast<double>(
          static_cast<size_t>(round) * sides.size() + turn + 1);
      const double spent = bench.Seconds() - start;
      const double total = static_cast<double>(sides.size()) * suite.rounds;
      options.progress(
          absl::StrFormat("round %d of %d, commit %d of %d, %s, about %s left",
                          round + 1, suite.rounds, turn + 1, sides.size(),
                          Clock(spent), Clock(spent / done * (total - done))));
    }
  }
  if (options.tell) {
    options.tell(absl::StrCat(
        sides.size(), " commits in ", Clock(bench.Seconds() - start),
        bench.load().empty() ? ""
                             : ", load average " + RangeText(bench.load(), ""),
        "; raw files: ", bench_options.out));
  }
  std::vector<Record> merged;
  for (const std::vector<Record>& of_commit : records) {
    LT2_ASSIGN_OR_RETURN(const auto some, bench::MergeProcesses(of_commit));
    merged.insert(merged.end(), some.begin(), some.end());
  }
  return merged;
}

}  // namespace lt2::tools
