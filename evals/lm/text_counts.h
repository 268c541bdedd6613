// How long a text is: characters, words.

#ifndef LT2_EVALS_LM_TEXT_COUNTS_H_
#define LT2_EVALS_LM_TEXT_COUNTS_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace lt2::evals {

// Unicode code points of well-formed UTF-8; each byte that is no part of a
// sequence counts as one. Python's len(str).
int64_t CountCharacters(absl::string_view text);

// Pieces of a split at runs of white space, as lm-evaluation-harness counts
// words: len(re.split(r"\s+", text)). White space at either end makes an empty
// piece there that counts, and "" is one piece.
int64_t CountWords(absl::string_view text);

// The code point that begins at text[*position], which is advanced past it; a
// byte that begins none is returned as it is.
uint32_t NextCodePoint(absl::string_view text, size_t* position);

// Python's str.isspace for one code point.
bool IsSpace(uint32_t code_point);

}  // namespace lt2::evals

#endif  // LT2_EVALS_LM_TEXT_COUNTS_H_
