// bazel run //bench:peers -- [--out=FOLDER] [--time_limit=S] [--groups=G,...]
//
// Starts peers.py, which times other people's operators beside ours where
// Python has them, and tells it where our program is. Other people's operators
// are Python's, so the script is too; nothing else of the repository needs it.

#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "kernels/core/program.h"

namespace {

// The first of these files that is there, from here on; "" if none is.
std::string Find(const std::vector<std::string>& paths) {
  char folder[4096];
  if (getcwd(folder, sizeof(folder)) == nullptr) return "";
  for (const std::string& path : paths) {
    const std::string whole = path[0] == '/' ? path : folder + ("/" + path);
    if (access(whole.c_str(), R_OK) == 0) return whole;
  }
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  // Beside this program in a bundle, or in Bazel's runfiles.
  char self[4096];
  const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
  std::string here(self, n > 0 ? n : 0);
  here = here.substr(0, here.rfind('/'));
  const std::string script = Find(
      {"bench/peers/peers.py", here + "/../bench/peers/peers.py",
       here + "/peers.py", here + "/peers.runfiles/lt2/bench/peers/peers.py"});
  const std::string ours = Find({here + "/scaling", "bench/scaling/scaling",
                                 here + "/../scaling/scaling"});
  if (script.empty()) {
    std::fprintf(stderr, "peers: peers.py is not where this program looks\n");
    return 1;
  }
  lt2::EnterCallersDirectory();
  std::vector<std::string> arguments = {"python3", script};
  if (!ours.empty()) arguments.push_back("--ours=" + ours);
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  execvp("python3", pointers.data());
  std::printf("no python3 here: peers are not timed. Ours alone:\n");
  if (ours.empty()) return 0;
  std::vector<std::string> alone = {ours, "--preset=peers"};
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind("--groups", 0) != 0) alone.push_back(argument);
  }
  pointers.clear();
  for (std::string& argument : alone) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  execv(ours.c_str(), pointers.data());
  std::fprintf(stderr, "peers: cannot start %s\n", ours.c_str());
  return 1;
}
