// Text files: plain, or compressed with xz (told by the name's end, .xz).

#ifndef LT2_TASKS_TEXT_FILE_H_
#define LT2_TASKS_TEXT_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lt2::tasks {

// Texts are kept in memory; a file (decompressed) above this is refused.
inline constexpr int64_t kMaxTextBytes = int64_t{1} << 32;

// The bytes of a file. Missing, truncated, corrupt and too large files are
// errors that name the file.
absl::StatusOr<std::string> ReadTextFile(const std::string& file_name,
                                         int64_t max_bytes = kMaxTextBytes);

// Appends `text` to `stream` as documents. A line that is "<|endoftext|>" and
// nothing else ends a document; each document is written with a 0 byte before
// it, and empty documents are left out. A 0 byte in the text is an error.
absl::Status AppendDocuments(absl::string_view text, std::string* stream);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TEXT_FILE_H_
