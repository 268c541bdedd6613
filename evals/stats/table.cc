#include "evals/stats/table.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_replace.h"
#include "kernels/core/status.h"

namespace lt2::evals {
namespace {

constexpr uint32_t kReplacement = 0xFFFD;

// The code point at text[*i], and *i past it. An ill-formed byte is one U+FFFD.
uint32_t NextCodePoint(absl::string_view text, size_t* i) {
  const auto byte = [&](size_t at) -> uint32_t {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : 0;
  };
  const uint32_t first = byte(*i);
  const int length = first < 0x80                     ? 1
                     : first >= 0xC2 && first < 0xE0  ? 2
                     : first >= 0xE0 && first < 0xF0  ? 3
                     : first >= 0xF0 && first <= 0xF4 ? 4
                                                      : 0;
  uint32_t code = length < 2 ? first : first & (0xFFu >> (length + 1));
  bool valid = length > 0;
  for (int j = 1; j < length; ++j) {
    const uint32_t next = byte(*i + j);
    valid = valid && (next & 0xC0) == 0x80;
    code = (code << 6) | (next & 0x3F);
  }
  // Overlong forms, surrogates, and what lies past the last code point.
  if (length == 3 && (code < 0x800 || (code >= 0xD800 && code < 0xE000))) {
    valid = false;
  }
  if (length == 4 && (code < 0x10000 || code > 0x10FFFF)) valid = false;
  *i += valid ? length : 1;
  return valid ? code : kReplacement;
}

struct Range {
  uint32_t first, last;
};

// Marks drawn over the character before them, and invisible characters.
constexpr Range kZeroWidth[] = {
    {0x0300, 0x036F}, {0x0483, 0x0489},   {0x0591, 0x05BD}, {0x0610, 0x061A},
    {0x064B, 0x065F}, {0x0E31, 0x0E31},   {0x0E34, 0x0E3A}, {0x0E47, 0x0E4E},
    {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF},   {0x200B, 0x200F}, {0x202A, 0x202E},
    {0x2060, 0x2064}, {0x20D0, 0x20FF},   {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F},
    {0xFEFF, 0xFEFF}, {0xE0100, 0xE01EF},
};

// East Asian Wide and Fullwidth, with emoji (Unicode Standard Annex 11).
constexpr Range kWide[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},   {0x23E9, 0x23EC},
    {0x25FD, 0x25FE},   {0x2614, 0x2615},   {0x26A1, 0x26A1},
    {0x2705, 0x2705},   {0x274C, 0x274C},   {0x2B50, 0x2B50},
    {0x2E80, 0x303E},   {0x3041, 0x33FF},   {0x3400, 0x4DBF},
    {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},   {0xA960, 0xA97F},
    {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},
    {0xFF01, 0xFF60},   {0xFFE0, 0xFFE6},   {0x1F300, 0x1F64F},
    {0x1F680, 0x1F6FF}, {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD},
};

template <size_t n>
bool IsIn(const Range (&ranges)[n], uint32_t code) {
  return std::any_of(std::begin(ranges), std::end(ranges), [&](Range r) {
    return r.first <= code && code <= r.last;
  });
}

bool IsControl(uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0);
}

std::string Padded(const std::string& cell, int width, Align align) {
  const int spaces = std::max(0, width - DisplayWidth(cell));
  const int left = align == Align::kLeft    ? 0
                   : align == Align::kRight ? spaces
                                            : spaces / 2;
  return std::string(left, ' ') + cell + std::string(spaces - left, ' ');
}

// Titles and rows as shown, and the width of each column.
struct Layout {
  std::vector<std::vector<std::string>> lines;
  std::vector<int> widths;
};

template <typename Show>
Layout LayOut(const std::vector<Column>& columns,
              const std::vector<std::vector<std::string>>& rows, int narrowest,
              const Show& show) {
  Layout layout;
  layout.lines.emplace_back();
  for (const Column& column : columns) {
    layout.lines[0].push_back(show(column.title));
  }
  for (const auto& row : rows) {
    layout.lines.emplace_back();
    for (const std::string& cell : row)
      layout.lines.back().push_back(show(cell));
  }
  layout.widths.assign(columns.size(), narrowest);
  for (const auto& line : layout.lines) {
    for (size_t c = 0; c < line.size(); ++c) {
      layout.widths[c] = std::max(layout.widths[c], DisplayWidth(line[c]));
    }
  }
  return layout;
}

}  // namespace

std::string Printable(absl::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    const uint32_t code = NextCodePoint(text, &i);
    if (code == '\n' || code == '\r' || code == '\t') {
      result += ' ';
    } else if (code == kReplacement || IsControl(code)) {
      result += "\xEF\xBF\xBD";
    } else {
      result.append(text.data() + start, i - start);
    }
  }
  return result;
}

int DisplayWidth(absl::string_view text) {
  int width = 0;
  for (size_t i = 0; i < text.size();) {
    const uint32_t code = NextCodePoint(text, &i);
    width += IsIn(kZeroWidth, code) ? 0 : IsIn(kWide, code) ? 2 : 1;
  }
  return width;
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::AddRow(std::vector<std::string> cells) {
  LT2_CHECK(cells.size() == columns_.size(), cells.size(), " cells for ",
            columns_.size(), " columns");
  rows_.push_back(std::move(cells));
}

std::string Table::ToText() const {
  const Layout layout = LayOut(columns_, rows_, 1, Printable);
  std::string text;
  const auto finish_line = [&text] {
    while (!text.empty() && text.back() == ' ') text.pop_back();
    text += '\n';
  };
  for (size_t line = 0; line < layout.lines.size(); ++line) {
    for (size_t c = 0; c < columns_.size(); ++c) {
      if (c > 0) text += "  ";
      text +=
          Padded(layout.lines[line][c], layout.widths[c], columns_[c].align);
    }
    finish_line();
    if (line > 0) continue;
    for (size_t c = 0; c < columns_.size(); ++c) {
      if (c > 0) text += "  ";
      text += std::string(layout.widths[c], '-');
    }
    finish_line();
  }
  return text;
}

std::string Table::ToMarkdown() const {
  const Layout layout =
      LayOut(columns_, rows_, /*narrowest=*/3, [](absl::string_view cell) {
        return absl::StrReplaceAll(Printable(cell), {{"|", "\\|"}});
      });
  std::string text;
  for (size_t line = 0; line < layout.lines.size(); ++line) {
    text += '|';
    for (size_t c = 0; c < columns_.size(); ++c) {
      absl::StrAppend(
          &text, " ",
          Padded(layout.lines[line][c], layout.widths[c], columns_[c].align),
          " |");
    }
    text += '\n';
    if (line > 0) continue;
    text += '|';
    for (size_t c = 0; c < columns_.size(); ++c) {
      std::string rule(layout.widths[c], '-');
      if (columns_[c].align != Align::kRight) rule.front() = ':';
      if (columns_[c].align != Align::kLeft) rule.back() = ':';
      absl::StrAppend(&text, " ", rule, " |");
    }
    text += '\n';
  }
  return text;
}

}  // namespace lt2::evals
