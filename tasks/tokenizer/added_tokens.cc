#include "tasks/tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "re2/re2.h"
#include "tasks/tokenizer/pattern_syntax.h"
#include "tasks/tokenizer/unicode.h"

namespace lt2::tasks {
namespace {

uint64_t Edge(int32_t node, char byte) {
  return static_cast<uint64_t>(node) << 8 | static_cast<unsigned char>(byte);
}

// Rust's \w: those and the two joiners.
bool IsWordCharacter(absl::string_view character) {
  static const RE2* const kWord =
      new RE2(absl::StrCat("[", WordRanges(), "\\x{200c}\\x{200d}]"));
  return RE2::FullMatch(re2::StringPiece(character.data(), character.size()),
                        *kWord);
}

bool EndsWithWord(absl::string_view text) {
  size_t length = 0;
  LastCodePoint(text, &length);
  return length > 0 && IsWordCharacter(text.substr(text.size() - length));
}

bool BeginsWithWord(absl::string_view text) {
  if (text.empty()) return false;
  const Utf8Step step = NextUtf8(text);
  return step.kind == Utf8Step::kCodePoint &&
         IsWordCharacter(text.substr(0, step.length));
}

size_t WhiteSpaceAtEnd(absl::string_view text) {
  size_t total = 0, length = 0;
  while (IsWhiteSpace(LastCodePoint(text, &length))) {
    text.remove_suffix(length);
    total += length;
  }
  return total;
}

size_t WhiteSpaceAtBegin(absl::string_view text) {
  size_t total = 0;
  while (total < text.size()) {
    const Utf8Step step = NextUtf8(text.substr(total));
    if (step.kind != Utf8Step::kCodePoint || !IsWhiteSpace(step.code_point)) {
      break;
    }
    total += step.length;
  }
  return total;
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens)
    : tokens_(std::move(tokens)), ends_(1, -1) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const std::string& content = tokens_[i].content;
    first_bytes_[static_cast<unsigned char>(content[0])] = true;
    int32_t node = 0;
    for (char byte : content) {
      const auto [edge, is_new] =
          edges_.emplace(Edge(node, byte), static_cast<int32_t>(ends_.size()));
      if (is_new) ends_.push_back(-1);
      node = edge->second;
    }
    ends_[node] = static_cast<int32_t>(i);
  }
}

int AddedTokenFinder::LongestAt(absl::string_view text) const {
  int32_t node = 0;
  int longest = -1;
  for (char byte : text) {
    const auto edge = edges_.find(Edge(node, byte));
    if (edge == edges_.end()) break;
    node = edge->second;
    if (ends_[node] >= 0) longest = ends_[node];
  }
  return longest;
}

std::vector<AddedTokenFinder::Match> AddedTokenFinder::FindAll(
    absl::string_view text, bool parse_special) const {
  std::vector<Match> matches;
  size_t taken = 0;  // the end of the last match
  for (size_t at = 0; at < text.size();) {
    if (!first_bytes_[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    const int index = LongestAt(text.substr(at));
    if (index < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[index];
    Match match = {at, at + token.content.size(), token.id};
    at = match.end;
    if (token.special && !parse_special) continue;
    if (token.single_word && (EndsWithWord(text.substr(0, match.begin)) ||
                              BeginsWithWord(text.substr(match.end)))) {
      continue;
    }
    if (token.lstrip) {
      match.begin -= WhiteSpaceAtEnd(text.substr(0, match.begin));
      match.begin = std::max(match.begin, taken);
    }
    if (token.rstrip) {
      match.end += WhiteSpaceAtBegin(text.substr(match.end));
    }
    matches.push_back(match);
    taken = match.end;
  }
  return matches;
}

}  // namespace lt2::tasks
