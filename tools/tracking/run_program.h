// Programs that are waited for: git, Bazel, benchmarks.

#ifndef LT2_TOOLS_TRACKING_RUN_PROGRAM_H_
#define LT2_TOOLS_TRACKING_RUN_PROGRAM_H_

#include <atomic>
#include <string>
#include <vector>

#include "kernels/core/status.h"

namespace lt2::tools {

// Set by Ctrl-C. Everything that takes long looks at it.
extern std::atomic<bool> interrupted;
// Makes SIGINT and SIGTERM set it; a second one ends the program.
void CatchInterrupts();

// Runs `command` (its first entry an absolute path, or a name that is looked up
// in PATH) to its end; its output is appended to the file `log`. Not 0 is an
// error that names the command, the last line of its output and the log.
// `Cancelled` if interrupted: the program is told to stop (SIGINT, and SIGKILL
// after 10 seconds), and waited for.
absl::Status RunProgram(const std::vector<std::string>& command,
                        const std::string& log,
                        const std::vector<std::string>& environment = {});

// The same of a short command; returns what it prints to its standard output
// and error.
absl::StatusOr<std::string> OutputOf(const std::vector<std::string>& command);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TRACKING_RUN_PROGRAM_H_
