// What the task "text" is made of: its spec, read and written, and its files.
// text.h and token_text.h say what the keys mean.

#ifndef LT2_TASKS_TEXT_SPEC_H_
#define LT2_TASKS_TEXT_SPEC_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tasks/task.h"

namespace lt2::tasks {

struct TextSpec {
  int64_t length = 0;
  std::vector<std::string> train_files, valid_files, test_files;
  double valid_fraction = 0;  // 0: valid_files are given
  std::string tokenizer;      // "": bytes, with 0 between documents
  std::string tokenizer_digest;

  nlohmann::json ToJson() const;
};

// Unknown keys, wrong types and impossible values are errors that begin with
// the key's path; files are not looked at.
absl::StatusOr<TextSpec> ReadTextSpec(const nlohmann::json& spec,
                                      const std::string& path);

// `name` from `directory`, unless it is absolute.
std::string PathIn(absl::string_view directory, const std::string& name);

// Streams as AppendDocuments (text_file.h) writes them: each document has a 0
// byte before it. Errors begin with the key of the spec.
struct TextStreams {
  std::string train, valid, test;
};
absl::StatusOr<TextStreams> ReadStreams(const TextSpec& spec,
                                        const TaskOptions& options);

// "data.length" for the key "length" of a spec at "data".
std::string KeyPath(const TaskOptions& options, absl::string_view key);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TEXT_SPEC_H_
