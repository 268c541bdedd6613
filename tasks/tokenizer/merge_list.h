// Vocabularies as JSON objects of token to id, and lists of merges, as GPT-2's
// files and tokenizer.json have them.

#ifndef LT2_TASKS_TOKENIZER_MERGE_LIST_H_
#define LT2_TASKS_TOKENIZER_MERGE_LIST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "tasks/tokenizer/byte_pair_encoder.h"

namespace lt2::tasks {

// Tokens as the file writes them, to ids.
using TokenIds = absl::flat_hash_map<std::string, int32_t>;

absl::StatusOr<TokenIds> ReadVocabulary(const nlohmann::json& vocabulary,
                                        absl::string_view source);

// Rules whose rank is their place.
class MergeList {
 public:
  explicit MergeList(const TokenIds& ids) : ids_(ids) {}
  // An error unless both tokens and what they make together are tokens.
  absl::Status Add(absl::string_view left, absl::string_view right);
  // "left right".
  absl::Status Add(absl::string_view line);
  std::vector<MergeRule> Take() { return std::move(rules_); }

 private:
  const TokenIds& ids_;
  std::vector<MergeRule> rules_;
};

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TOKENIZER_MERGE_LIST_H_
