#include "evals/lm/metrics.h"

#include <cmath>

#include "evals/lm/encoding.h"
#include "evals/lm/mock_language_model.h"
#include "evals/lm/text_counts.h"
#include "gtest/gtest.h"

namespace lt2::evals {
namespace {

using nlohmann::json;

std::shared_ptr<const Suite> Get(const std::string& name) {
  auto suite = LoadSuite("evals/lm/suites/" + name + ".json");
  EXPECT_TRUE(suite.ok()) << suite.status();
  return *suite;
}

Item Choices(const std::vector<std::string>& choices, int64_t gold) {
  Item item;
  item.choices = choices;
  item.gold = gold;
  item.requests.resize(2 * choices.size());
  return item;
}

std::map<std::string, double> Values(const std::vector<ItemMetric>& metrics) {
  std::map<std::string, double> values;
  for (const ItemMetric& m : metrics) values[m.name] = m.numerator;
  return values;
}

TEST(Metrics, TheFiveNormalisationsDiffer) {
  // Choice 0 is 2 characters, 6 bytes, 1 token; choice 1 4, 4 and 2; choice 2
  // 3, 3 and 4. Which one wins is worked out by hand.
  const Item item = Choices({"\u4e2d\u6587", "abcd", "xyz"}, 0);
  std::vector<Response> responses(6);
  const double sums[] = {-3.0, -4.2, -2.9};
  const int64_t tokens[] = {1, 2, 4};
  const double unconditional[] = {-7.0, -4.0, -3.0};
  for (int i = 0; i < 3; ++i) {
    responses[i].sum = sums[i];
    responses[i].tokens = tokens[i];
    responses[3 + i].sum = unconditional[i];
  }
  const auto scores = ScoreItem(*Get("arc_easy"), item, responses);
  ASSERT_TRUE(scores.ok()) << scores.status();
  const auto values = Values(*scores);
  EXPECT_EQ(values.at("acc"), 0);              // -2.9 is choice 2
  EXPECT_EQ(values.at("acc_norm"), 0);         // -1.5, -1.05, -0.967
  EXPECT_EQ(values.at("acc_bytes"), 1);        // -0.5, -1.05, -0.967
  EXPECT_EQ(values.at("acc_tokens"), 0);       // -3, -2.1, -0.725
  EXPECT_EQ(values.at("acc_mutual_info"), 1);  // 4, -0.2, 0.1
}

TEST(Metrics, TiesGoToTheFirst) {
  std::vector<Response> responses(4);
  for (Response& r : responses) r.sum = -1;
  EXPECT_EQ(ScoreItem(*Get("arc_easy"), Choices({"a", "b"}, 0), responses)
                ->front()
                .numerator,
            1);
  EXPECT_EQ(ScoreItem(*Get("arc_easy"), Choices({"a", "b"}, 1), responses)
                ->front()
                .numerator,
            0);
}

TEST(Metrics, NotANumberIsAnError) {
  std::vector<Response> responses(4);
  responses[1].sum = std::nan("");
  EXPECT_FALSE(
      ScoreItem(*Get("arc_easy"), Choices({"a", "b"}, 0), responses).ok());
}

TEST(Metrics, AnswersInText) {
  Item item;
  item.requests.resize(1);
  item.answers = {"New York", "the city"};
  Response response;
  const auto score = [&](json changes, const std::string& text) {
    json spec = Get("squad_recall")->json;
    spec.update(changes);
    response.text = text;
    return ScoreItem(**ParseSuite(spec, "s"), item, {response})
        ->front()
        .numerator;
  };
  EXPECT_EQ(score(json::object(), " in new york.\nThe City"), 1);
  EXPECT_EQ(score(json::object(), " nowhere\n new york"),
            0);  // only the first line
  const json all = {{"score", "contains_all"}, {"primary", "contains_all"}};
  EXPECT_EQ(score(all, "New York"), 0.5);
  EXPECT_EQ(score(all, "THE CITY of New York"), 1);
  const json exact = {{"score", "exact_match"}, {"primary", "exact_match"}};
  EXPECT_EQ(score(exact, " New York "), 1);
  EXPECT_EQ(score(exact, "New York City"), 0);
}

TEST(Metrics, StandardErrorOfAMean) {
  std::vector<std::vector<ItemMetric>> items;
  for (double x : {1, 0, 0, 1, 1}) {
    ItemMetric metric;
    metric.name = "acc";
    metric.numerator = x;
    items.push_back({metric});
  }
  const auto results = Aggregate(items);
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_DOUBLE_EQ((*results)[0].value, 0.6);
  EXPECT_DOUBLE_EQ((*results)[0].stderr_mean, std::sqrt(0.3 / 5));
  EXPECT_LT((*results)[0].low, 0.6);
  EXPECT_GT((*results)[0].high, 0.6);
}

TEST(TextCounts, CharactersAndWordsAsPythonCountsThem) {
  EXPECT_EQ(CountCharacters("a\u00e4\u4e2d\U0001f600"), 4);
  EXPECT_EQ(CountCharacters(std::string("a\xff\xe4", 3)), 3);
  EXPECT_EQ(CountWords(""), 1);
  EXPECT_EQ(CountWords("one"), 1);
  EXPECT_EQ(CountWords("one  two\n\tthree"), 3);
  EXPECT_EQ(CountWords(" one two\n"), 4);
  EXPECT_EQ(CountWords("one\u00a0two\u2003three"), 3);
}

TEST(Encoding, SpacesAtTheEndOfTheContextMove) {
  MockLanguageModel model;
  const auto encoded = EncodePair(model, "ab \n", " c");
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  EXPECT_EQ(model.Decode(encoded->request.context), "ab");
  EXPECT_EQ(model.Decode(encoded->request.continuation), " \n c");
  const auto empty = EncodePair(model, " ", "c");
  EXPECT_EQ(empty->request.context, std::vector<int32_t>{0});
  EXPECT_EQ(model.Decode(empty->request.continuation), " c");
}

// "ab" is one token, as are single bytes.
class PairModel : public MockLanguageModel {
 public:
  std::vector<int32_t> Encode(absl::string_view text) const override {
    std::vector<int32_t> ids;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text.substr(i, 2) == "ab") {
        ids.push_back(256);
        ++i;
      } else {
        ids.push_back(static_cast<unsigned char>(text[i]));
      }
    }
    return ids;
  }
};

