#include "evals/lm/text_counts.h"

#include <cstddef>

namespace lt2::evals {

uint32_t NextCodePoint(absl::string_view text, size_t* position) {
  const auto byte = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(text[i]));
  };
  const size_t at = (*position)++;
  const uint32_t first = byte(at);
  const int more = first >= 0xF0 && first < 0xF8 ? 3
                   : first >= 0xE0               ? 2
                   : first >= 0xC0               ? 1
                                                 : 0;
  if (more == 0 || first >= 0xF8 || at + more >= text.size()) return first;
  uint32_t point = first & (0x3Fu >> more);
  for (int i = 1; i <= more; ++i) {
    if ((byte(at + i) & 0xC0u) != 0x80u) return first;
    point = (point << 6) | (byte(at + i) & 0x3Fu);
  }
  *position = at + 1 + more;
  return point;
}

bool IsSpace(uint32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 ||
         c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

int64_t CountCharacters(absl::string_view text) {
  int64_t count = 0;
  for (size_t i = 0; i < text.size(); ++count) NextCodePoint(text, &i);
  return count;
}

int64_t CountWords(absl::string_view text) {
  int64_t runs = 0;
  bool in_space = false;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    // A stray byte is no character, so no white space either (0x85, 0xA0).
    const uint32_t c = NextCodePoint(text, &i);
    const bool space = IsSpace(c) && (c < 0x80 || i > begin + 1);
    runs += space && !in_space;
    in_space = space;
  }
  return runs + 1;
}

}  // namespace lt2::evals
