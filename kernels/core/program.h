// What every program does first.

#ifndef LT2_KERNELS_CORE_PROGRAM_H_
#define LT2_KERNELS_CORE_PROGRAM_H_

#include <unistd.h>

#include <cstdlib>

namespace lt2 {

// `bazel run` starts programs in a folder of Bazel's; paths on the command line
// are meant from where the user typed it, which Bazel tells in the environment.
// Programs read the repository's own files (testdata/) from the former: take
// RunfilesPath before.
inline void EnterCallersDirectory() {
  const char* directory = std::getenv("BUILD_WORKING_DIRECTORY");
  if (directory != nullptr && chdir(directory) != 0) {
    // Keep the current directory: paths will fail by name, if at all.
  }
}

}  // namespace lt2

#endif  // LT2_KERNELS_CORE_PROGRAM_H_
