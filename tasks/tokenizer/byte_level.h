// GPT-2's way to write bytes as printable characters in token files: bytes
// 0x21-0x7E, 0xA1-0xAC and 0xAE-0xFF stand for the code point of their value,
// the 68 others, in order, for U+0100 to U+0143. A space is written U+0120.

#ifndef LT2_TASKS_TOKENIZER_BYTE_LEVEL_H_
#define LT2_TASKS_TOKENIZER_BYTE_LEVEL_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lt2::tasks {

// The bytes that `characters` stand for; an error names the first character
// that stands for none.
absl::StatusOr<std::string> ByteLevelToBytes(absl::string_view characters);

// The other way.
std::string BytesToByteLevel(absl::string_view bytes);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TOKENIZER_BYTE_LEVEL_H_
