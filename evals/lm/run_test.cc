#include "evals/lm/run.h"

#include <cmath>
#include <filesystem>

#include "absl/strings/str_split.h"
#include "evals/comparison/compare.h"
#include "evals/lm/mock_language_model.h"
#include "evals/lm/report.h"
#include "evals/ranking/lm_rows.h"
#include "evals/ranking/report.h"
#include "gtest/gtest.h"
#include "model/io/atomic_file.h"

namespace lt2::evals {
namespace {

using nlohmann::json;

class RunTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_ + "/eval");
    std::string lines;
    for (int i = 0; i < 12; ++i) {
      lines += json({{"question", absl::StrCat("what is ", i, "?")},
                     {"choices",
                      {{"text", {"one", "two two", "three"}},
                       {"label", {"A", "B", "C"}}}},
                     {"answerKey", std::string(1, 'A' + i % 3)},
                     {"answer", absl::StrCat("it is\n#### ", i)}})
                   .dump() +
               "\n";
    }
    for (const char* name : {"arc_easy", "gsm8k"}) {
      ASSERT_TRUE(model::WriteFileAtomically(
                      folder_ + "/eval/" + name + ".jsonl", lines)
                      .ok());
    }
    options_.data_dir = folder_;
  }

  std::shared_ptr<const Suite> Get(const std::string& name) {
    return *LoadSuite("evals/lm/suites/" + name + ".json");
  }
  std::unique_ptr<ResponseCache> Cache(const std::string& identity = "a") {
    return *ResponseCache::Open(folder_ + "/cache", identity);
  }
  SuiteResult Run(LanguageModel& model, const std::string& suite,
                  ResponseCache& cache) {
    auto result = RunSuite(model, Get(suite), cache, options_);
    EXPECT_TRUE(result.ok()) << result.status();
    return *std::move(result);
  }

  std::string folder_;
  LmRunOptions options_;
};

LmRunInfo Info() {
  LmRunInfo info;
  info.model = "mock";
  info.model_digest = "0123";
  info.loops = info.trained_loops = 1;
  return info;
}

TEST_F(RunTest, ScoresAreThoseOfTheRequestsWhateverTheBatch) {
  std::vector<std::string> seen;
  for (int64_t batch : {1, 3, 16, 1000}) {
    options_.batch = batch;
    MockLanguageModel model;
    auto cache = *ResponseCache::Open("", "");
    const SuiteResult r = Run(model, "arc_easy", *cache);
    EXPECT_EQ(r.requests, 12 * 6);
    // The unconditional requests are three different ones.
    EXPECT_EQ(model.answered, 12 * 3 + 3);
    EXPECT_EQ(r.documents, 12);
    EXPECT_DOUBLE_EQ(r.chance, 1.0 / 3);
    seen.push_back(LmSamples(r, Info()));
    EXPECT_EQ(seen.back(), seen.front());
  }
  // One sample by hand: the mock's log-likelihood of a choice.
  MockLanguageModel model;
  const json sample = json::parse(seen[0].substr(0, seen[0].find('\n')));
  Request request;
  request.context = model.Encode("Question: what is 0?\nAnswer:");
  request.continuation = model.Encode(" two two");
  EXPECT_EQ(sample["arguments"][1][1], " two two");
  EXPECT_EQ(sample["resps"][1][0].get<double>(),
            (*model.Loglikelihood({request}))[0].sum);
}

TEST_F(RunTest, TheCacheAnswersTheSecondTime) {
  MockLanguageModel model;
  std::string first;
  {
    auto cache = Cache();
    first = LmSamples(Run(model, "arc_easy", *cache), Info());
    Run(model, "gsm8k", *cache);
  }
  const int64_t asked = model.answered;
  auto cache = Cache();
  EXPECT_EQ(cache->size(), 39 + 12);
  const SuiteResult again = Run(model, "arc_easy", *cache);
  EXPECT_EQ(LmSamples(again, Info()), first);
  EXPECT_EQ(again.cached, 39);
  Run(model, "gsm8k", *cache);
  EXPECT_EQ(model.answered, asked);
  // Another model, build or version of the suite is asked.
  auto other = Cache("b");
  EXPECT_EQ(other->size(), 0);
  json spec = Get("arc_easy")->json;
  spec["version"] = 2;
  ASSERT_TRUE(RunSuite(model, *ParseSuite(spec, "s"), *cache, options_).ok());
  EXPECT_EQ(model.answered, asked + 39);
}

