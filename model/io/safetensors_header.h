// The JSON header of a safetensors file, read without building a document: the
// memory used follows from the entries that are kept, and the nesting is that
// of the format or an error.

#ifndef LT2_MODEL_IO_SAFETENSORS_HEADER_H_
#define LT2_MODEL_IO_SAFETENSORS_HEADER_H_

#include <map>
#include <string>
#include <vector>

#include "model/io/safetensors.h"

namespace lt2::model::internal {

struct SafetensorsHeader {
  std::vector<SafetensorsInfo> tensors;  // in the header's order
  std::map<std::string, std::string> metadata;
};

// Checks each entry by itself; how entries lie in the data is for the caller.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(
    absl::string_view json, absl::string_view source);

// The number of bytes of a tensor, or an error naming `info` if that is more
// than an int64 holds.
absl::StatusOr<int64_t> CheckedBytes(const SafetensorsInfo& info);

}  // namespace lt2::model::internal

#endif  // LT2_MODEL_IO_SAFETENSORS_HEADER_H_
