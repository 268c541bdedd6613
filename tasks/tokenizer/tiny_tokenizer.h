// For tests: a tokenizer.json made in code. Its vocabulary is the 256 bytes in
// byte order and one token for each merge.

#ifndef LT2_TASKS_TOKENIZER_TINY_TOKENIZER_H_
#define LT2_TASKS_TOKENIZER_TINY_TOKENIZER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/core/status.h"
#include "nlohmann/json.hpp"
#include "tasks/tokenizer/byte_level.h"
#include "tasks/tokenizer/tokenizer.h"

namespace lt2::tasks {

inline nlohmann::json TinyTokenizerJson() {
  using nlohmann::json;
  json vocabulary = json::object();
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary[BytesToByteLevel(std::string(1, static_cast<char>(byte)))] =
        byte;
  }
  json merges = json::array();
  const std::pair<const char*, const char*> pairs[] = {
      {" ", "t"}, {"h", "e"}, {" t", "he"}, {"a", "a"},       {"aa", "aa"},
      {"a", "b"}, {"b", "c"}, {" ", " "},   {"\xC3", "\xA9"}, {"t", "he"}};
  for (const auto& [left, right] : pairs) {
    merges.push_back({BytesToByteLevel(left), BytesToByteLevel(right)});
    vocabulary[BytesToByteLevel(std::string(left) + right)] = vocabulary.size();
  }
  const int end = static_cast<int>(vocabulary.size());
  return {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens",
       {{{"id", end},
         {"content", "<|endoftext|>"},
         {"single_word", false},
         {"lstrip", false},
         {"rstrip", false},
         {"normalized", false},
         {"special", true}}}},
      {"normalizer", nullptr},
      {"pre_tokenizer",
       {{"type", "ByteLevel"},
        {"add_prefix_space", false},
        {"trim_offsets", true},
        {"use_regex", true}}},
      {"post_processor", nullptr},
      {"decoder",
       {{"type", "ByteLevel"},
        {"add_prefix_space", true},
        {"trim_offsets", true},
        {"use_regex", true}}},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", nullptr},
        {"continuing_subword_prefix", nullptr},
        {"end_of_word_suffix", nullptr},
        {"fuse_unk", false},
        {"byte_fallback", false},
        {"ignore_merges", false},
        {"vocab", vocabulary},
        {"merges", merges}}},
  };
}

inline absl::StatusOr<std::unique_ptr<Tokenizer>> CreateTokenizer(
    const nlohmann::json& tokenizer_json) {
  LT2_ASSIGN_OR_RETURN(
      TokenizerParts parts,
      ReadHuggingFaceTokenizer(tokenizer_json.dump(), "tiny.json"));
  return Tokenizer::Create(std::move(parts), "tiny.json");
}

// The pieces, as the bytes of the tokens.
inline std::vector<std::string> TokenTexts(const Tokenizer& tokenizer,
                                           const std::vector<int32_t>& ids) {
  std::vector<std::string> texts;
  for (int32_t id : ids) texts.emplace_back(tokenizer.TokenBytes(id));
  return texts;
}

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TOKENIZER_TINY_TOKENIZER_H_