TEST_F(RunTest, GoesOnWhereItWasStopped) {
  std::atomic<bool> stop{false};
  options_.stop = &stop;
  options_.batch = 1;
  MockLanguageModel model;
  model.before_answer = [&] { stop = model.answered >= 20; };
  {
    auto cache = Cache();
    const auto stopped = RunSuite(model, Get("arc_easy"), *cache, options_);
    EXPECT_TRUE(absl::IsCancelled(stopped.status())) << stopped.status();
  }
  const int64_t before = model.answered;
  EXPECT_LT(before, 39);
  stop = false;
  model.before_answer = nullptr;
  auto cache = Cache();
  const SuiteResult result = Run(model, "arc_easy", *cache);
  EXPECT_EQ(model.answered, 39);
  EXPECT_EQ(result.cached, before);
}

TEST_F(RunTest, DamagedLinesOfTheCacheAreAskedAgain) {
  MockLanguageModel model;
  std::string path, first;
  {
    auto cache = Cache();
    first = LmSamples(Run(model, "arc_easy", *cache), Info());
    path = cache->path();
  }
  std::string text = *model::ReadFile(path);
  // A digit changed, and the last line cut off.
  const size_t digit = text.find("\"s\":-") + 5;
  text[digit] = text[digit] == '9' ? '8' : '9';
  text.resize(text.size() - 10);
  ASSERT_TRUE(model::WriteFileAtomically(path, text).ok());
  {
    auto cache = Cache();
    EXPECT_EQ(cache->damaged_lines(), 2);
    EXPECT_EQ(cache->size(), 37);
    EXPECT_EQ(LmSamples(Run(model, "arc_easy", *cache), Info()), first);
    EXPECT_EQ(model.answered, 41);
  }
  EXPECT_EQ(Cache()->size(), 39);
}

TEST_F(RunTest, GeneratedTextIsFilteredAndScored) {
  MockLanguageModel model;
  model.answer = [](const std::string& context) {
    const size_t at = context.rfind("what is ") + 8;
    const int n = std::stoi(context.substr(at));
    return n % 2 == 0 ? absl::StrCat(" so\n#### ", n, "\n\nQuestion: ")
                      : absl::StrCat(" it is ", n, ".");
  };
  auto cache = Cache();
  options_.shots = 2;
  const SuiteResult r = Run(model, "gsm8k", *cache);
  ASSERT_EQ(r.metrics.size(), 2u);
  EXPECT_EQ(r.metrics[0].key(), "exact_match,strict-match");
  EXPECT_EQ(r.metrics[0].value, 0.5);
  EXPECT_EQ(r.metrics[1].key(), "exact_match,flexible-extract");
  EXPECT_EQ(r.metrics[1].value, 1);
  const json sample = r.samples[3];
  EXPECT_EQ(sample["filtered_resps"]["flexible-extract"], "3");
  EXPECT_EQ(sample["fewshot_ids"].size(), 2u);
  EXPECT_EQ(r.samples[2]["resps"][0][0], " so\n#### 2");
  EXPECT_EQ(r.samples[2]["resps"][0][1], "stop");
}

TEST_F(RunTest, SamplesAreMarkedPartialAndDoNotDependOnTheRest) {
  MockLanguageModel model;
  auto cache = Cache();
  const SuiteResult all = Run(model, "arc_easy", *cache);
  EXPECT_FALSE(all.partial());
  options_.sample = 5;
  options_.sample_seed = 3;
  const SuiteResult some = Run(model, "arc_easy", *cache);
  EXPECT_TRUE(some.partial());
  ASSERT_EQ(some.samples.size(), 5u);
  for (const json& sample : some.samples) {
    EXPECT_EQ(sample, all.samples[sample["doc_id"].get<int64_t>()]);
  }
  EXPECT_NE(LmTable({some}, Info()).find("PARTIAL: 5 of 12"),
            std::string::npos);
  options_.sample = 0;
  options_.limit = 2;
  EXPECT_EQ(Run(model, "arc_easy", *cache).samples[1]["doc_id"], 1);
}

