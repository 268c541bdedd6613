#include "tasks/tokenizer/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/core/status.h"

namespace lt2::tasks {

const char kWhiteSpaceRanges[] =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}"
    "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
const char kNotWhiteSpaceRanges[] =
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}"
    "\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}"
    "\\x{3001}-\\x{10ffff}";

bool IsWhiteSpace(uint32_t c) {
  if (c < 0x80) return (c >= 9 && c <= 13) || c == ' ';
  return c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

Utf8Step NextUtf8(absl::string_view text) {
  const auto byte = [&](size_t at) -> uint32_t {
    return static_cast<unsigned char>(text[at]);
  };
  const uint32_t first = byte(0);
  if (first < 0x80) return {Utf8Step::kCodePoint, 1, first};
  if (first < 0xC2 || first > 0xF4) return {Utf8Step::kInvalid, 1, 0};
  const size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  uint32_t code_point = first & (0x7F >> length);
  for (size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {Utf8Step::kIncomplete, i, 0};
    // The second byte's limits keep out overlong forms, surrogates and what
    // is past U+10FFFF.
    uint32_t low = 0x80, high = 0xBF;
    if (i == 1) {
      if (first == 0xE0) low = 0xA0;
      if (first == 0xED) high = 0x9F;
      if (first == 0xF0) low = 0x90;
      if (first == 0xF4) high = 0x8F;
    }
    if (byte(i) < low || byte(i) > high) return {Utf8Step::kInvalid, i, 0};
    code_point = code_point << 6 | (byte(i) & 0x3F);
  }
  return {Utf8Step::kCodePoint, length, code_point};
}

uint32_t LastCodePoint(absl::string_view text, size_t* length) {
  for (size_t back = 1; back <= 4 && back <= text.size(); ++back) {
    const absl::string_view end = text.substr(text.size() - back);
    if ((static_cast<unsigned char>(end[0]) & 0xC0) == 0x80) continue;
    const Utf8Step step = NextUtf8(end);
    if (step.kind != Utf8Step::kCodePoint || step.length != back) break;
    if (length != nullptr) *length = back;
    return step.code_point;
  }
  return 0xFFFFFFFF;
}

size_t WellFormedPrefix(absl::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    // Eight ASCII bytes at a time.
    uint64_t word;
    while (at + sizeof(word) <= text.size()) {
      std::memcpy(&word, text.data() + at, sizeof(word));
      if ((word & 0x8080808080808080u) != 0) break;
      at += sizeof(word);
    }
    if (at == text.size()) break;
    const Utf8Step step = NextUtf8(text.substr(at));
    if (step.kind != Utf8Step::kCodePoint) break;
    at += step.length;
  }
  return at;
}

std::string NormalizeNfc(absl::string_view text) {
  // Code points below U+0300 never change and never combine, and every other
  // one begins with a byte of at least 0xCC.
  if (std::all_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0xCC;
      })) {
    return std::string(text);
  }
  constexpr auto kOptions =
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  std::vector<utf8proc_int32_t> points;
  points.reserve(text.size() + 32);
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = NextUtf8(text.substr(at));
    LT2_CHECK(step.kind == Utf8Step::kCodePoint, "ill-formed text at ", at);
    at += step.length;
    utf8proc_int32_t parts[32];
    int boundary = 0;
    const utf8proc_ssize_t count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(step.code_point),
                                parts, 32, kOptions, &boundary);
    LT2_CHECK(count >= 0 && count <= 32, "decomposition of ", step.code_point);
    points.insert(points.end(), parts, parts + count);
  }
  // Canonical order: marks between two starters by their class, stably. (The
  // sort inside utf8proc_decompose takes quadratic time.)
  const auto combining_class = [](utf8proc_int32_t c) {
    return utf8proc_get_property(c)->combining_class;
  };
  for (size_t i = 0; i < points.size(); ++i) {
    if (combining_class(points[i]) == 0) continue;
    size_t end = i;
    while (end < points.size() && combining_class(points[end]) != 0) ++end;
    std::stable_sort(points.begin() + i, points.begin() + end,
                     [&](utf8proc_int32_t a, utf8proc_int32_t b) {
                       return combining_class(a) < combining_class(b);
                     });
    i = end - 1;
  }
  std::string result;
  result.reserve(text.size());
  // U+11A7 composes with nothing, but utf8proc 2.8 takes it for the first of
  // Hangul's final consonants, which come behind it, and drops it.
  constexpr utf8proc_int32_t kBeforeFinals = 0x11A7;
  for (auto begin = points.begin(); begin != points.end();) {
    const auto end = std::find(begin, points.end(), kBeforeFinals);
    const utf8proc_ssize_t size = utf8proc_normalize_utf32(
        points.data() + (begin - points.begin()), end - begin, kOptions);
    LT2_CHECK(size >= 0, utf8proc_errmsg(size));
    const auto append = [&](utf8proc_int32_t code_point) {
      utf8proc_uint8_t bytes[4];
      const utf8proc_ssize_t length = utf8proc_encode_char(code_point, bytes);
      result.append(reinterpret_cast<const char*>(bytes), length);
    };
    std::for_each(begin, begin + size, append);
    begin = end;
    if (begin != points.end()) append(*begin++);
  }
  return result;
}

}  // namespace lt2::tasks
