#include "tools/tracking/page.h"

#include <cmath>

#include "gtest/gtest.h"
#include "kernels/core/philox.h"
#include "tools/tracking/figures.h"
#include "tools/tracking/history.h"
#include "tools/tracking/report.h"
#include "tools/tracking/report_page.h"

namespace lt2::tools {
namespace {

using bench::Record;

// Levels change at the given commits, by the given factors.
std::vector<Record> History(const std::vector<std::pair<int, double>>& changes,
                            int commits = 40,
                            const std::string& name = "a<b>") {
  Philox rng(3, 4);
  std::vector<Record> history;
  double level = 1e6;
  for (int i = 0; i < commits; ++i) {
    for (const auto& [place, factor] : changes) {
      if (place == i) level *= factor;
    }
    Record r;
    r.suite = "s";
    r.benchmark = name;
    r.metric = "real_time";
    r.unit = "ns";
    r.machine = {{"cpu", "x & y"}};
    r.commit = "commit" + std::to_string(i);
    for (int k = 0; k < 7; ++k) {
      r.samples.push_back(level * std::exp(0.002 * rng.Normal()));
    }
    history.push_back(r);
  }
  return history;
}

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos;
       at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

// Every element that opens closes, in order; attributes are quoted.
void ExpectBalanced(const std::string& html) {
  std::vector<std::string> open;
  for (size_t at = html.find('<'); at != std::string::npos;
       at = html.find('<', at + 1)) {
    const size_t end = html.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = html.substr(at + 1, end - at - 1);
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag[0] == '!' || tag.back() == '/' || name == "meta") continue;
    if (tag[0] == '/') {
      ASSERT_FALSE(open.empty()) << tag;
      EXPECT_EQ("/" + open.back(), tag);
      open.pop_back();
    } else {
      open.push_back(name);
    }
  }
  EXPECT_TRUE(open.empty()) << open.back();
}

void ExpectSelfContained(const std::string& html) {
  for (const char* part :
       {"http:", "https:", "<script", "src=", "@import", "url("}) {
    EXPECT_EQ(html.find(part), std::string::npos) << part;
  }
  EXPECT_NE(html.find("lang=\"en\""), std::string::npos);
  EXPECT_NE(html.find("name=\"viewport\""), std::string::npos);
  EXPECT_NE(html.find("prefers-color-scheme:dark"), std::string::npos);
}

TEST(HistoryPage, SaysWhatBecameSlowerAndWhatToDo) {
  auto history = History({{20, 1.04}});
  for (const Record& record : History({}, 40, "steady")) {
    history.push_back(record);
  }
  const auto page = HistoryPage(history, "h.jsonl");
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->tone, Tone::kBad);
  ASSERT_EQ(page->rows.size(), 1u);
  EXPECT_EQ(page->rows[0].label, "WORSE");
  EXPECT_NE(page->rows[0].headline.find("since commit20"), std::string::npos)
      << page->rows[0].headline;
  EXPECT_EQ(page->folded.size(), 1u);
  const std::string html = PageHtml(*page), text = PageMarkdown(*page);
  ExpectBalanced(html);
  ExpectSelfContained(html);
  EXPECT_NE(html.find("a&lt;b&gt;"), std::string::npos);
  EXPECT_EQ(html.find("a<b>"), std::string::npos);
  EXPECT_EQ(Count(html, "role=\"img\" aria-label="), 2u);
  for (const std::string& form : {html, text}) {
    EXPECT_NE(form.find("git log --oneline commit19..commit20"),
              std::string::npos);
    EXPECT_NE(form.find("1 of 2 benchmarks became slower"), std::string::npos);
  }
  EXPECT_EQ(SeriesExitCode(*FindSeries(history)), 1);
}

TEST(HistoryPage, ASlowdownThatWasUndoneIsNoNews) {
  const auto history = History({{10, 1.04}, {25, 1 / 1.04}});
  const auto page = HistoryPage(history, "h");
  ASSERT_EQ(page->rows.size(), 1u);
  EXPECT_EQ(page->rows[0].label, "AS BEFORE");
  EXPECT_EQ(SeriesExitCode(*FindSeries(history)), 0);
  // Half undone is still worse, since the first of the two.
  const auto half = HistoryPage(History({{10, 1.08}, {25, 0.96}}), "h");
  EXPECT_EQ(half->rows[0].label, "WORSE");
  EXPECT_NE(half->rows[0].headline.find("since commit10"), std::string::npos);
  EXPECT_EQ(HistoryPage(History({{10, 0.9}}), "h")->rows[0].label, "BETTER");
}

