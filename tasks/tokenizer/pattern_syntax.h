// From the regular expressions of tokenizer files to RE2's.
//
// Those files are written for Oniguruma (Hugging Face) or Rust's fancy-regex
// (tiktoken), which backtrack and know Unicode. Taken is the part of the syntax
// that both read alike, and what is read is translated so that RE2 means the
// same; everything else is an error that names it and its place:
//
//   taken     literals, ., [classes], groups (all without capture), (?i:...),
//             | * + ? {m} {m,} {m,n} and lazy *? +? ?? {m,n}?,
//             possessive *+ ++ ?+ at the end of an alternative (where it makes
//             no difference), \s \S \d \D \w \p{..} \P{..} \p{^..}, \r \n
//             \t \f \v, \x{..}, \uHHHH, escaped punctuation, and look-ahead at
//             the end of an alternative in the form C+(?!D) or C+(?=D), where C
//             and D are one class or character each
//   not taken anchors, \b, look-behind, other look-ahead, atomic groups,
//             back references, nested classes and &&, flags other than (?i:,
//             \p{C} and \p{Cn} (RE2 has no unassigned code points), \P inside
//             a class
//
// \s is the Unicode property White_Space, \d is Nd, \w is Oniguruma's, that is
// Alphabetic + M + Nd + Pc and the superscripts and fractions of Latin-1.
// Classes are those of Unicode 16.0 (newer_unicode.h).

#ifndef LT2_TASKS_TOKENIZER_PATTERN_SYNTAX_H_
#define LT2_TASKS_TOKENIZER_PATTERN_SYNTAX_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lt2::tasks {

// Alphabetic + M + Nd + Pc as the inside of an RE2 bracket.
std::string WordRanges();

// One alternative of the top level, in RE2's syntax.
struct PatternAlternative {
  std::string re2;  // all of it, or C+ if there is look-ahead
  enum LookAhead { kNone, kNot, kMust } look_ahead = kNone;
  std::string repeated;  // C
  std::string next;      // D
};

absl::StatusOr<std::vector<PatternAlternative>> ParsePattern(
    absl::string_view pattern);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TOKENIZER_PATTERN_SYNTAX_H_
