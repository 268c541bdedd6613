#include "tasks/ruler/ruler_testing.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"

namespace lt2::tasks {
namespace {

using nlohmann::json;

// 6 articles of 5 paragraphs, a question on each.
std::string SquadFile() {
  std::string lines;
  for (int a = 0; a < 6; ++a) {
    for (int p = 0; p < 5; ++p) {
      const std::string n = absl::StrCat(a, "-", p);
      lines += json{{"title", absl::StrCat("article ", a)},
                    {"context", absl::StrCat("In box ", n, " there is a thing ",
                                             "called Item", n, ".")},
                    {"question", absl::StrCat("What is in box ", n, "?")},
                    {"answers", {{"text", {absl::StrCat("Item", n)}}}}}
                   .dump() +
               "\n";
    }
  }
  return WriteFile("squad.jsonl", lines);
}

std::string HotpotFile() {
  json all = json::array();
  for (int q = 0; q < 8; ++q) {
    json context = json::array();
    for (int p = 0; p < 4; ++p) {
      context.push_back({absl::StrCat("Title ", q, p),
                         {absl::StrCat("Here is fact", q, p, ". "), "More."}});
    }
    all.push_back({{"question", absl::StrCat("What is fact ", q, "?")},
                   {"answer", absl::StrCat("fact", q, 2)},
                   {"context", context}});
  }
  return WriteFile("hotpot.json", all.dump());
}

std::vector<std::string> SolveNiah(const std::string& prompt) {
  const std::string question =
      AfterLast(prompt.substr(0, prompt.rfind(" mentioned in")), "\nWhat ");
  const std::string asked = AfterLast(
      question.substr(0, question.find(" mentioned in the provided text?")),
      " for ");
  std::vector<std::string> answers;
  for (const std::string& key : std::vector<std::string>(absl::StrSplit(
           absl::StrReplaceAll(asked, {{", and ", ", "}}), ", "))) {
    for (const std::string& value :
         Between(prompt, absl::StrCat(" for ", key, " is: "), ".")) {
      answers.push_back(value);
    }
  }
  return answers;
}

std::vector<std::string> SolveVt(const std::string& prompt) {
  const std::string problem = AfterLast(prompt, "Memorize and track");
  const std::string wanted =
      Between(problem, "that are assigned the value ", " in the text")[0];
  std::map<std::string, std::string> value;
  std::vector<std::string> names;
  for (absl::string_view line : absl::StrSplit(problem, '\n')) {
    const std::vector<std::string> word =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (word.size() < 4 || word[0] != "VAR") continue;
    value[word[1]] = word[3] == "VAR" ? value[word[4]] : word[3];
    if (value[word[1]] == wanted) names.push_back(word[1]);
  }
  return names;
}

// The `k` most frequent, and whether they lead the others.
std::vector<std::string> Top(const std::map<std::string, int>& counts,
                             size_t k) {
  std::vector<std::pair<int, std::string>> sorted;
  for (const auto& [word, count] : counts) sorted.push_back({-count, word});
  std::sort(sorted.begin(), sorted.end());
  EXPECT_GT(sorted.size(), k);
  EXPECT_LT(sorted[k - 1].first, sorted[k].first) << "no clear answer";
  std::vector<std::string> top;
  for (size_t i = 0; i < k; ++i) top.push_back(sorted[i].second);
  return top;
}

std::vector<std::string> SolveCwe(const std::string& prompt) {
  std::string list = AfterLast(prompt, "appear most often.\n");
  list = list.substr(0, list.find("\nQuestion"));
  std::map<std::string, int> counts;
  int number = 0;
  std::istringstream in(list);
  for (std::string label, word; in >> label >> word;) {
    EXPECT_EQ(label, absl::StrCat(++number, "."));
    ++counts[word];
  }
  return Top(counts, 10);
}

std::vector<std::string> SolveFwe(const std::string& prompt) {
  std::string text = AfterLast(prompt, "frequently appeared coded words. ");
  text = text.substr(0, text.find("\nQuestion"));
  std::map<std::string, int> counts;
  for (const std::string& word :
       std::vector<std::string>(absl::StrSplit(text, ' '))) {
    ++counts[word];
  }
  for (const auto& [word, count] : counts) {
    EXPECT_LE(count, counts["..."]);  // the dots are rank 1
  }
  counts.erase("...");
  return Top(counts, 3);
}

std::vector<std::string> SolveQa(const std::string& prompt) {
  const std::string question = AfterLast(prompt, "\n\nQuestion: ");
  for (const std::string& box : Between(question, "in box ", "?")) {
    return Between(prompt,
                   absl::StrCat("In box ", box,
                                " there is a thing "
                                "called "),
                   ".");
  }
  const std::string fact =
      absl::StrCat("fact", Between(question, "fact ", "?")[0], 2);
  return absl::StrContains(prompt, absl::StrCat("Here is ", fact, ". More."))
             ? std::vector<std::string>{fact}
             : std::vector<std::string>{};
}

}  // namespace

const Tokenizer& Bytes() {
  static const Tokenizer* tokenizer = Tokenizer::Load("bytes")->release();
  return *tokenizer;
}

std::string WriteFile(const std::string& name, const std::string& text) {
  const std::string path = ::testing::TempDir() + "/" + name;
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

json SpecOf(const std::string& name, int64_t max_length) {
  json spec = {{"task", name}, {"max_length", max_length}};
  static const std::set<std::string> no_essay = {
      "niah_single_1", "niah_multikey_2", "niah_multikey_3"};
  if (absl::StartsWith(name, "niah") && no_essay.count(name) == 0) {
    spec["essay_files"] = {"testdata/text/sample.txt"};
  }
  if (name == "qa_1") spec["qa_file"] = SquadFile();
  if (name == "qa_2") spec["qa_file"] = HotpotFile();
  return spec;
}

absl::StatusOr<std::unique_ptr<RulerTask>> TryRuler(const json& spec) {
  RulerOptions options;
  options.tokenizer = &Bytes();
  options.path = "r";
  return RulerTask::Create(spec, options);
}

std::unique_ptr<RulerTask> MakeRuler(const json& spec) {
  auto task = TryRuler(spec);
  EXPECT_TRUE(task.ok()) << task.status();
  return task.ok() ? *std::move(task) : nullptr;
}

std::vector<std::string> Between(const std::string& text,
                                 const std::string& before,
                                 const std::string& after) {
  std::vector<std::string> found;
  size_t at = 0;
  while ((at = text.find(before, at)) != std::string::npos) {
    at += before.size();
    found.push_back(text.substr(at, text.find(after, at) - at));
  }
  return found;
}

std::string AfterLast(const std::string& text, const std::string& mark) {
  return text.substr(text.rfind(mark) + mark.size());
}

std::vector<std::string> Solve(const std::string& name,
                               const std::string& prompt) {
  if (name == "vt") return SolveVt(prompt);
  if (name == "cwe") return SolveCwe(prompt);
  if (name == "fwe") return SolveFwe(prompt);
  if (absl::StartsWith(name, "qa")) return SolveQa(prompt);
  return SolveNiah(prompt);
}

std::vector<std::string> Sorted(std::vector<std::string> words) {
  std::sort(words.begin(), words.end());
  return words;
}

}  // namespace lt2::tasks
