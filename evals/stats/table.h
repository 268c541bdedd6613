// Tables of strings for people: plain text for a terminal, and Markdown.
//
//   Table table({{"model"}, {"accuracy", Align::kRight}});
//   table.AddRow({"gdn", "0.93"});
//   std::fputs(table.ToText().c_str(), stdout);
//
//   model  accuracy        | model | accuracy |
//   -----  --------        | :---- | -------: |
//   gdn        0.93        | gdn   |     0.93 |
//
// Cells may hold any bytes: width is counted in terminal columns (0 for
// combining marks, 2 for wide East Asian characters and emoji), ill-formed
// UTF-8 and control characters become U+FFFD, line breaks and tabs a space, so
// that no cell can break the layout. Emoji joined into one picture are counted
// one by one.

#ifndef LT2_EVALS_STATS_TABLE_H_
#define LT2_EVALS_STATS_TABLE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace lt2::evals {

enum class Align { kLeft, kRight, kCenter };

struct Column {
  std::string title;
  Align align = Align::kLeft;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns);

  // One cell for each column; another number is a broken invariant.
  void AddRow(std::vector<std::string> cells);
  int rows() const { return static_cast<int>(rows_.size()); }

  // Lines end with a newline and have no spaces before it.
  std::string ToText() const;
  // GitHub's tables, padded so that they read well as text too. A '|' in a
  // cell is escaped; other markup is left to the caller.
  std::string ToMarkdown() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// `text` as a table shows it, and the terminal columns that this takes.
std::string Printable(absl::string_view text);
int DisplayWidth(absl::string_view text);

}  // namespace lt2::evals

#endif  // LT2_EVALS_STATS_TABLE_H_
