#include "tools/tracking/page.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "evals/stats/table.h"
#include "tools/tracking/figures.h"

namespace lt2::tools {
namespace {

// Contrast of text is at least 4.5 : 1 in both schemes.
constexpr char kStyle[] = R"(
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#1b2129;
--soft:#57616e;--line:#d9dee5;--bad:#b3261e;--doubt:#8a5300;--good:#14683f;
--neutral:#3b5a8c;--quiet:#57616e;--accent:#2457a6;--band:#dfe8f5}
@media(prefers-color-scheme:dark){:root{--page:#12161b;--card:#1b2128;
--ink:#e7ebf0;--soft:#a3aebb;--line:#343d48;--bad:#ff8a80;--doubt:#f2b95c;
--good:#6fd3a0;--neutral:#9dbcf0;--quiet:#a3aebb;--accent:#8db5f5;
--band:#26364e}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:72rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}
h2{font-size:1.1rem;margin:2rem 0 .6rem}
code,pre,.name{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,
"DejaVu Sans Mono",monospace;font-size:.875rem}
.verdict{border-left:.4rem solid currentColor;background:var(--card);
padding:.8rem 1rem;font-size:1.15rem;font-weight:600;border-radius:.3rem}
.card{background:var(--card);border:1px solid var(--line);
border-radius:.5rem;padding:.9rem 1rem;margin:0 0 .7rem}
.row{display:grid;grid-template-columns:minmax(0,1fr) 20rem;gap:.3rem 1.5rem;
align-items:center}
.name{overflow-wrap:anywhere;font-weight:600;font-size:.95rem}
.badge{display:inline-block;border:1.5px solid currentColor;
border-radius:1rem;padding:0 .6rem;font-size:.8rem;font-weight:700;
margin-right:.6rem}
.change{font-variant-numeric:tabular-nums;font-weight:600}
.bad{color:var(--bad)}.doubt{color:var(--doubt)}.good{color:var(--good)}
.neutral{color:var(--neutral)}.quiet{color:var(--quiet)}
dl{display:flex;flex-wrap:wrap;gap:.15rem 1.25rem;margin:.35rem 0 0;
font-size:.875rem}
dl div{display:flex;gap:.4rem;min-width:0}
dt{color:var(--soft);white-space:nowrap}
dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.about dl{display:grid;grid-template-columns:minmax(0,14rem) minmax(0,1fr);
gap:.25rem 1rem}.about dl div{display:contents}
.about dt{white-space:normal;overflow-wrap:anywhere}
pre{background:var(--page);border:1px solid var(--line);border-radius:.3rem;
padding:.6rem .8rem;white-space:pre-wrap;word-break:break-all;
margin:.4rem 0 0}
ol{margin:0;padding-left:1.3rem}li{margin:.3rem 0}li::marker{color:var(--soft)}
.legend{color:var(--soft);font-size:.875rem;margin:0 0 .8rem;max-width:60rem}
.figure{display:block;width:100%;height:auto;color:var(--ink)}
.figure text{font-size:11px;fill:var(--soft)}
.band{fill:var(--band)}.axis{stroke:var(--line)}
.zero{stroke:var(--soft);stroke-dasharray:2 2}
.interval{stroke:var(--accent);stroke-width:2.5}
.dot{fill:var(--accent)}.trend{fill:none;stroke:var(--soft);stroke-width:1.2}
.level{stroke:var(--accent);stroke-width:3}
line.change{stroke:var(--bad);stroke-dasharray:4 3}
summary{cursor:pointer;font-weight:600;padding:.5rem 0}
@media(max-width:44rem){.row{grid-template-columns:minmax(0,1fr)}
main{padding:1rem .75rem 2rem}.about dl{grid-template-columns:minmax(0,1fr)}
.about dl div{display:block}h1{font-size:1.3rem}}
)";

const char* ToneName(Tone tone) {
  switch (tone) {
    case Tone::kBad:
      return "bad";
    case Tone::kDoubt:
      return "doubt";
    case Tone::kNeutral:
      return "neutral";
    case Tone::kGood:
      return "good";
    case Tone::kQuiet:
      return "quiet";
  }
  return "";
}

std::string Safe(const std::string& text) {
  return EscapeHtml(evals::Printable(text));
}

std::string FactsHtml(
    const std::vector<std::pair<std::string, std::string>>& facts) {
  std::string html = "<dl>";
  for (const auto& [key, value] : facts) {
    absl::StrAppend(&html, "<div><dt>", Safe(key), "</dt><dd>", Safe(value),
                    "</dd></div>");
  }
  return html + "</dl>\n";
}

std::string RowHtml(const PageRow& row) {
  const char* tone = ToneName(row.tone);
  std::string html = "<article class=\"card row\">\n<div>";
  absl::StrAppend(&html, "<div class=\"name\">", Safe(row.name),
                  "</div>\n<div><span class=\"badge ", tone, "\">",
                  Safe(row.label), "</span><span class=\"change\">",
                  Safe(row.headline), "</span></div>\n");
  if (!row.facts.empty()) html += FactsHtml(row.facts);
  absl::StrAppend(&html, "</div>\n<div>", row.figure, "</div>\n</article>\n");
  return html;
}

std::string CellMarkdown(const std::string& text) {
  // The table escapes '|'; '<' would be markup.
  return absl::StrReplaceAll(text, {{"<", "&lt;"}});
}

std::string RowsMarkdown(const std::vector<PageRow>& rows) {
  bool trends = false;
  for (const PageRow& row : rows) trends = trends || !row.trend.empty();
  std::vector<evals::Column> columns = {{"benchmark"}, {"verdict"}, {"change"}};
  if (trends) columns.push_back({"trend"});
  columns.push_back({"more"});
  evals::Table table(columns);
  for (const PageRow& row : rows) {
    std::vector<std::string> facts;
    for (const auto& [key, value] : row.facts) {
      facts.push_back(absl::StrCat(key, " ", value));
    }
    std::vector<std::string> cells = {CellMarkdown(row.name), row.label,
                                      CellMarkdown(row.headline)};
    if (trends) cells.push_back(row.trend);
    cells.push_back(CellMarkdown(absl::StrJoin(facts, "; ")));
    table.AddRow(cells);
  }
  return table.ToMarkdown();
}

}  // namespace

std::string PageHtml(const Page& page) {
  std::string html = absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,"
      "initial-scale=1\">\n<title>",
      Safe(page.title), "</title>\n<style>", kStyle,
      "</style>\n</head>\n<body>\n<main>\n<h1>", Safe(page.title),
      "</h1>\n<p class=\"verdict ", ToneName(page.tone), "\">",
      Safe(page.verdict), "</p>\n");
  if (!page.next.empty()) {
    html += "<h2>What to do next</h2>\n<div class=\"card\"><ol>\n";
    for (const PageStep& step : page.next) {
      absl::StrAppend(&html, "<li>", Safe(step.text));
      if (!step.command.empty()) {
        absl::StrAppend(&html, "<pre><code>", EscapeHtml(step.command),
                        "</code></pre>");
      }
      html += "</li>\n";
    }
    html += "</ol></div>\n";
  }
  if (!page.rows.empty() || !page.folded.empty()) {
    html += "<h2>Results, worst first</h2>\n";
    if (!page.legend.empty()) {
      absl::StrAppend(&html, "<p class=\"legend\">", Safe(page.legend),
                      "</p>\n");
    }
  }
  for (const PageRow& row : page.rows) html += RowHtml(row);
  if (!page.folded.empty()) {
    absl::StrAppend(&html, "<details", page.rows.empty() ? " open" : "",
                    "><summary>", Safe(page.folded_title), "</summary>\n");
    for (const PageRow& row : page.folded) html += RowHtml(row);
    html += "</details>\n";
  }
  if (!page.about.empty()) {
    absl::StrAppend(&html, "<h2>How it was measured</h2>\n",
                    "<div class=\"card about\">", FactsHtml(page.about),
                    "</div>\n");
  }
  return html + "</main>\n</body>\n</html>\n";
}

std::string PageMarkdown(const Page& page) {
  std::string text = absl::StrCat("# ", CellMarkdown(page.title), "\n\n**",
                                  CellMarkdown(page.verdict), "**\n\n");
  if (!page.rows.empty()) absl::StrAppend(&text, RowsMarkdown(page.rows), "\n");
  if (!page.folded.empty()) {
    absl::StrAppend(&text, "<details><summary>", EscapeHtml(page.folded_title),
                    "</summary>\n\n", RowsMarkdown(page.folded),
                    "\n</details>\n\n");
  }
  if (!page.next.empty()) {
    text += "## What to do next\n\n";
    int number = 0;
    for (const PageStep& step : page.next) {
      absl::StrAppend(&text, ++number, ". ", CellMarkdown(step.text), "\n");
      if (!step.command.empty()) {
        absl::StrAppend(
            &text, "\n       ",
            absl::StrReplaceAll(step.command, {{"\n", "\n       "}}), "\n");
      }
    }
    text += "\n";
  }
  if (!page.about.empty()) {
    text += "## How it was measured\n\n";
    for (const auto& [key, value] : page.about) {
      absl::StrAppend(&text, "- ", CellMarkdown(key), ": ", CellMarkdown(value),
                      "\n");
    }
  }
  return text;
}

}  // namespace lt2::tools
