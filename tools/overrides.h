// The --set flags of a command line.

#ifndef LT2_TOOLS_OVERRIDES_H_
#define LT2_TOOLS_OVERRIDES_H_

#include <string>
#include <vector>

namespace lt2::tools {

// Takes the "--set key=value" pairs out of argv: an absl flag keeps only the
// last of several.
inline std::vector<std::string> TakeOverrides(int* argc, char** argv) {
  std::vector<std::string> overrides;
  int kept = 0;
  for (int i = 0; i < *argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--set" && i + 1 < *argc) {
      overrides.push_back(argv[++i]);
    } else if (argument.rfind("--set=", 0) == 0) {
      overrides.push_back(argument.substr(6));
    } else {
      argv[kept++] = argv[i];
    }
  }
  *argc = kept;
  return overrides;
}

}  // namespace lt2::tools

#endif  // LT2_TOOLS_OVERRIDES_H_
