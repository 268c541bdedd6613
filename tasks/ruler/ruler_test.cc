#include "tasks/ruler/ruler.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "kernels/core/hash.h"

namespace lt2::tasks {
namespace {

using nlohmann::json;

const Tokenizer& Bytes() {
  static const Tokenizer* tokenizer = Tokenizer::Load("bytes")->release();
  return *tokenizer;
}

std::string WriteFile(const std::string& name, const std::string& text) {
  const std::string path = ::testing::TempDir() + "/" + name;
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

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

json SpecOf(const std::string& name, int64_t max_length = 16384) {
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

absl::StatusOr<std::unique_ptr<RulerTask>> Try(const json& spec) {
  RulerOptions options;
  options.tokenizer = &Bytes();
  options.path = "r";
  return RulerTask::Create(spec, options);
}

std::unique_ptr<RulerTask> Make(const json& spec) {
  auto task = Try(spec);
  EXPECT_TRUE(task.ok()) << task.status();
  return task.ok() ? *std::move(task) : nullptr;
}

// ---- Solvers: they read the prompt only -------------------------------------

// What is between `before` and `after`, at each place.
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

// ---- All tasks --------------------------------------------------------------

TEST(Ruler, HasThe13Tasks) { EXPECT_EQ(RulerTaskNames().size(), 13u); }

TEST(Ruler, ASolverThatReadsThePromptFindsTheAnswers) {
  for (const std::string& name : RulerTaskNames()) {
    for (int64_t length : {3000, 16384}) {
      if (length == 3000 && (name == "cwe" || name == "fwe")) length = 3900;
      SCOPED_TRACE(absl::StrCat(name, " ", length));
      const auto task = Make(SpecOf(name, length));
      for (int64_t i = 0; i < std::min<int64_t>(8, task->num_samples()); ++i) {
        const auto sample = task->Sample(i);
        ASSERT_TRUE(sample.ok()) << sample.status();
        EXPECT_EQ(Sorted(Solve(name, sample->prompt)), Sorted(sample->answers))
            << sample->prompt.substr(0, 3000);
        EXPECT_TRUE(absl::EndsWith(sample->prompt, sample->answer_prefix));
        // Someone who writes the solution has full marks.
        std::string text = "they are";
        for (const std::string& answer : sample->answers) text += " " + answer;
        EXPECT_EQ(RulerScore(text, sample->answers, task->metric()), 1);
        EXPECT_EQ(RulerScore("no idea", sample->answers, task->metric()), 0);
      }
    }
  }
}

TEST(Ruler, IsAsLongAsFits) {
  for (const std::string& name : RulerTaskNames()) {
    for (int64_t length : {16384, 30000}) {
      SCOPED_TRACE(absl::StrCat(name, " ", length));
      const auto task = Make(SpecOf(name, length));
      double tokens = 0;
      for (int64_t i = 0; i < 8; ++i) {
        const auto sample = task->Sample(i);
        ASSERT_TRUE(sample.ok()) << sample.status();
        EXPECT_EQ(sample->tokens,
                  static_cast<int64_t>(Bytes().Encode(sample->prompt).size()));
        EXPECT_LE(sample->tokens + task->max_new_tokens(), length);
        tokens += static_cast<double>(sample->tokens) / 8;
      }
      // Our questions have but a few documents.
      if (absl::StartsWith(name, "qa")) continue;
      EXPECT_GT(tokens,
                0.8 * static_cast<double>(length - task->max_new_tokens()));
    }
  }
}

TEST(Ruler, ShortPromptsAreNearlyAsLongAsFits) {
  for (const char* name : {"niah_single_1", "niah_single_2", "niah_multiquery",
                           "niah_multikey_2", "fwe"}) {
    SCOPED_TRACE(name);
    const auto task = Make(SpecOf(name, 2000));
    for (int64_t i = 0; i < 8; ++i) {
      const auto sample = task->Sample(i);
      ASSERT_TRUE(sample.ok()) << sample.status();
      EXPECT_LE(sample->tokens + task->max_new_tokens(), 2000);
      EXPECT_GT(sample->tokens + task->max_new_tokens(), 1400);
    }
  }
}

TEST(Ruler, SamplesArePureFunctionsOfSpecAndIndex) {
  for (const std::string& name : RulerTaskNames()) {
    SCOPED_TRACE(name);
    const auto a = Make(SpecOf(name, 9000)), b = Make(SpecOf(name, 9000));
    const auto fifth = a->Sample(5), third = a->Sample(3);
    ASSERT_TRUE(fifth.ok() && third.ok());
    EXPECT_EQ(b->Sample(5)->prompt, fifth->prompt);
    EXPECT_EQ(a->Sample(5)->prompt, fifth->prompt);
    EXPECT_NE(third->prompt, fifth->prompt);
    json spec = SpecOf(name, 9000);
    spec["seed"] = 43;
    EXPECT_NE(Make(spec)->Sample(5)->prompt, fifth->prompt);
    // The canonical spec makes the same task.
    EXPECT_EQ(Make(a->spec())->spec(), a->spec());
    EXPECT_EQ(Make(a->spec())->Sample(5)->prompt, fifth->prompt);
  }
}

// A failure here means that published scores no longer compare: if it is meant,
// raise version() and write the new digest.
TEST(Ruler, DigestsArePinned) {
  const std::map<std::string, std::string> pins = {
      {"niah_single_1", "ef5f317f98971b58"},
      {"niah_single_2", "524939a262666074"},
      {"niah_single_3", "e7790658a8e78d9c"},
      {"niah_multikey_1", "9e051ae5ef069b1d"},
      {"niah_multikey_2", "10e0d51af2539734"},
      {"niah_multikey_3", "fe85d5e94e7a2d92"},
      {"niah_multivalue", "ab955abc0e286ed7"},
      {"niah_multiquery", "d6de710e2f75cc80"},
      {"vt", "db72c182758e72e7"},
      {"cwe", "65ea8f66c8ef6a47"},
      {"fwe", "20422ee7a62e8b0d"},
      {"qa_1", "c6c02ea0af096965"},
      {"qa_2", "717b2972f20a42e9"},
  };
  for (const std::string& name : RulerTaskNames()) {
    const auto task = Make(SpecOf(name));
    EXPECT_EQ(task->version(), 1);
    uint64_t hash = kFnv1aEmpty;
    for (int64_t i = 0; i < 8; ++i) {
      const auto sample = task->Sample(i);
      ASSERT_TRUE(sample.ok()) << sample.status();
      hash = Fnv1a(sample->prompt, hash);
      for (const std::string& a : sample->answers) hash = Fnv1a(a + "\n", hash);
    }
    char digest[17];
    std::snprintf(digest, sizeof(digest), "%016lx", hash);
    EXPECT_EQ(digest, pins.at(name)) << name;
  }
}

// ---- Needles ----------------------------------------------------------------

TEST(Niah, NeedlesAreWhereAndAsManyAsSaid) {
  const std::map<std::string, int64_t> needles = {
      {"niah_single_1", 1},   {"niah_single_2", 1},   {"niah_single_3", 1},
      {"niah_multikey_1", 4}, {"niah_multivalue", 4}, {"niah_multiquery", 4},
      {"niah_multikey_2", 1}, {"niah_multikey_3", 1}};
  for (const auto& [name, expected] : needles) {
    SCOPED_TRACE(name);
    const auto task = Make(SpecOf(name));
    for (int64_t i = 0; i < 6; ++i) {
      const auto sample = task->Sample(i);
      ASSERT_TRUE(sample.ok()) << sample.status();
      const auto found =
          Between(sample->prompt, "One of the special magic ", ".");
      const bool hay = name == "niah_multikey_2" || name == "niah_multikey_3";
      ASSERT_EQ(static_cast<int64_t>(found.size()),
                expected + (hay ? sample->size : 0));
      EXPECT_EQ(std::set<std::string>(found.begin(), found.end()).size(),
                found.size());
      for (const std::string& answer : sample->answers) {
        EXPECT_EQ(Between(sample->prompt, answer, "").size(), 1u) << answer;
      }
    }
  }
}

TEST(Niah, DepthsOfAnEssayCoverAllOfIt) {
  const auto task = Make(SpecOf("niah_single_2"));
  int first = 0, last = 0;
  std::set<size_t> places;
  for (int64_t i = 0; i < 120; ++i) {
    const auto sample = task->Sample(i);
    const size_t at = sample->prompt.find("One of the special");
    // Between sentences.
    const std::string before = sample->prompt.substr(at - 2, 2);
    EXPECT_TRUE(before == ". " || before == "? " || before == ".\n") << before;
    const double depth =
        static_cast<double>(at) / static_cast<double>(sample->prompt.size());
    first += depth < 0.2;
    last += depth > 0.8;
    places.insert(at);
  }
  EXPECT_GT(first, 8);
  EXPECT_GT(last, 8);
  EXPECT_GT(places.size(), 30u);  // of 40 depths
}

TEST(Niah, UuidsAreOfVersion4) {
  const auto sample = Make(SpecOf("niah_multikey_3"))->Sample(0);
  const std::string& uuid = sample->answers[0];
  ASSERT_EQ(uuid.size(), 36u);
  for (size_t i : {8, 13, 18, 23}) EXPECT_EQ(uuid[i], '-');
  EXPECT_EQ(uuid[14], '4');
  EXPECT_TRUE(absl::StrContains("89ab", std::string(1, uuid[19])));
}

TEST(Niah, OneAnswerIsAskedForInTheSingular) {
  const auto one = Make(SpecOf("niah_single_1"))->Sample(0);
  EXPECT_TRUE(
      absl::StartsWith(one->prompt, "A special magic number is hidden within"));
  EXPECT_TRUE(absl::StrContains(one->prompt,
                                "\nWhat is the special magic "
                                "number for "));
  const auto four = Make(SpecOf("niah_multiquery"))->Sample(0);
  EXPECT_TRUE(absl::StartsWith(four->prompt, "Some special magic numbers are"));
  EXPECT_EQ(four->answers.size(), 4u);
  EXPECT_TRUE(absl::StrContains(four->answer_prefix, ", and "));
  EXPECT_TRUE(absl::EndsWith(four->prompt,
                             "mentioned in the provided text "
                             "are"));
}

// ---- The others -------------------------------------------------------------

TEST(VariableTracking, HasAWorkedExampleWithItsSolution) {
  const auto task = Make(SpecOf("vt"));
  std::set<std::string> values;
  for (int64_t i = 0; i < 5; ++i) {
    const std::string prompt = task->Sample(i)->prompt;
    EXPECT_EQ(Between(prompt, "Memorize and track", ".").size(), 2u);
    const std::string example =
        prompt.substr(0, prompt.rfind("\nMemorize and track"));
    std::vector<std::string> told = absl::StrSplit(
        Between(example, "they are: ", "\n")[0], ' ', absl::SkipEmpty());
    EXPECT_EQ(told, SolveVt(example));
    EXPECT_EQ(told.size(), 5u);
    for (const auto& v :
         Between(prompt, "that are assigned the value ", " in")) {
      values.insert(v);
    }
  }
  EXPECT_EQ(values.size(), 10u);  // examples differ from sample to sample
}

TEST(CommonWords, RepeatsWordsAsManyTimesAsSaid) {
  const auto task = Make(SpecOf("cwe"));
  const auto sample = task->Sample(0);
  std::map<std::string, int> counts;
  std::istringstream in(AfterLast(sample->prompt, "appear most often.\n"));
  for (std::string label, word; in >> label >> word && label != "Question:";) {
    ++counts[word];
  }
  EXPECT_EQ(static_cast<int64_t>(counts.size()), sample->size);
  std::map<int, int> histogram;
  for (const auto& [word, count] : counts) ++histogram[count];
  EXPECT_EQ(
      histogram,
      (std::map<int, int>{{30, 10}, {3, static_cast<int>(sample->size) - 10}}));
}

TEST(FrequentWords, CountsFollowTheZetaDistribution) {
  const auto task = Make(SpecOf("fwe"));
  const auto sample = task->Sample(0);
  const double n = static_cast<double>(sample->size);
  for (int rank = 2; rank <= 4; ++rank) {
    const auto found =
        Between(sample->prompt, sample->answers[rank - 2], " ").size();
    EXPECT_EQ(found, static_cast<size_t>(n / (rank * rank) / 1.6449340668));
  }
}

TEST(Qa, EvidenceIsThereAndTheSameArticleFirst) {
  // Room for few documents: those of the article come first.
  const auto task = Make(SpecOf("qa_1", 600));
  ASSERT_EQ(task->num_samples(), 30);
  for (int64_t i = 0; i < 30; ++i) {
    const auto sample = task->Sample(i);
    ASSERT_TRUE(sample.ok()) << sample.status();
    ASSERT_LE(sample->size, 5);
    const std::string article = absl::StrCat("In box ", i / 5, "-");
    EXPECT_EQ(
        static_cast<int64_t>(Between(sample->prompt, article, " ").size()),
        sample->size);
  }
  // With room for all, each document is there once.
  const auto all = Make(SpecOf("qa_1"))->Sample(7);
  EXPECT_EQ(all->size, 30);
  EXPECT_EQ(Between(all->prompt, "In box ", " ").size(), 30u);
  EXPECT_TRUE(absl::StrContains(all->prompt, "\n\nDocument 30:\n"));
  EXPECT_EQ(Make(SpecOf("qa_1"))->metric(), RulerMetric::kPart);
}

TEST(Qa, ReadsTheSampleOfSquad) {
  const char* data = std::getenv("LT2_DATA_DIR");
  if (data == nullptr) GTEST_SKIP() << "LT2_DATA_DIR is not set";
  json spec = {{"task", "qa_1"},
               {"max_length", 32768},
               {"qa_file", "eval/squad_dev_sample.jsonl"}};
  RulerOptions options;
  options.tokenizer = &Bytes();
  options.data_dir = data;
  const auto task = RulerTask::Create(spec, options);
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_EQ((*task)->num_samples(), 500);
  for (int64_t i = 0; i < 500; i += 50) {
    const auto sample = (*task)->Sample(i);
    ASSERT_TRUE(sample.ok()) << sample.status();
    EXPECT_LE(sample->tokens, 32768 - 32);
    for (const std::string& answer : sample->answers) {
      EXPECT_TRUE(absl::StrContains(sample->prompt, answer)) << answer;
    }
  }
}

TEST(Ruler, WorksWithARealTokenizerAndBooks) {
  const char* data = std::getenv("LT2_DATA_DIR");
  if (data == nullptr) GTEST_SKIP() << "LT2_DATA_DIR is not set";
  const auto tokenizer =
      Tokenizer::Load(std::string(data) + "/tokenizers/gpt2");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  for (const std::string& name : RulerTaskNames()) {
    if (absl::StartsWith(name, "qa")) continue;
    SCOPED_TRACE(name);
    json spec = SpecOf(name, name == "cwe" ? 4096 : 1024);
    if (spec.contains("essay_files")) {
      spec["essay_files"] = {"corpus/valid-books.txt.xz"};
    }
    RulerOptions options;
    options.tokenizer = tokenizer->get();
    options.data_dir = data;
    const auto task = RulerTask::Create(spec, options);
    ASSERT_TRUE(task.ok()) << task.status();
    for (int64_t i = 0; i < 3; ++i) {
      const auto sample = (*task)->Sample(i);
      ASSERT_TRUE(sample.ok()) << sample.status();
      EXPECT_LE(sample->tokens + (*task)->max_new_tokens(),
                (*task)->max_length());
      EXPECT_EQ(Sorted(Solve(name, sample->prompt)), Sorted(sample->answers));
    }
  }
}

// ---- Scores, sentences, errors ----------------------------------------------

TEST(RulerScore, CountsReferencesThatAreContained) {
  const std::vector<std::string> two = {"1234567", "Apple"};
  EXPECT_EQ(RulerScore("1234567", two, RulerMetric::kAll), 0.5);
  EXPECT_EQ(RulerScore("an APPLE and 1234567.", two, RulerMetric::kAll), 1);
  EXPECT_EQ(RulerScore("pineapples", two, RulerMetric::kAll), 0.5);
  EXPECT_EQ(RulerScore("123456", two, RulerMetric::kAll), 0);
  EXPECT_EQ(RulerScore("1,234,567", two, RulerMetric::kAll), 0);
  // "part" is not divided by the number of references.
  EXPECT_EQ(RulerScore("1234567", two, RulerMetric::kPart), 1);
  EXPECT_EQ(RulerScore("", two, RulerMetric::kPart), 0);
  EXPECT_EQ(RulerScore("the 1990s", {"1990"}, RulerMetric::kPart), 1);
  EXPECT_EQ(RulerScore("x", {}, RulerMetric::kAll), 0);
}

TEST(Sentences, EndBeforeNoLowerCaseLetter) {
  const auto split = [](absl::string_view text) { return Sentences(text); };
  using S = std::vector<std::string>;
  EXPECT_EQ(split("One. Two! Three?"), (S{"One.", "Two!", "Three?"}));
  EXPECT_EQ(split("He said \"No.\" Then he left."),
            (S{"He said \"No.\"", "Then he left."}));
  EXPECT_EQ(split("At 3.14 p.m. he left. 2 came."),
            (S{"At 3.14 p.m. he left.", "2 came."}));
  EXPECT_EQ(split("no end"), (S{"no end"}));
  EXPECT_EQ(split(""), S{});
}

TEST(DrawWithoutReplacement, IsUniformOverSubsets) {
  Philox rng(1, 2);
  std::map<std::set<int64_t>, int> seen;
  for (int i = 0; i < 10000; ++i) {
    const auto drawn = DrawWithoutReplacement(rng, 5, 2);
    ++seen[std::set<int64_t>(drawn.begin(), drawn.end())];
  }
  ASSERT_EQ(seen.size(), 10u);
  for (const auto& [subset, count] : seen) EXPECT_NEAR(count, 1000, 160);
}

TEST(Ruler, ErrorsNameTheKey) {
  const auto error = [](const json& spec) {
    return std::string(Try(spec).status().message());
  };
  EXPECT_NE(error({{"task", "niah_single_9"}}).find("r.task: "),
            std::string::npos);
  EXPECT_NE(error({{"task", "vt"}, {"max_lenght", 3}})
                .find("r.max_lenght: unknown key"),
            std::string::npos);
  EXPECT_NE(error({{"task", "niah_single_2"}}).find("r.essay_files: "),
            std::string::npos);
  EXPECT_NE(error({{"task", "vt"}, {"essay_files", {"x"}}})
                .find("r.essay_files: vt takes no essay"),
            std::string::npos);
  EXPECT_NE(error({{"task", "qa_1"}}).find("r.qa_file: "), std::string::npos);
  EXPECT_NE(error({{"task", "niah_single_2"}, {"essay_files", {"no/file"}}})
                .find("r.essay_files: no/file"),
            std::string::npos);
  const std::string small = error({{"task", "vt"}, {"max_length", 100}});
  EXPECT_NE(small.find("r.max_length: 100 tokens do not hold vt"),
            std::string::npos)
      << small;
  for (const char* bad :
       {"", "{", "[]", "[3]", "{\"question\": 1}",
        "{\"title\":\"a\",\"context\":\"b\",\"question\":\"c\",\"answers\":"
        "{\"text\":[4]}}"}) {
    const std::string file = WriteFile("bad.jsonl", bad);
    EXPECT_NE(error({{"task", "qa_1"}, {"qa_file", file}}).find("bad.jsonl"),
              std::string::npos)
        << bad;
    EXPECT_NE(error({{"task", "qa_2"}, {"qa_file", file}}).find("bad.jsonl"),
              std::string::npos)
        << bad;
  }
  const auto task = Make(SpecOf("vt"));
  EXPECT_EQ(task->Sample(500).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(task->Sample(-1).status().code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace lt2::tasks
