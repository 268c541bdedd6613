#include <numeric>

#include "absl/strings/ascii.h"
#include "tasks/ruler/ruler_generator.h"

namespace lt2::tasks {
namespace {

bool Closes(absl::string_view text, size_t* i) {
  static constexpr absl::string_view kClosing[] = {
      "\"", "'", ")", "]", "\xe2\x80\x9d", "\xe2\x80\x99"};  // ” ’
  for (absl::string_view mark : kClosing) {
    if (text.substr(*i, mark.size()) == mark) {
      *i += mark.size();
      return true;
    }
  }
  return false;
}

}  // namespace

std::vector<int64_t> DrawWithoutReplacement(Philox& rng, int64_t n, int64_t k) {
  std::vector<int64_t> all(n);
  std::iota(all.begin(), all.end(), 0);
  for (int64_t i = 0; i < k; ++i) {
    std::swap(all[i], all[i + rng.Below(n - i)]);
  }
  all.resize(k);
  return all;
}

std::vector<std::string> Sentences(absl::string_view text) {
  std::vector<std::string> sentences;
  size_t begin = 0, i = 0;
  const auto end_at = [&](size_t end) {
    const absl::string_view sentence =
        absl::StripAsciiWhitespace(text.substr(begin, end - begin));
    if (!sentence.empty()) sentences.emplace_back(sentence);
    begin = end;
  };
  while (i < text.size()) {
    const char c = text[i++];
    if (c != '.' && c != '!' && c != '?') continue;
    while (i < text.size() && Closes(text, &i)) {
    }
    size_t next = i;
    while (next < text.size() && absl::ascii_isspace(text[next])) ++next;
    if (next == i || next == text.size()) continue;
    if (absl::ascii_islower(text[next])) continue;
    end_at(i);
    i = next;
  }
  end_at(text.size());
  return sentences;
}

}  // namespace lt2::tasks
