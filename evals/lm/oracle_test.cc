// Requests and results that other harnesses recorded: lm-evaluation-harness'
// stability test of 2021 (a mock model, so its numbers are exact), WinoGrande
// log-likelihoods of real models, and the requests of AI2's OLMES. The files
// are read from LT2_DATA_DIR; without it these tests are skipped.

#include <cmath>
#include <cstdlib>
#include <functional>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "evals/lm/metrics.h"
#include "evals/lm/mock_language_model.h"
#include "evals/lm/text_counts.h"
#include "gtest/gtest.h"
#include "kernels/core/json/strict_json.h"
#include "tasks/text_file.h"

namespace lt2::evals {
namespace {

using nlohmann::json;

class OracleTest : public testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("LT2_DATA_DIR");
    if (folder == nullptr) GTEST_SKIP() << "LT2_DATA_DIR is not set";
    data_dir_ = folder;
  }

  json Read(const std::string& name) const {
    const auto text = tasks::ReadTextFile(data_dir_ + "/oracles/" + name);
    EXPECT_TRUE(text.ok()) << text.status();
    return ParseJson(*text, name).value();
  }
  std::vector<json> ReadLines(const std::string& name) const {
    const auto text = tasks::ReadTextFile(data_dir_ + "/oracles/" + name);
    EXPECT_TRUE(text.ok()) << text.status();
    std::vector<json> lines;
    for (absl::string_view line : absl::StrSplit(*text, '\n')) {
      if (!line.empty()) lines.push_back(ParseJson(line, name).value());
    }
    return lines;
  }
  Documents Load(const Suite& suite) const {
    auto documents = LoadDocuments(suite, data_dir_, model_);
    EXPECT_TRUE(documents.ok()) << documents.status();
    return *std::move(documents);
  }

  std::string data_dir_;
  MockLanguageModel model_;
};

std::shared_ptr<const Suite> Get(const std::string& name) {
  auto suite = LoadSuite("evals/lm/suites/" + name + ".json");
  EXPECT_TRUE(suite.ok()) << suite.status();
  return *suite;
}

// The suite applied to one document.
Item Build(const Suite& suite, const json& fields) {
  const auto documents = ParseDocuments(suite, fields.dump(), "a");
  EXPECT_TRUE(documents.ok()) << documents.status();
  const auto item = BuildItem(suite, *documents, 0, {});
  EXPECT_TRUE(item.ok()) << item.status();
  return *item;
}

void ExpectRequests(const Item& item, const json& requests) {
  ASSERT_GE(item.requests.size(), requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(item.requests[i].context, requests[i]["context"]);
    EXPECT_EQ(item.requests[i].continuation, requests[i]["continuation"]);
  }
}

// A document that has these requests: the inverse of a suite's templates.
json Undo(const std::string& task, const json& doc) {
  json fields;
  std::vector<std::string> choices;
  for (const json& request : doc["requests"]) {
    choices.push_back(request["continuation"].get<std::string>().substr(1));
  }
  const std::string context = doc["requests"][0]["context"];
  if (task == "hellaswag") {
    return {{"query", context}, {"choices", choices}, {"gold", doc["gold"]}};
  }
  if (task == "openbookqa") {
    return {{"question_stem", context},
            {"choices", {{"text", choices}, {"label", {"A", "B", "C", "D"}}}},
            {"answerKey", std::string(1, 'A' + doc["gold"].get<int>())}};
  }
  const size_t at = context.rfind("Question: ");  // sciq
  const std::string question = context.substr(at + 10);
  return {{"support", context.substr(0, std::max<size_t>(at, 1) - 1)},
          {"question", question.substr(0, question.size() - 8)},
          {"distractor1", choices[0]},
          {"distractor2", choices[1]},
          {"distractor3", choices[2]},
          {"correct_answer", choices[3]}};
}

// What another harness' task is here.
const char* SuiteOf(const std::string& task) {
  if (task == "lambada") return "lambada_openai";
  if (task == "boolq") return "boolq_v0";
  for (const char* name :
       {"hellaswag", "arc_easy", "arc_challenge", "piqa", "openbookqa", "sciq",
        "winogrande", "lambada_cloze"}) {
    if (task == name) return name;
  }
  return nullptr;
}

