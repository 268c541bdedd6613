// Tokens that are found in the text before it is cut into pieces, such as
// "<|endoftext|>".
//
// The text is searched from the left for the longest of them at each place, and
// on after each match. A match stands if
//   - it is not special, or special ones are asked for;
//   - not `single_word`, or neither neighbour is a word character (\w).
// One that does not stand is text, and the search goes on behind it. With
// `lstrip` and `rstrip` the white space before and behind belongs to it.
// This is what Hugging Face's tokenizers do.

#ifndef LT2_TASKS_TOKENIZER_ADDED_TOKENS_H_
#define LT2_TASKS_TOKENIZER_ADDED_TOKENS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace lt2::tasks {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;
  bool single_word = false;
  bool lstrip = false;
  bool rstrip = false;
  bool normalized = false;  // searched for after normalization, not before
};

// The longest content a token may have: bounds the time of a search.
inline constexpr size_t kMaxAddedTokenBytes = 512;

// Finds a set of tokens; no content may be empty or occur twice.
class AddedTokenFinder {
 public:
  explicit AddedTokenFinder(std::vector<AddedToken> tokens);

  struct Match {
    size_t begin, end;
    int32_t id;
  };
  // All that stand, from left to right. A match whose white space an earlier
  // one has taken may begin before that one's end.
  std::vector<Match> FindAll(absl::string_view text, bool parse_special) const;
  bool empty() const { return tokens_.empty(); }

 private:
  // The token that `text` begins with, the longest; -1 if none.
  int LongestAt(absl::string_view text) const;

  std::vector<AddedToken> tokens_;
  // A trie: edges from (node, byte) to node; ends_ is a token's index or -1.
  absl::flat_hash_map<uint64_t, int32_t> edges_;
  std::vector<int32_t> ends_;
  std::array<bool, 256> first_bytes_{};
};

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TOKENIZER_ADDED_TOKENS_H_
