// The little of Unicode that tokenizers need: UTF-8 step by step, white space,
// word characters, normalization form C.
//
// White space is the property White_Space of 25 code points, which is what \s
// means in the regular expressions of tokenizer files (RE2's \s is ASCII only).

#ifndef LT2_TASKS_TOKENIZER_UNICODE_H_
#define LT2_TASKS_TOKENIZER_UNICODE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace lt2::tasks {

// What `text` (not empty) begins with.
struct Utf8Step {
  enum Kind {
    kCodePoint,   // a well-formed sequence of `length` bytes
    kInvalid,     // `length` bytes that begin no well-formed sequence
    kIncomplete,  // all of `text`, the beginning of a well-formed sequence
  };
  Kind kind;
  size_t length;
  uint32_t code_point;  // only of kCodePoint
};
// Ill-formed text is cut as the Unicode standard recommends for replacement
// (section 3.9, maximal subparts): one U+FFFD for each kInvalid step.
Utf8Step NextUtf8(absl::string_view text);

// The last code point of `text`, or 0xFFFFFFFF if its end is not well-formed or
// it is empty. Stores its length if asked.
uint32_t LastCodePoint(absl::string_view text, size_t* length = nullptr);

// The length of the longest well-formed prefix.
size_t WellFormedPrefix(absl::string_view text);

bool IsWhiteSpace(uint32_t code_point);

// White_Space as the inside of an RE2 bracket, and its complement.
extern const char kWhiteSpaceRanges[];
extern const char kNotWhiteSpaceRanges[];

// Normalization form C of well-formed text, by the data of utf8proc. The time
// is O(n log n) also for long runs of combining marks.
std::string NormalizeNfc(absl::string_view text);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TOKENIZER_UNICODE_H_
