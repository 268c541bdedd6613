// Has a commit made something slower, or worse? //tools:track.

#include <unistd.h>

#include <cstdio>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "kernels/core/program.h"
#include "tools/tracking/run_program.h"
#include "tools/tracking/track.h"

ABSL_FLAG(double, floor, 0.01, "compare: relative change that matters");
ABSL_FLAG(bool, paired, false,
          "compare, of files: sample i of both sides is of the same round");
ABSL_FLAG(std::string, history, "", "gate, record: file of the machine class");
ABSL_FLAG(std::string, confirm, "",
          "gate: files of a second, independent round");
ABSL_FLAG(std::string, baseline, "",
          "gate: the accepted results.json that a results.json is held to");
ABSL_FLAG(std::string, metric, "real_time",
          "what to take from files of Google Benchmark");
ABSL_FLAG(std::string, machine, "",
          "machine class, NAME=VALUE,...; empty: detected");
ABSL_FLAG(std::string, build, "", "more about the build: NAME=VALUE,...");
ABSL_FLAG(std::string, commit, "", "commit of files and of --binaries");
ABSL_FLAG(bool, all, false, "show rows that did not change too");
ABSL_FLAG(std::string, json, "", "also write the report to this file");
ABSL_FLAG(std::string, xml, "", "also write JUnit's XML to this file");
ABSL_FLAG(std::string, html, "", "also write a page to this file");
ABSL_FLAG(std::string, markdown, "", "also write the page as Markdown");
ABSL_FLAG(double, accuracy_floor, 0.01,
          "results.json: difference in accuracy that matters, absolute");
ABSL_FLAG(double, bits_floor, 0.001,
          "results.json: difference in bits per byte that matters, share");
ABSL_FLAG(double, success_floor, 0.2,
          "results.json of curricula: difference in the rate of success that "
          "matters, absolute");

ABSL_FLAG(std::string, commits, "",
          "measure these: BASE..HEAD; for record also A,B,...; for gate one");
ABSL_FLAG(std::string, binaries, "",
          "or these programs: BASE,HEAD (each a list separated by ':'); for "
          "gate and record one list");
ABSL_FLAG(std::string, benchmark, "",
          "targets to measure, separated by commas: //kernels/norm:"
          "norm_benchmark");
ABSL_FLAG(std::string, suite, "", "or a file that lists them");
ABSL_FLAG(std::string, filter, "",
          "which of their benchmarks: a regular "
          "expression");
ABSL_FLAG(int, rounds, 0,
          "processes a side before the first verdict; 0: the "
          "suite's, or 7");
ABSL_FLAG(int, max_rounds, 28, "most rounds while something is UNCLEAR");
ABSL_FLAG(double, min_time, -1,
          "seconds for each benchmark of a process; negative: the suite's, 0: "
          "the program's own");
ABSL_FLAG(double, time_limit, 900, "seconds of measuring");
ABSL_FLAG(bool, confirmation, true,
          "compare: measure what is SLOWER a second time");
ABSL_FLAG(std::string, tests, "",
          "patterns of tests that must be green first; empty: those in the "
          "benchmarks' packages; none");
ABSL_FLAG(std::string, cache, "",
          "folder for worktree, builds and raw files; empty: ~/.cache/"
          "lt2-track");
ABSL_FLAG(std::string, bazel_flags, "", "for building: --jobs=2 ...");
ABSL_FLAG(std::string, out, "", "folder for raw files; empty: in the cache");

