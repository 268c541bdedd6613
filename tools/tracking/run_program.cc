#include "tools/tracking/run_program.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "evals/curricula/process.h"
#include "model/io/atomic_file.h"

namespace lt2::tools {
namespace {

constexpr double kGraceSeconds = 10;

void OnInterrupt(int) {
  if (interrupted.exchange(true)) _exit(130);
}

std::string LastLine(absl::string_view text) {
  text = absl::StripTrailingAsciiWhitespace(text);
  const size_t end = text.rfind('\n');
  return std::string(end == absl::string_view::npos ? text
                                                    : text.substr(end + 1));
}

}  // namespace

std::atomic<bool> interrupted{false};

void CatchInterrupts() {
  signal(SIGINT, OnInterrupt);
  signal(SIGTERM, OnInterrupt);
}

absl::Status RunProgram(const std::vector<std::string>& command,
                        const std::string& log,
                        const std::vector<std::string>& environment) {
  evals::ProgramSpec spec;
  spec.arguments = command;
  spec.environment = environment;
  spec.output = log;
  if (!command.empty() && command[0].find('/') != std::string::npos) {
    spec.path = command[0];
    spec.arguments.erase(spec.arguments.begin());
  } else {
    spec.path = "/usr/bin/env";
  }
  LT2_ASSIGN_OR_RETURN(const pid_t pid, evals::StartProgram(spec));
  using Clock = std::chrono::steady_clock;
  Clock::time_point told;
  bool is_told = false;
  while (true) {
    LT2_ASSIGN_OR_RETURN(const evals::ProgramEnd end, evals::PollProgram(pid));
    if (!end.running) {
      if (interrupted) return absl::CancelledError("interrupted");
      if (end.exit_code == 0) return absl::OkStatus();
      const auto output = model::ReadFile(log);
      return absl::InternalError(absl::StrCat(
          absl::StrJoin(command, " "), ": exit code ", end.exit_code, ", ",
          output.ok() ? LastLine(*output) : "no output", " (", log, ")"));
    }
    if (interrupted && !is_told) {
      is_told = true;
      told = Clock::now();
      kill(-pid, SIGINT);
    }
    if (is_told &&
        Clock::now() - told > std::chrono::duration<double>(kGraceSeconds)) {
      kill(-pid, SIGKILL);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

absl::StatusOr<std::string> OutputOf(const std::vector<std::string>& command) {
  const char* temporary = std::getenv("TMPDIR");
  std::string name =
      absl::StrCat(temporary == nullptr ? "/tmp" : temporary, "/trackXXXXXX");
  const int file = mkstemp(name.data());
  if (file < 0) return absl::InternalError(absl::StrCat("cannot make ", name));
  close(file);
  const absl::Status status = RunProgram(command, name);
  const auto output = model::ReadFile(name);
  std::remove(name.c_str());
  LT2_RETURN_IF_ERROR(status);
  return output;
}

}  // namespace lt2::tools
