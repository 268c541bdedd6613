// What //tools:tokenize does, but for flags and files.

#ifndef LT2_TOOLS_TOKENIZATION_TOKENIZATION_H_
#define LT2_TOOLS_TOKENIZATION_TOKENIZATION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tasks/tokenizer/tokenizer.h"

namespace lt2::tools {

// The ids in decimal, a space between, a line end behind.
std::string EncodeText(const tasks::Tokenizer& tokenizer,
                       absl::string_view text, bool parse_special);

// The bytes of ids in decimal, with white space, commas or brackets between.
// What is no number, or no id of this tokenizer, is an error.
absl::StatusOr<std::string> DecodeText(const tasks::Tokenizer& tokenizer,
                                       absl::string_view ids);

// A line for each token: its id and its bytes, escaped.
std::string ShowTokens(const tasks::Tokenizer& tokenizer,
                       absl::string_view text, bool parse_special);

struct NamedText {
  std::string name, text;
};
// A table of bytes, characters (code points), tokens and bytes per token.
std::string CountTokens(const tasks::Tokenizer& tokenizer,
                        const std::vector<NamedText>& texts,
                        bool parse_special);

// Size, special tokens, digest.
std::string DescribeTokenizer(const tasks::Tokenizer& tokenizer);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TOKENIZATION_TOKENIZATION_H_
