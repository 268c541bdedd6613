// Has a commit made something slower? //tools:track.

#include <cstdio>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "kernels/core/program.h"
#include "tools/tracking/track.h"

ABSL_FLAG(double, floor, 0.01, "compare: relative change that matters");
ABSL_FLAG(bool, paired, false,
          "compare: sample i of both sides was measured in the same round");
ABSL_FLAG(std::string, history, "", "gate, record: file of the machine class");
ABSL_FLAG(std::string, confirm, "",
          "gate: files of a second, independent round");
ABSL_FLAG(std::string, metric, "real_time",
          "what to take from files of Google Benchmark");
ABSL_FLAG(std::string, machine, "",
          "machine class of files of Google Benchmark: NAME=VALUE,...");
ABSL_FLAG(std::string, build, "", "their build: NAME=VALUE,...");
ABSL_FLAG(std::string, commit, "", "their commit");
ABSL_FLAG(bool, all, false, "show rows that did not change too");
ABSL_FLAG(std::string, json, "", "also write the report to this file");
ABSL_FLAG(std::string, xml, "", "also write JUnit's XML to this file");

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Tells whether a commit made something slower.\n"
      "  track compare BASE HEAD [--paired] [--floor=0.01]\n"
      "  track gate --history=FILE RESULT [--confirm=RESULT2]\n"
      "  track record --history=FILE --commit=C [--machine=...] RESULT\n"
      "  track series HISTORY\n"
      "BASE, HEAD and RESULT are files, separated by commas: lines of records, "
      "or Google Benchmark's JSON of one process each.\n"
      "Exit codes: 0 nothing is slower, 1 something is, 2 something could not "
      "be measured or an error, 3 inconclusive.");
  const std::vector<char*> parsed = absl::ParseCommandLine(argc, argv);
  lt2::EnterCallersDirectory();
  lt2::tools::TrackOptions options;
  options.floor = absl::GetFlag(FLAGS_floor);
  options.paired = absl::GetFlag(FLAGS_paired);
  options.history = absl::GetFlag(FLAGS_history);
  options.confirm = absl::GetFlag(FLAGS_confirm);
  options.metric = absl::GetFlag(FLAGS_metric);
  options.machine = absl::GetFlag(FLAGS_machine);
  options.build = absl::GetFlag(FLAGS_build);
  options.commit = absl::GetFlag(FLAGS_commit);
  options.all = absl::GetFlag(FLAGS_all);
  options.json = absl::GetFlag(FLAGS_json);
  options.xml = absl::GetFlag(FLAGS_xml);
  std::string out;
  const auto code = lt2::tools::Track(
      std::vector<std::string>(parsed.begin() + 1, parsed.end()), options,
      &out);
  std::fputs(out.c_str(), stdout);
  if (!code.ok()) {
    std::fprintf(stderr, "track: %s\n",
                 std::string(code.status().message()).c_str());
    return 2;
  }
  return *code;
}