TEST(Encoding, ContextAndContinuationAreEncodedTogether) {
  PairModel model;
  // Alone "xa" has two tokens; of x, ab, c the third is scored.
  const auto encoded = EncodePair(model, "xa", "bc");
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  EXPECT_EQ(encoded->request.context, (std::vector<int32_t>{'x', 256}));
  EXPECT_EQ(encoded->request.continuation, std::vector<int32_t>{'c'});
  const auto swallowed = EncodePair(model, "xa", "b");
  EXPECT_NE(swallowed.status().message().find("no token of its own"),
            std::string::npos)
      << swallowed.status();
  EXPECT_FALSE(EncodePair(model, "x", "").ok());
}

TEST(Encoding, WhatIsTooLongIsCutFromTheLeft) {
  MockLanguageModel model("m", /*max_length=*/6);
  const auto encoded = EncodePair(model, "abcdefgh", "ijk");
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  // 6 inputs: 7 tokens, the last of which is only predicted.
  EXPECT_EQ(model.Decode(encoded->request.context), "efgh");
  EXPECT_EQ(encoded->cut, 4);
  EXPECT_EQ(EncodePair(model, "abc", "defghi")->request.context.size(), 1u);
  const auto over = EncodePair(model, "abc", "defghij");
  EXPECT_NE(over.status().message().find("--max_length=6; give at least 7"),
            std::string::npos)
      << over.status();
  EXPECT_EQ(model.Decode(EncodeContext(model, "abcdefgh", 2)->request.context),
            "efgh");
  EXPECT_NE(
      EncodeContext(model, "a", 6).status().message().find("give more than 6"),
      std::string::npos);
}

TEST(Encoding, RollingWindowsPredictEachTokenOnce) {
  // The example of lm-evaluation-harness' own test, and others.
  for (int64_t n : {0, 1, 3, 4, 5, 8, 11, 13}) {
    for (int64_t length : {1, 2, 4, 10}) {
      std::vector<int32_t> ids;
      for (int64_t i = 0; i < n; ++i) ids.push_back(100 + static_cast<int>(i));
      std::vector<int32_t> predicted;
      for (const Request& w : RollingWindows(ids, 7, length)) {
        ASSERT_FALSE(w.context.empty());
        EXPECT_LE(w.context.size() + w.continuation.size() - 1,
                  static_cast<size_t>(length));
        // What stands before the continuation.
        const int32_t before =
            w.continuation[0] == 100 ? 7 : w.continuation[0] - 1;
        EXPECT_EQ(w.context.back(), before);
        predicted.insert(predicted.end(), w.continuation.begin(),
                         w.continuation.end());
      }
      EXPECT_EQ(predicted, ids);
    }
  }
  std::vector<int32_t> ids = {1, 2, 3, 4, 5, 6};
  const auto windows = RollingWindows(ids, 9, 4);
  ASSERT_EQ(windows.size(), 2u);
  EXPECT_EQ(windows[0].context, (std::vector<int32_t>{9}));
  EXPECT_EQ(windows[1].context, (std::vector<int32_t>{2, 3, 4}));
  EXPECT_EQ(windows[1].continuation, (std::vector<int32_t>{5, 6}));
}

}  // namespace
}  // namespace lt2::evals
