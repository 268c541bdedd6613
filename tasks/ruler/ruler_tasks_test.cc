// What holds for each of the tasks, scores and errors.

#include <cstdlib>
#include <map>
#include <set>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "tasks/ruler/ruler.h"
#include "tasks/ruler/ruler_generator.h"
#include "tasks/ruler/ruler_testing.h"

namespace lt2::tasks {
namespace {

using nlohmann::json;

// ---- Needles ----------------------------------------------------------------

TEST(Niah, NeedlesAreWhereAndAsManyAsSaid) {
  const std::map<std::string, int64_t> needles = {
      {"niah_single_1", 1},   {"niah_single_2", 1},   {"niah_single_3", 1},
      {"niah_multikey_1", 4}, {"niah_multivalue", 4}, {"niah_multiquery", 4},
      {"niah_multikey_2", 1}, {"niah_multikey_3", 1}};
  for (const auto& [name, expected] : needles) {
    SCOPED_TRACE(name);
    const auto task = MakeRuler(SpecOf(name));
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
  const auto task = MakeRuler(SpecOf("niah_single_2"));
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
  const auto sample = MakeRuler(SpecOf("niah_multikey_3"))->Sample(0);
  const std::string& uuid = sample->answers[0];
  ASSERT_EQ(uuid.size(), 36u);
  for (size_t i : {8, 13, 18, 23}) EXPECT_EQ(uuid[i], '-');
  EXPECT_EQ(uuid[14], '4');
  EXPECT_TRUE(absl::StrContains("89ab", std::string(1, uuid[19])));
}

TEST(Niah, OneAnswerIsAskedForInTheSingular) {
  const auto one = MakeRuler(SpecOf("niah_single_1"))->Sample(0);
  EXPECT_TRUE(
      absl::StartsWith(one->prompt, "A special magic number is hidden within"));
  EXPECT_TRUE(absl::StrContains(one->prompt,
                                "\nWhat is the special magic "
                                "number for "));
  const auto four = MakeRuler(SpecOf("niah_multiquery"))->Sample(0);
  EXPECT_TRUE(absl::StartsWith(four->prompt, "Some special magic numbers are"));
  EXPECT_EQ(four->answers.size(), 4u);
  EXPECT_TRUE(absl::StrContains(four->answer_prefix, ", and "));
  EXPECT_TRUE(absl::EndsWith(four->prompt,
                             "mentioned in the provided text "
                             "are"));
}

// ---- The others -------------------------------------------------------------

TEST(VariableTracking, HasAWorkedExampleWithItsSolution) {
  const auto task = MakeRuler(SpecOf("vt"));
  std::set<std::string> values;
  for (int64_t i = 0; i < 5; ++i) {
    const std::string prompt = task->Sample(i)->prompt;
    EXPECT_EQ(Between(prompt, "Memorize and track", ".").size(), 2u);
    const std::string example =
        prompt.substr(0, prompt.rfind("\nMemorize and track"));
    std::vector<std::string> told = absl::StrSplit(
        Between(example, "they are: ", "\n")[0], ' ', absl::SkipEmpty());
    EXPECT_EQ(told, Solve("vt", example));
    EXPECT_EQ(told.size(), 5u);
    for (const auto& v :
         Between(prompt, "that are assigned the value ", " in")) {
      values.insert(v);
    }
  }
  EXPECT_EQ(values.size(), 10u);  // examples differ from sample to sample
}

TEST(CommonWords, RepeatsWordsAsManyTimesAsSaid) {
  const auto task = MakeRuler(SpecOf("cwe"));
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
  const auto task = MakeRuler(SpecOf("fwe"));
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
  const auto task = MakeRuler(SpecOf("qa_1", 600));
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
  const auto all = MakeRuler(SpecOf("qa_1"))->Sample(7);
  EXPECT_EQ(all->size, 30);
  EXPECT_EQ(Between(all->prompt, "In box ", " ").size(), 30u);
  EXPECT_TRUE(absl::StrContains(all->prompt, "\n\nDocument 30:\n"));
  EXPECT_EQ(MakeRuler(SpecOf("qa_1"))->metric(), RulerMetric::kPart);
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
    return std::string(TryRuler(spec).status().message());
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
  const auto task = MakeRuler(SpecOf("vt"));
  EXPECT_EQ(task->Sample(500).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(task->Sample(-1).status().code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace lt2::tasks
