#include "evals/lm/ruler_documents.h"

#include "evals/lm/metrics.h"
#include "evals/lm/mock_language_model.h"
#include "gtest/gtest.h"
#include "tasks/ruler/ruler.h"

namespace lt2::evals {
namespace {

TEST(RulerDocuments, EachTaskHasItsSuite) {
  for (const std::string& name : tasks::RulerTaskNames()) {
    const auto suite = LoadSuite("evals/lm/suites/ruler_" + name + ".json");
    ASSERT_TRUE(suite.ok()) << suite.status();
    EXPECT_EQ((*suite)->generator, "ruler");
    EXPECT_EQ((*suite)->generator_spec["task"], name);
  }
}

TEST(RulerDocuments, PromptsFillWhatTheModelReadsAndAreScored) {
  const auto tokenizer = *tasks::Tokenizer::Load("bytes");
  for (const char* name : {"niah_single_1", "vt", "cwe", "fwe"}) {
    SCOPED_TRACE(name);
    const auto suite =
        *LoadSuite(std::string("evals/lm/suites/ruler_") + name + ".json");
    nlohmann::json spec = suite->generator_spec;
    spec["samples"] = 3;
    MockLanguageModel model("m", /*max_length=*/9000);
    auto made = RulerDocuments(spec, model, *tokenizer, "");
    ASSERT_TRUE(made.ok()) << made.status();
    ASSERT_EQ(made->size(), 3u);
    Documents documents;
    documents.items.push_back({(*made)[1], 0, "item"});
    const auto item = BuildItem(*suite, documents, 0, {});
    ASSERT_TRUE(item.ok()) << item.status();
    const std::string& prompt = item->requests[0].context;
    EXPECT_LE(prompt.size() + suite->max_tokens, 9000u);
    EXPECT_GT(prompt.size(), 5000u);
    // The suite asks for as many tokens as the task.
    tasks::RulerOptions options;
    options.tokenizer = tokenizer.get();
    spec["max_length"] = 9000;
    EXPECT_EQ((*tasks::RulerTask::Create(spec, options))->max_new_tokens(),
              suite->max_tokens);
    Response response;
    for (const std::string& answer : item->answers) {
      response.text += answer + ", ";
    }
    EXPECT_EQ((*ScoreItem(*suite, *item, {response}))[0].numerator, 1);
    response.text = item->answers[0].substr(1);
    EXPECT_EQ((*ScoreItem(*suite, *item, {response}))[0].numerator, 0);
    spec["max_length"] = 9500;
    const auto cut = RulerDocuments(spec, model, *tokenizer, "");
    EXPECT_NE(cut.status().message().find("--max_length=9500"),
              std::string::npos)
        << cut.status();
  }
}

}  // namespace
}  // namespace lt2::evals
