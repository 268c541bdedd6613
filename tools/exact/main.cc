// Did a quantity without noise move? //tools/exact.

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "kernels/core/program.h"
#include "model/io/atomic_file.h"
#include "tools/exact/compare.h"
#include "tools/exact/sections.h"

ABSL_FLAG(std::string, pinned, "tools/exact/exact.json", "the pinned record");
ABSL_FLAG(std::string, objects, "",
          "file that lists the objects of nvcc, a path a line");
ABSL_FLAG(bool, accept, false,
          "pin what was measured: rewrites tools/exact/exact.json");
ABSL_FLAG(std::vector<std::string>, sections, {},
          "only these: bits, work, launches, kernels; the others stay as they "
          "are pinned");
ABSL_FLAG(std::string, from, "",
          "take a record that --print wrote, on a machine with a GPU say, "
          "instead of measuring");
ABSL_FLAG(bool, print, false, "print the whole record as JSON and stop");
ABSL_FLAG(bool, all, false, "show every difference, not the first 60 rows");

namespace lt2::tools {
namespace {

// In the source tree if Bazel started this program.
std::string PinnedPath() {
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  const std::string pinned = absl::GetFlag(FLAGS_pinned);
  return workspace == nullptr ? pinned : absl::StrCat(workspace, "/", pinned);
}

absl::StatusOr<Measured> Load(const std::string& path) {
  EnterCallersDirectory();
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
  Measured measured;
  LT2_ASSIGN_OR_RETURN(measured.record, ParseRecord(text, path));
  for (const std::string& name : SectionNames()) {
    if (measured.record.count(name) == 0) {
      measured.unavailable[name] = absl::StrCat("not in ", path);
    }
  }
  return measured;
}

absl::StatusOr<int> Run() {
  const std::string from = absl::GetFlag(FLAGS_from);
  LT2_ASSIGN_OR_RETURN(const Measured measured,
                       from.empty() ? Measure(absl::GetFlag(FLAGS_sections),
                                              absl::GetFlag(FLAGS_objects))
                                    : Load(from));
  if (absl::GetFlag(FLAGS_print)) {
    std::fputs(RecordJson(measured.record).c_str(), stdout);
    return 0;
  }
  const std::string path = PinnedPath();
  const bool accept = absl::GetFlag(FLAGS_accept);
  Record pinned;
  const absl::StatusOr<std::string> text = model::ReadFile(path);
  if (text.ok()) {
    LT2_ASSIGN_OR_RETURN(pinned, ParseRecord(*text, path));
  } else if (!accept || !absl::IsNotFound(text.status())) {
    return text.status();
  }
  int code = 0;
  for (const SectionVerdict& verdict : Compare(pinned, measured)) {
    const size_t rows = absl::GetFlag(FLAGS_all) ? SIZE_MAX : 60;
    std::fputs(VerdictText(verdict, rows).c_str(), stdout);
    if (verdict.outcome == SectionVerdict::kDiffers) code = 1;
  }
  if (!accept) return code;
  LT2_RETURN_IF_ERROR(
      model::WriteFileAtomically(path, RecordJson(Accepted(pinned, measured))));
  std::printf("\nPinned: %s\n", path.c_str());
  return 0;
}

}  // namespace
}  // namespace lt2::tools

int main(int argc, char** argv) {
  lt2::tools::UseOneArithmetic(argv);
  absl::SetProgramUsageMessage(
      "Measures what has no noise (bits of scores, calls of operators, FLOPs, "
      "bytes, registers and spills of kernels) and compares it with the pinned "
      "record. Exit codes: 0 all is as pinned (or could not be compared, which "
      "is said), 1 something differs, 2 an error.");
  absl::ParseCommandLine(argc, argv);
  const auto code = lt2::tools::Run();
  if (!code.ok()) {
    std::fprintf(stderr, "exact: %s\n", code.status().ToString().c_str());
    return 2;
  }
  return *code;
}
