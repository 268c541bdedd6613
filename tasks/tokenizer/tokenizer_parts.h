// What the readers of token files make, and Tokenizer is built from.

#ifndef LT2_TASKS_TOKENIZER_TOKENIZER_PARTS_H_
#define LT2_TASKS_TOKENIZER_TOKENIZER_PARTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "tasks/tokenizer/added_tokens.h"
#include "tasks/tokenizer/byte_pair_encoder.h"
#include "tasks/tokenizer/split_pattern.h"

namespace lt2::tasks {

// Limits on what files may hold, far above any published tokenizer's.
inline constexpr int64_t kMaxTokenizerBytes = int64_t{64} << 20;
inline constexpr int64_t kMaxTokens = int64_t{1} << 22;
inline constexpr size_t kMaxTokenBytes = 1024;

// One step of cutting text into pieces; each works on every piece that the
// steps before it left, as if the piece were all there is.
struct PieceStep {
  enum Kind {
    kPrefixSpace,  // put a space before it unless it begins with one
    kIsolate,      // each match is a piece, and what lies between matches
    kIsolateRuns,  // the same with adjoining matches as one piece
    kMatchesOnly,  // each match is a piece, the rest is dropped
  };
  Kind kind = kIsolate;
  std::unique_ptr<SplitPattern> pattern;  // null for kPrefixSpace
};

struct TokenizerParts {
  // tokens[id] = its bytes; "" where there is only an added token or none.
  std::vector<std::string> tokens;
  std::vector<MergeRule> merges;
  bool whole_pieces = false;  // as in BytePairEncoder::Create
  // All 256 bytes must be tokens: the format promises it, or the file asks for
  // something to be done with others (unk_token), which is not implemented.
  bool needs_all_bytes = false;
  std::vector<AddedToken> added;
  bool nfc = false;
  std::vector<PieceStep> steps;
  absl::optional<int32_t> begin_of_text, end_of_text;
  std::string digest;
};

// Each takes the text of its file or files; `source` names it in errors.
absl::StatusOr<TokenizerParts> ReadHuggingFaceTokenizer(
    absl::string_view tokenizer_json, absl::string_view source);
// tokenizer_config.json: only its bos_token and eos_token.
absl::Status ReadTokenizerConfig(absl::string_view config_json,
                                 absl::string_view source,
                                 TokenizerParts* parts);
absl::StatusOr<TokenizerParts> ReadGpt2Tokenizer(absl::string_view encoder_json,
                                                 absl::string_view vocab_bpe,
                                                 absl::string_view source);
// `name`: cl100k_base, r50k_base, p50k_base or o200k_base.
absl::StatusOr<TokenizerParts> ReadTiktokenRanks(absl::string_view ranks,
                                                 absl::string_view name,
                                                 absl::string_view source);
TokenizerParts BytesTokenizer();

// Of the readers: collects tokens; all ids from 0 up must occur, each once.
class VocabularyBuilder {
 public:
  // `size`: how many ids there are.
  explicit VocabularyBuilder(size_t size) : taken_(size), tokens_(size) {}
  // `bytes` may be "" for an id without a token of its own. `name` is what
  // errors call it.
  absl::Status Add(absl::string_view name, absl::string_view bytes, int64_t id);
  bool Has(int64_t id) const { return taken_[id]; }
  std::vector<std::string> Take() { return std::move(tokens_); }

 private:
  std::vector<bool> taken_;
  std::vector<std::string> tokens_;
};

// The id of the first of `names` that is an added token.
absl::optional<int32_t> FindAdded(const std::vector<AddedToken>& added,
                                  const std::vector<std::string>& names);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TOKENIZER_TOKENIZER_PARTS_H_
