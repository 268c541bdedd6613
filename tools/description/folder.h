// What a model's folder holds, tensor by tensor, against what its configuration
// needs. Nothing is loaded.

#ifndef LT2_TOOLS_DESCRIPTION_FOLDER_H_
#define LT2_TOOLS_DESCRIPTION_FOLDER_H_

#include <string>

#include "kernels/core/status.h"
#include "nlohmann/json.hpp"

namespace lt2::tools {

struct FolderDescription {
  // A table of the tensors (name, type, shape, file, what it is for), a line
  // for each problem and note.
  std::string text;
  nlohmann::json json;  // the same: "tensors", "problems", "notes"
  // OK if LoadModelFolder would take it, else its error.
  absl::Status status;
};

// Whether `path` is a folder with weights.
bool HasWeights(const std::string& path);

// Files that cannot be read at all are in `status` and `text` too.
absl::StatusOr<FolderDescription> DescribeFolder(const std::string& path);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_DESCRIPTION_FOLDER_H_
