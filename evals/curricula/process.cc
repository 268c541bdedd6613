#include "evals/curricula/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"

extern char** environ;

namespace lt2::evals {
namespace {

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& s : strings) pointers.push_back(s.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> Environment(const std::vector<std::string>& changes) {
  std::vector<std::string> result = changes;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const absl::string_view old(*entry);
    const absl::string_view name = old.substr(0, old.find('=') + 1);
    bool replaced = false;
    for (const std::string& change : changes) {
      replaced |= absl::StartsWith(change, name);
    }
    if (!replaced) result.push_back(std::string(old));
  }
  return result;
}

}  // namespace

absl::StatusOr<pid_t> StartProgram(const ProgramSpec& spec) {
  std::vector<std::string> arguments = spec.arguments;
  arguments.insert(arguments.begin(), spec.path);
  std::vector<std::string> environment = Environment(spec.environment);
  const std::vector<char*> argv = Pointers(arguments);
  const std::vector<char*> envp = Pointers(environment);
  const int output = open(spec.output.c_str(),
                          O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  const int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (output < 0 || input < 0) {
    const std::string reason = std::strerror(errno);
    if (output >= 0) close(output);
    return absl::InternalError(absl::StrCat(spec.output, ": ", reason));
  }
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    // Only what is safe after fork in a program with threads.
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(126);
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execve(argv[0], argv.data(), envp.data());
    const char message[] = "cannot start the program\n";
    (void)!write(STDERR_FILENO, message, sizeof(message) - 1);
    _exit(127);
  }
  const int error = errno;
  close(output);
  close(input);
  if (child < 0) {
    return absl::InternalError(
        absl::StrCat("cannot start ", spec.path, ": ", std::strerror(error)));
  }
  return child;
}

absl::StatusOr<ProgramEnd> PollProgram(pid_t pid) {
  int status = 0;
  const pid_t got = waitpid(pid, &status, WNOHANG);
  ProgramEnd end;
  if (got == 0 || (got < 0 && errno == EINTR)) return end;
  if (got < 0) {
    return absl::InternalError(
        absl::StrCat("waiting for process ", pid, ": ", std::strerror(errno)));
  }
  end.running = false;
  end.exit_code =
      WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return end;
}

}  // namespace lt2::evals
