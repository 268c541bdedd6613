// Text to token ids and back: byte-level byte pair encoding (BPE).
//
//   LT2_ASSIGN_OR_RETURN(auto tokenizer, Tokenizer::Load("models/smollm2"));
//   std::vector<int32_t> ids = tokenizer->Encode("Hello, world");
//   std::string text = tokenizer->Decode(ids);
//
// Encoding is five steps:
//   1. added tokens ("<|endoftext|>") are cut out of the text (added_tokens.h);
//   2. what is between them is brought to normalization form C, if asked;
//   3. and cut into pieces, mostly words, by patterns (split_pattern.h);
//   4. each piece begins as one token a byte;
//   5. neighbours are merged by rank (byte_pair_encoder.h).
//
// Any bytes are text. Those that are not UTF-8 cannot be in a piece of step 3:
// each byte outside a well-formed sequence is a token of its own, and the text
// before and behind it is cut by itself. Decode(Encode(text)) == text for all
// bytes, unless the file asks for form C, for a space before the text
// (add_prefix_space), for white space to belong to an added token (lstrip,
// rstrip), drops text between matches, or has no token for some byte: a byte
// of missing_bytes() is left out, as Hugging Face's tokenizers do. (SmolLM2's
// file lacks 8 control characters and bytes that few or no characters have.)
//
// Ids are those of Hugging Face's tokenizers and of tiktoken for all text of
// code points that were assigned when RE2's tables were made; README.md says
// what was compared.

#ifndef LT2_TASKS_TOKENIZER_TOKENIZER_H_
#define LT2_TASKS_TOKENIZER_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "tasks/tokenizer/tokenizer_parts.h"

namespace lt2::tasks {

// Thread-safe after loading.
class Tokenizer {
 public:
  // `path` is one of
  //   a folder with tokenizer.json, or else encoder.json and vocab.bpe (GPT-2);
  //   a file whose name ends in .json, read as a tokenizer.json;
  //   NAME.tiktoken, where NAME (cl100k_base, r50k_base, p50k_base, o200k_base)
  //     says the split pattern and the special tokens, which are not in it;
  //   the word "bytes": ids 0..255 are bytes, 256 is <|endoftext|>.
  // From a tokenizer_config.json beside tokenizer.json, bos_token and eos_token
  // are taken. Whatever a file asks for that is not implemented is an error
  // that names it.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(
      const std::string& path);
  // The same of parts made in memory; `source` names them in errors.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Create(
      TokenizerParts parts, absl::string_view source);

  // 1 + the largest id.
  int64_t vocab_size() const { return vocab_size_; }

  // Never adds begin or end of text. Special tokens in the text are text
  // unless `parse_special`; added tokens that are not special are always found.
  std::vector<int32_t> Encode(absl::string_view text,
                              bool parse_special = false) const;

  // The bytes of the tokens one after the other; special tokens as their text.
  // Ids that have no token are left out, as in Hugging Face's tokenizers.
  std::string Decode(absl::Span<const int32_t> ids) const;

  // The bytes that have no token.
  std::string missing_bytes() const { return encoder_.MissingBytes(); }

  // The bytes of one token; empty if there is none.
  absl::string_view TokenBytes(int32_t id) const {
    if (id < 0 || id >= vocab_size_) return {};
    return bytes_[id];
  }

  // The id of an added or special token, by its text.
  absl::optional<int32_t> SpecialId(absl::string_view token) const;
  // tokenizer_config.json's; without it by the usual names (<|endoftext|>,
  // <|end_of_text|>, </s>, <eos>; <|begin_of_text|>, <s>, <bos>), begin also by
  // the post-processor's template.
  absl::optional<int32_t> end_of_text() const { return end_of_text_; }
  absl::optional<int32_t> begin_of_text() const { return begin_of_text_; }

  // 16 hexadecimal digits, FNV-1a of the file's bytes (of both, for GPT-2's).
  const std::string& digest() const { return digest_; }

 private:
  Tokenizer(TokenizerParts parts, BytePairEncoder encoder);
  void EncodeNormalized(absl::string_view text, bool parse_special,
                        std::vector<int32_t>* ids) const;
  void EncodePlain(absl::string_view text, std::vector<int32_t>* ids) const;
  void RunSteps(size_t step, absl::string_view piece, bool continues,
                std::vector<int32_t>* ids) const;

  const BytePairEncoder encoder_;
  const std::vector<PieceStep> steps_;
  const bool nfc_;
  const absl::optional<int32_t> begin_of_text_, end_of_text_;
  const std::string digest_;
  std::vector<std::string> bytes_;  // of each id, added tokens included
  int64_t vocab_size_ = 0;
  absl::flat_hash_map<std::string, int32_t> added_ids_;
  std::unique_ptr<AddedTokenFinder> before_normalization_;
  std::unique_ptr<AddedTokenFinder> after_normalization_;
};

// Text from a stream of ids, in whole UTF-8 sequences: what Add and Finish have
// returned is well-formed UTF-8 at every moment. Bytes that belong to none come
// out as U+FFFD, one for each maximal subpart (unicode.h).
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // The text that is complete with this id; may be empty.
  std::string Add(int32_t id);
  // What is left: a sequence that was never completed, as U+FFFD. The decoder
  // may be used anew.
  std::string Finish();

 private:
  const Tokenizer& tokenizer_;
  std::string pending_;  // at most 3 bytes between calls
};

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TOKENIZER_TOKENIZER_H_
