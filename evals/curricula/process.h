// Programs that run beside ours.
//
// Each is in a process group of its own, so that Ctrl-C reaches us alone and we
// pass it on once (a second one would kill a program before it has saved its
// checkpoint). If we are killed, the system sends them SIGTERM.

#ifndef LT2_EVALS_CURRICULA_PROCESS_H_
#define LT2_EVALS_CURRICULA_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "kernels/core/status.h"

namespace lt2::evals {

struct ProgramSpec {
  std::string path;
  std::vector<std::string> arguments;
  std::vector<std::string> environment;  // "NAME=value", added or replaced
  std::string output;  // file that both outputs are appended to
};

absl::StatusOr<pid_t> StartProgram(const ProgramSpec& spec);

struct ProgramEnd {
  bool running = true;
  int exit_code = 0;  // 128 + signal if one killed it
};

// Looks whether the program has ended, without waiting.
absl::StatusOr<ProgramEnd> PollProgram(pid_t pid);

}  // namespace lt2::evals

#endif  // LT2_EVALS_CURRICULA_PROCESS_H_