TEST_F(RunTest, WindowsAndStreamsOfATextScoreEveryByteOnce) {
  std::filesystem::create_directories(folder_ + "/corpus");
  const std::string one = "one two\nthree\n", two = "four five";
  std::filesystem::create_directories(folder_ + "/text");
  ASSERT_TRUE(model::WriteFileAtomically(folder_ + "/a.txt",
                                         one + "<|endoftext|>\n" + two)
                  .ok());
  MockLanguageModel model("m", /*max_length=*/5);
  model.token = [](absl::Span<const int32_t> before, int32_t) {
    return before.size() <= 5 ? -1.0f : -0.5f;
  };
  for (const char* mode : {"windowed", "streaming"}) {
    const json spec = {{"schema_version", 1},
                       {"name", mode},
                       {"version", 1},
                       {"title", "t"},
                       {"kind", "text"},
                       {"mode", mode},
                       {"target", "{text}"},
                       {"primary", "bits_per_byte"},
                       {"data", {{"file", "a.txt"}, {"format", "text"}}}};
    const auto suite = ParseSuite(spec, mode);
    ASSERT_TRUE(suite.ok()) << suite.status();
    auto cache = Cache();
    const auto r = RunSuite(model, *suite, *cache, options_);
    ASSERT_TRUE(r.ok()) << r.status();
    // 14 and 9 bytes; streams have 9 and 4 bytes after more than 5 tokens.
    const double nats = mode[0] == 'w' ? 23 : 23 - 0.5 * (9 + 4);
    ASSERT_EQ(r->metrics.size(), 3u);
    EXPECT_DOUBLE_EQ(r->metrics[0].value, nats / std::log(2.0) / 23);
    EXPECT_DOUBLE_EQ(r->metrics[1].value, std::exp(nats / 23));
    EXPECT_DOUBLE_EQ(r->metrics[2].value, std::exp(nats / 6));
  }
}

TEST_F(RunTest, TheCompareProgramReadsTheResults) {
  MockLanguageModel base;
  MockLanguageModel head("head");
  head.token = [](absl::Span<const int32_t>, int32_t) { return -1.0f; };
  const auto file = [&](MockLanguageModel& model) {
    auto cache = *ResponseCache::Open("", "");
    std::vector<SuiteResult> results;
    results.push_back(Run(model, "arc_easy", *cache));
    results.push_back(Run(model, "gsm8k", *cache));
    const json report = LmJson(results, Info());
    for (const char* key :
         {"results", "groups", "group_subtasks", "configs", "versions",
          "n-shot", "higher_is_better", "n-samples", "config", "git_hash",
          "date", "task_hashes", "model_name",
          "total_evaluation_time_seconds"}) {
      EXPECT_TRUE(report.contains(key)) << key;
    }
    EXPECT_EQ(report["results"]["arc_easy"]["acc,none"],
              results[0].metrics[0].value);
    EXPECT_EQ(report["n-samples"]["arc_easy"]["effective"], 12);
    const auto parsed = ParseResults(report, "results.json");
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    return *parsed;
  };
  const ResultsFile a = file(base), b = file(head);
  ASSERT_EQ(a.rows.size(), 7u);
  EXPECT_EQ(a.rows[0].task, "arc_easy/acc");
  EXPECT_EQ(a.rows[6].task, "gsm8k/exact_match,flexible-extract");
  const auto same = Compare(a, a, {});
  ASSERT_TRUE(same.ok()) << same.status();
  for (const Comparison& c : *same) EXPECT_EQ(c.verdict, Verdict::kIdentical);
  const auto different = Compare(a, b, {});
  ASSERT_TRUE(different.ok()) << different.status();
  for (const Comparison& c : *different) {
    EXPECT_NE(c.verdict, Verdict::kMissing) << c.task << c.reason;
  }
}

TEST_F(RunTest, TheLeaderboardShowsThePrimaryMetricOfEachSuite) {
  MockLanguageModel model;
  auto cache = *ResponseCache::Open("", "");
  std::vector<SuiteResult> results;
  results.push_back(Run(model, "arc_easy", *cache));
  results.push_back(Run(model, "gsm8k", *cache));
  const json report = LmJson(results, Info());
  const auto rows = ParseLmRows(report, "results.json");
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ((*rows)[0].column, "arc_easy");
  EXPECT_EQ((*rows)[0].value, results[0].primary().value);
  EXPECT_EQ((*rows)[0].items.size(), 12u);
  EXPECT_EQ((*rows)[1].column, "gsm8k");
  const std::string text = TextReport(*rows, {});
  EXPECT_NE(text.find("arc_easy: AI2 reasoning challenge, easy questions, "
                      "acc_norm (guessing 33.3 %)"),
            std::string::npos)
      << text;
  // A leaderboard's own file has no suites.
  json other = report;
  other.erase("configs");
  EXPECT_FALSE(ParseLmRows(other, "results.json").ok());
}

}  // namespace
}  // namespace lt2::evals
