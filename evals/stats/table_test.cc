#include "evals/stats/table.h"

#include "gtest/gtest.h"

namespace lt2::evals {
namespace {

Table Example() {
  Table table(
      {{"model"}, {"accuracy", Align::kRight}, {"tag", Align::kCenter}});
  table.AddRow({"gdn", "0.93", "a"});
  table.AddRow({"attention", "1.00", "wide tag"});
  table.AddRow({"d\xC3\xA9j\xC3\xA0", "-", ""});
  table.AddRow({"\xE6\xBC\xA2\xE5\xAD\x97", "12345.678", "x"});
  return table;
}

TEST(Table, TextIsAligned) {
  EXPECT_EQ(Example().ToText(),
            "model       accuracy    tag\n"
            "---------  ---------  --------\n"
            "gdn             0.93     a\n"
            "attention       1.00  wide tag\n"
            "d\xC3\xA9j\xC3\xA0               -\n"
            "\xE6\xBC\xA2\xE5\xAD\x97       12345.678     x\n");
}

TEST(Table, MarkdownIsAligned) {
  EXPECT_EQ(Example().ToMarkdown(),
            "| model     |  accuracy |   tag    |\n"
            "| :-------- | --------: | :------: |\n"
            "| gdn       |      0.93 |    a     |\n"
            "| attention |      1.00 | wide tag |\n"
            "| d\xC3\xA9j\xC3\xA0      |         - |          |\n"
            "| \xE6\xBC\xA2\xE5\xAD\x97      | 12345.678 |    x     |\n");
}

TEST(Table, NoCellBreaksTheLayout) {
  Table table({{"a|b"}, {"x", Align::kRight}});
  table.AddRow({"1\n2\t3", "\x1B[31m\xFF"});
  EXPECT_EQ(table.ToText(),
            "a|b         x\n"
            "-----  ------\n"
            "1 2 3  \xEF\xBF\xBD[31m\xEF\xBF\xBD\n");
  EXPECT_EQ(table.ToMarkdown(),
            "| a\\|b  |      x |\n"
            "| :---- | -----: |\n"
            "| 1 2 3 | \xEF\xBF\xBD[31m\xEF\xBF\xBD |\n");
}

TEST(Table, EmptyTablesHaveTheirTitles) {
  EXPECT_EQ(Table({{"a"}, {"b"}}).ToText(), "a  b\n-  -\n");
  EXPECT_EQ(Table({{"a"}}).ToMarkdown(), "| a   |\n| :-- |\n");
  EXPECT_EQ(Table({{""}}).ToText(), "\n-\n");
}

TEST(TableDeathTest, ARowOfAnotherWidthIsABug) {
  Table table({{"a"}, {"b"}});
  EXPECT_DEATH(table.AddRow({"1"}), "1 cells for 2 columns");
}

TEST(DisplayWidth, CountsTerminalColumns) {
  EXPECT_EQ(DisplayWidth(""), 0);
  EXPECT_EQ(DisplayWidth("abc"), 3);
  EXPECT_EQ(DisplayWidth("\xC3\xA9"), 1);          // e acute
  EXPECT_EQ(DisplayWidth("e\xCC\x81"), 1);         // e + combining acute
  EXPECT_EQ(DisplayWidth("\xE6\xBC\xA2"), 2);      // a CJK character
  EXPECT_EQ(DisplayWidth("\xF0\x9F\x98\x80"), 2);  // an emoji
  EXPECT_EQ(DisplayWidth("\xEF\xBC\xA1"), 2);      // fullwidth A
  EXPECT_EQ(DisplayWidth("\xC2\xB1"), 1);          // plus-minus
  EXPECT_EQ(DisplayWidth("\xFF\xC3"), 2);          // two bad bytes
  EXPECT_EQ(DisplayWidth("\xED\xA0\x80"), 3);      // a surrogate
  EXPECT_EQ(DisplayWidth("\xC0\x80"), 2);          // overlong
  EXPECT_EQ(DisplayWidth("\xF4\x90\x80\x80"), 4);  // past U+10FFFF
}

TEST(Printable, KeepsTextAndReplacesTheRest) {
  EXPECT_EQ(Printable("a\xC3\xA9\xF0\x9F\x98\x80"),
            "a\xC3\xA9\xF0\x9F\x98\x80");
  EXPECT_EQ(Printable(absl::string_view("a\0b\r\n", 5)),
            "a\xEF\xBF\xBD"
            "b  ");
  EXPECT_EQ(Printable("\xC2\x85"), "\xEF\xBF\xBD");  // a C1 control
}

}  // namespace
}  // namespace lt2::evals