TEST(HistoryPage, ShortAndEmptyHistories) {
  const auto page = HistoryPage(History({}, 1), "h");
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(page->folded[0].label, "TOO SHORT");
  ExpectBalanced(PageHtml(*page));
  EXPECT_FALSE(HistoryPage({}, "h").ok());
  auto failed = History({}, 1);
  failed[0].samples = {std::nan("")};
  ASSERT_TRUE(HistoryPage(failed, "h").ok());
  ExpectBalanced(PageHtml(*HistoryPage(failed, "h")));
}

TEST(ReportPage, HasEveryRowOnce) {
  const auto base = History({}, 1), gone = History({}, 1, "gone");
  auto slow = History({{0, 1.1}}, 1);
  slow[0].commit = "head";
  const auto report = bench::CompareRecords({base[0], gone[0]}, {slow[0]}, {});
  ASSERT_TRUE(report.ok());
  const Page page = ReportPage(*report, "t", {{"base", "<b>"}}, {});
  EXPECT_EQ(page.tone, Tone::kBad);
  EXPECT_EQ(page.verdict, "1 of 2 benchmarks is slower.");
  ASSERT_EQ(page.rows.size(), 2u);
  EXPECT_EQ(page.rows[0].label, "SLOWER");
  EXPECT_EQ(page.rows[1].label, "VANISHED");
  const std::string html = PageHtml(page);
  ExpectBalanced(html);
  ExpectSelfContained(html);
  ExpectBalanced(PageHtml(ReportPage({}, "empty", {}, {})));
}

TEST(ReportPage, AnImplausibleSpeedUpIsDecided) {
  const auto base = History({}, 1), other = History({}, 1, "new");
  auto half = History({{0, 0.5}}, 1);
  half[0].commit = "head";
  const auto report = bench::CompareRecords(base, {half[0], other[0]}, {});
  ASSERT_TRUE(report.ok());
  const Page page = ReportPage(*report, "t", {}, {});
  EXPECT_EQ(page.verdict,
            "Inconclusive: 1 of 2 benchmarks could not be decided.");
  EXPECT_EQ(page.rows[1].label, "FASTER, implausible");
}

TEST(Figures, WhatLiesBeyondTheAxisIsAnArrow) {
  IntervalBar bar;
  bar.estimate = 0.01;
  bar.low = -0.02;
  bar.high = 3;
  bar.floor = 0.01;
  bar.limit = 0.1;
  const std::string svg = IntervalSvg(bar, "\"quoted\"");
  ExpectBalanced(svg);
  EXPECT_NE(svg.find("&quot;quoted&quot;"), std::string::npos);
  EXPECT_EQ(Count(svg, "<path"), 1u);
  EXPECT_EQ(Count(svg, "<circle"), 1u);
  bar.estimate = 2;
  EXPECT_EQ(Count(IntervalSvg(bar, ""), "<circle"), 0u);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(Figures, TrendsOfCharacters) {
  EXPECT_EQ(TrendText({{1, 1, 2, 2}, {}}), "▁▁██");
  // 4 % of range at least: a change of 1 % stays in the middle.
  EXPECT_EQ(TrendText({{1, 1.01}, {}}), "▄▅");
  EXPECT_EQ(TrendText({}), "");
  EXPECT_EQ(TrendText({std::vector<double>(100, 5), {}}, 10).size(), 30u);
}

TEST(Values, TimesAreReadable) {
  EXPECT_EQ(ValueText(518300, "ns"), "518.3 us");
  EXPECT_EQ(ValueText(1.5e6, "us"), "1.5 s");
  EXPECT_EQ(ValueText(12, "ns"), "12 ns");
  EXPECT_EQ(ValueText(0.03454, "ms"), "34.54 us");
  EXPECT_EQ(ValueText(0, "ms"), "0 ms");
  EXPECT_EQ(ValueText(1e7, ""), "1e+07");
}

}  // namespace
}  // namespace lt2::tools
