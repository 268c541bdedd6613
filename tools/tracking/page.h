// A report for people: one self-contained HTML page (no network, no scripts) or
// Markdown, of the same content.
//
// The page says first what the verdict is and what to do next, then one entry
// for each benchmark, worst first, with what did not change folded away. It
// fits a phone and a desk, light and dark, and says everything in text too.

#ifndef LT2_TOOLS_TRACKING_PAGE_H_
#define LT2_TOOLS_TRACKING_PAGE_H_

#include <string>
#include <utility>
#include <vector>

namespace lt2::tools {

// kNeutral: cannot say; kQuiet: nothing happened.
enum class Tone { kBad, kDoubt, kNeutral, kGood, kQuiet };

struct PageRow {
  std::string name;
  std::string label;  // "SLOWER"
  Tone tone = Tone::kNeutral;
  std::string headline;  // "+4.10 % [+3.2, +5.0]"
  std::string figure;    // SVG, or ""
  std::string trend;     // the same in characters, for Markdown, or ""
  std::vector<std::pair<std::string, std::string>> facts;
};

struct PageStep {
  std::string text;
  std::string command;  // may be ""
};

struct Page {
  std::string title;
  std::string verdict;  // "1 of 12 benchmarks is slower."
  Tone tone = Tone::kNeutral;
  std::vector<PageStep> next;
  std::vector<std::pair<std::string, std::string>> about;  // machine, ...
  std::string legend;  // how to read a figure
  std::vector<PageRow> rows;
  std::string folded_title;
  std::vector<PageRow> folded;
};

std::string PageHtml(const Page& page);
std::string PageMarkdown(const Page& page);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TRACKING_PAGE_H_
