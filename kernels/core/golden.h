// Reads reference vectors made by other people's code: safetensors files.
//
// A file is an 8-byte little-endian header length, a JSON header that gives
// each tensor's dtype, shape and byte range, and the bytes. Floating-point and
// integer tensors of up to 64 bits come back as doubles, which holds all of
// them exactly but I64 beyond 2^53.
//
//   LT2_ASSIGN_OR_RETURN(auto golden, ReadGolden(path));
//   const GoldenTensor& q = golden.at("q");

#ifndef LT2_KERNELS_CORE_GOLDEN_H_
#define LT2_KERNELS_CORE_GOLDEN_H_

#include <map>
#include <string>
#include <vector>

#include "kernels/core/tensor.h"

namespace lt2 {

struct GoldenTensor {
  Shape shape;
  std::vector<double> values;
};

// Every tensor of the file by name. NotFound if there is no such file,
// DataLoss if it is not a safetensors file of at most rank-5 tensors.
absl::StatusOr<std::map<std::string, GoldenTensor>> ReadGolden(
    const std::string& path);

// The strings of the header's __metadata__ (op, source, scale, ...).
absl::StatusOr<std::map<std::string, std::string>> ReadGoldenMetadata(
    const std::string& path);

// Paths of the files `directory`/`prefix`*.safetensors, sorted.
std::vector<std::string> GoldenFiles(const std::string& directory,
                                     const std::string& prefix);

}  // namespace lt2

#endif  // LT2_KERNELS_CORE_GOLDEN_H_