namespace {

const bool terminal = isatty(STDERR_FILENO) != 0;

void Tell(const std::string& line) {
  std::fprintf(stderr, "%s%s\n", terminal ? "\r\033[K" : "", line.c_str());
}

void Progress(const std::string& line) {
  if (terminal) std::fprintf(stderr, "\r\033[K%s", line.c_str());
}

lt2::tools::TrackOptions OptionsOfFlags() {
  lt2::tools::TrackOptions options;
  options.floor = absl::GetFlag(FLAGS_floor);
  options.paired = absl::GetFlag(FLAGS_paired);
  options.history = absl::GetFlag(FLAGS_history);
  options.confirm = absl::GetFlag(FLAGS_confirm);
  options.baseline = absl::GetFlag(FLAGS_baseline);
  options.metric = absl::GetFlag(FLAGS_metric);
  options.machine = absl::GetFlag(FLAGS_machine);
  options.build = absl::GetFlag(FLAGS_build);
  options.commit = absl::GetFlag(FLAGS_commit);
  options.all = absl::GetFlag(FLAGS_all);
  options.json = absl::GetFlag(FLAGS_json);
  options.xml = absl::GetFlag(FLAGS_xml);
  options.html = absl::GetFlag(FLAGS_html);
  options.markdown = absl::GetFlag(FLAGS_markdown);
  options.quality.accuracy_floor = absl::GetFlag(FLAGS_accuracy_floor);
  options.quality.bits_floor = absl::GetFlag(FLAGS_bits_floor);
  options.quality.success_floor = absl::GetFlag(FLAGS_success_floor);
  lt2::tools::MeasureOptions& measure = options.measure;
  measure.commits = absl::GetFlag(FLAGS_commits);
  measure.binaries = absl::GetFlag(FLAGS_binaries);
  measure.benchmark = absl::GetFlag(FLAGS_benchmark);
  measure.suite = absl::GetFlag(FLAGS_suite);
  measure.filter = absl::GetFlag(FLAGS_filter);
  measure.rounds = absl::GetFlag(FLAGS_rounds);
  measure.max_rounds = absl::GetFlag(FLAGS_max_rounds);
  measure.min_time = absl::GetFlag(FLAGS_min_time);
  measure.time_limit = absl::GetFlag(FLAGS_time_limit);
  measure.confirm = absl::GetFlag(FLAGS_confirmation);
  measure.tests = absl::GetFlag(FLAGS_tests);
  measure.cache = absl::GetFlag(FLAGS_cache);
  measure.bazel_flags = absl::GetFlag(FLAGS_bazel_flags);
  measure.out = absl::GetFlag(FLAGS_out);
  measure.tell = Tell;
  measure.progress = Progress;
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Tells whether a commit made something slower, or worse.\n"
      "  track compare --commits=BASE..HEAD --benchmark=//kernels/norm:"
      "norm_benchmark\n"
      "  track compare --binaries=BASE,HEAD\n"
      "  track compare BASE HEAD [--paired] [--floor=0.01]\n"
      "  track gate --history=FILE RESULT [--confirm=RESULT2]\n"
      "  track gate --history=FILE --commits=HEAD --suite=FILE\n"
      "  track gate --baseline=results.json results.json\n"
      "  track record --history=FILE --commit=C RESULT\n"
      "  track record --history=FILE --commits=BASE..HEAD --suite=FILE\n"
      "  track series HISTORY\n"
      "  track report HISTORY --html=FILE [--markdown=FILE]\n"
      "  track machine\n"
      "BASE, HEAD and RESULT are files, separated by commas: lines of records, "
      "or Google Benchmark's JSON of one process each; or one results.json of "
      "//evals:leaderboard or //evals:curriculum.\n"
      "Exit codes: 0 nothing is slower or worse, 1 something is, 2 something "
      "could not be measured or an error, 3 inconclusive.");
  const std::vector<char*> parsed = absl::ParseCommandLine(argc, argv);
  lt2::EnterCallersDirectory();
  lt2::tools::CatchInterrupts();
  std::string out;
  const auto code = lt2::tools::Track(
      std::vector<std::string>(parsed.begin() + 1, parsed.end()),
      OptionsOfFlags(), &out);
  if (terminal) std::fputs("\r\033[K", stderr);
  std::fputs(out.c_str(), stdout);
  if (!code.ok()) {
    std::fprintf(stderr, "track: %s\n",
                 std::string(code.status().message()).c_str());
    return 2;
  }
  return *code;
}