TEST_F(OracleTest, RequestsAndResultsOfTheHarnessExactly) {
  const json oracle = Read("lmeval_v0_mock.json");
  ASSERT_EQ(oracle.size(), 10u);
  for (const auto& [task, recorded] : oracle.items()) {
    SCOPED_TRACE(task);
    const auto suite = Get(SuiteOf(task));
    const bool completion = suite->kind == SuiteKind::kCompletion;
    const bool rebuilt =
        task == "hellaswag" || task == "openbookqa" || task == "sciq";
    // Items of the data files by their first request.
    std::map<std::string, Item> items;
    if (!rebuilt) {
      const Documents documents = Load(*suite);
      for (const Document& document : documents.items) {
        const auto item = BuildItem(*suite, documents, document.index, {});
        ASSERT_TRUE(item.ok()) << item.status();
        // Two items may have the same question.
        items[item->requests[0].context + item->requests[0].continuation] =
            *item;
      }
    }
    std::vector<std::vector<ItemMetric>> metrics;
    for (json doc : recorded["docs"]) {
      if (task == "boolq") {
        // The data files have no titles.
        for (json& request : doc["requests"]) {
          const std::string context = request["context"];
          request["context"] = context.substr(context.find(" -- ") + 4);
        }
      }
      const std::string key =
          doc["requests"][0]["context"].get<std::string>() +
          doc["requests"][0]["continuation"].get<std::string>();
      Item item;
      if (rebuilt) {
        item = Build(*suite, Undo(task, doc));
      } else {
        ASSERT_EQ(items.count(key), 1u) << key;
        item = items[key];
      }
      // requests[1] of the harness' LAMBADA is the same again.
      json requests = doc["requests"];
      if (completion) requests.erase(1);
      ExpectRequests(item, requests);
      if (!completion) {
        // BoolQ's is the label, 1 = yes, which is the first request.
        const int64_t gold = doc["gold"];
        EXPECT_EQ(item.gold, task == "boolq" ? 1 - gold : gold);
      }
      std::vector<Response> responses;
      for (const json& request : requests) {
        Response response;
        response.sum = request["loglikelihood"];
        responses.push_back(response);
      }
      responses.resize(item.requests.size());  // unconditional ones: 0
      const auto scores = ScoreItem(*suite, item, responses);
      ASSERT_TRUE(scores.ok()) << scores.status();
      metrics.push_back(*scores);
    }
    const auto results = Aggregate(metrics);
    ASSERT_TRUE(results.ok()) << results.status();
    int checked = 0;
    for (const MetricResult& result : *results) {
      const std::string name =
          result.name == "perplexity" ? "ppl" : result.name;
      if (!recorded["recorded"].contains(name)) continue;
      ++checked;
      EXPECT_NEAR(result.value, recorded["recorded"][name].get<double>(), 1e-14)
          << name;
      // The harness' of a perplexity is a bootstrap.
      if (name == "ppl") continue;
      EXPECT_NEAR(result.stderr_mean,
                  recorded["recorded"][name + "_stderr"].get<double>(), 1e-14)
          << name;
    }
    EXPECT_EQ(checked, static_cast<int>(recorded["recorded"].size()) / 2);
  }
}

TEST_F(OracleTest, PerplexitiesOfTheHarnessExactly) {
  const json oracle = Read("lmeval_v0_rolling_mock.json");
  ASSERT_EQ(oracle.size(), 3u);
  const auto suite = Get("textbook");
  for (const auto& [task, recorded] : oracle.items()) {
    SCOPED_TRACE(task);
    std::vector<std::vector<ItemMetric>> metrics;
    for (const json& doc : recorded["docs"]) {
      Item item;
      item.requests = {{"", doc["text"]}};
      Response response;
      response.sum = doc["loglikelihood"];
      const auto scores = ScoreItem(*suite, item, {response});
      ASSERT_TRUE(scores.ok()) << scores.status();
      metrics.push_back(*scores);
    }
    const auto results = Aggregate(metrics);
    ASSERT_TRUE(results.ok()) << results.status();
    for (const MetricResult& result : *results) {
      double value = result.value;
      // That version did not divide by ln 2.
      if (result.name == "bits_per_byte") value *= std::log(2.0);
      EXPECT_NEAR(value, recorded["recorded"][result.name].get<double>(), 1e-14)
          << result.name;
    }
  }
}

// The context after the few-shot examples, without BoolQ's title.
std::string LastPart(const std::string& task, const std::string& context) {
  if (task == "boolq") return context.substr(context.find(" -- ") + 4);
  const size_t at = context.rfind("\n\n");
  return at == std::string::npos || task == "sciq" ? context
                                                   : context.substr(at + 2);
}

TEST_F(OracleTest, RequestsOfOlmes) {
  const std::map<std::string, std::string> suites = {
      {"piqa", "piqa_olmes"},
      {"openbookqa", "openbookqa_olmes"},
      {"boolq", "boolq"}};
  std::map<std::string, std::set<std::string>> known;
  int checked = 0;
  for (const json& line : ReadLines("olmes_requests.jsonl")) {
    const std::string task = line["task"];
    const auto renamed = suites.find(task);
    if (known[task].empty()) {
      const auto suite = Get(renamed == suites.end() ? task : renamed->second);
      const Documents documents = Load(*suite);
      for (const Document& document : documents.items) {
        const auto item = BuildItem(*suite, documents, document.index, {});
        ASSERT_TRUE(item.ok()) << item.status();
        for (size_t i = 0; i < item->choices.size(); ++i) {
          const TextRequest& request = item->requests[i];
          // OLMES asks yes, no; the harness no, yes.
          const size_t choice = task == "boolq" ? 1 - i : i;
          const int64_t gold = task == "boolq" ? 1 - item->gold : item->gold;
          known[task].insert(absl::StrCat(request.context, "|",
                                          request.continuation, "|", choice,
                                          "|", gold));
        }
      }
    }
    const std::string wanted = absl::StrCat(
        LastPart(task, line["context"]), "|",
        line["continuation"].get<std::string>(), "|",
        line["idx"].get<int64_t>(), "|", line["label"].get<int64_t>());
    EXPECT_EQ(known[task].count(wanted), 1u) << task << ": " << wanted;
    ++checked;
  }
  EXPECT_EQ(checked, 623);
}

TEST_F(OracleTest, AccuracyAndErrorOfRealModels) {
  struct Recorded {
    double acc, error;
  };
  const std::map<std::string, Recorded> recorded = {
      {"Llama-2-7b-hf", {0.738, 0.0124}},
      {"Llama-2-13b-hf", {0.7616, 0.0120}},
      {"Mistral-7B-v0.1", {0.7814, 0.0116}}};
  const auto suite = Get("winogrande");
  std::map<std::string, std::vector<std::vector<ItemMetric>>> metrics;
  for (const json& line : ReadLines("winogrande_loglikelihoods.jsonl")) {
    Item item;
    item.requests.resize(2);
    item.choices.resize(2);
    item.gold = line["truth"];
    std::vector<Response> responses(2);
    responses[0].sum = line["logit_0"];
    responses[1].sum = line["logit_1"];
    const auto scores = ScoreItem(*suite, item, responses);
    ASSERT_TRUE(scores.ok()) << scores.status();
    EXPECT_EQ((*scores)[0].numerator == 1, line["acc"].get<bool>());
    metrics[line["model"]].push_back(*scores);
  }
  ASSERT_EQ(metrics.size(), 3u);
  for (const auto& [name, items] : metrics) {
    ASSERT_EQ(items.size(), 1267u);
    const auto results = Aggregate(items);
    ASSERT_TRUE(results.ok()) << results.status();
    // As recorded: rounded to four digits.
    EXPECT_NEAR((*results)[0].value, recorded.at(name).acc, 0.5e-4) << name;
    EXPECT_NEAR((*results)[0].stderr_mean, recorded.at(name).error, 0.5e-4)
        << name;
  }
}

TEST_F(OracleTest, HellaSwagsSecondSentenceIsCapitalized) {
  // The harness capitalizes ctx_b (Python: the rest becomes lower case), which
  // the data file has been through; the step does the same to what comes
  // before it.
  int changed = 0;
  for (const json& line : ReadLines("hellaswag_ctx_pairs.jsonl")) {
    const std::string before = line["activity_and_ctx"], after = line["query"];
    size_t at = 0;
    while (at < before.size() && before[at] == after[at]) ++at;
    if (at == before.size()) continue;
    TextStep step;
    step.op = "capitalize";
    const auto capitalized = ApplySteps({step}, before.substr(at));
    ASSERT_TRUE(capitalized.ok()) << capitalized.status();
    EXPECT_EQ(before.substr(0, at) + *capitalized, after);
    ++changed;
  }
  EXPECT_GT(changed, 100);
}

TEST_F(OracleTest, EverySuiteWithDataBuildsEveryItem) {
  const auto names = ListSuites("evals/lm/suites");
  ASSERT_TRUE(names.ok()) << names.status();
  for (const std::string& name : *names) {
    if (name == "gsm8k") continue;  // the user brings its file
    const auto suite = Get(name);
    if (!suite->generator.empty()) continue;
    const Documents documents = Load(*suite);
    EXPECT_GE(documents.items.size(), 4u) << name;
    for (const Document& document : documents.items) {
      const auto item =
          BuildItem(*suite, documents, document.index, {suite->shots, 1});
      ASSERT_TRUE(item.ok()) << item.status();
    }
  }
}

}  // namespace
}  // namespace lt2::evals
