#include "evals/scoring/text_score.h"

#include <cmath>

#include "gtest/gtest.h"

namespace lt2::evals {
namespace {

// Three documents: two windows of 10 and 5 bytes, one of 20, one of 0.
struct Books : tasks::Task {
  absl::string_view name() const override { return "books"; }
  int version() const override { return 1; }
  int64_t vocab_size() const override { return 3; }
  int64_t max_length(tasks::Split) const override { return 4; }
  double chance() const override { return 0; }
  nlohmann::json spec() const override { return {}; }
  absl::Status Generate(tasks::Split, uint64_t, int64_t,
                        tasks::Example*) const override {
    return absl::UnimplementedError("");
  }
  tasks::Passage passage(tasks::Split split, int64_t index) const override {
    if (split == tasks::Split::kTrain) return {};
    const tasks::Passage all[] = {{0, 10}, {0, 5}, {1, 20}, {2, 30}};
    return all[index];
  }
};

ItemScore Item(int64_t index, int64_t tokens, double bits) {
  ItemScore item;
  item.index = index;
  item.scored = tokens;
  item.nll = bits * std::log(2.0);
  return item;
}

TEST(ScoreText, IsTheSumOfBitsOverTheSumOfBytes) {
  const std::vector<ItemScore> items = {Item(0, 4, 8), Item(1, 2, 7),
                                        Item(2, 4, 40), Item(3, 4, 75)};
  const auto score = ScoreText(Books(), tasks::Split::kValid, items);
  ASSERT_TRUE(score.ok()) << score.status();
  ASSERT_TRUE(score->has_value());
  const TextScore& s = **score;
  EXPECT_NEAR(s.bits_per_byte.estimate, 130.0 / 65, 1e-12);
  EXPECT_EQ(s.bytes, (std::vector<double>{15, 20, 30}));
  EXPECT_NEAR(s.nats[0], 15 * std::log(2.0), 1e-12);
  EXPECT_EQ(s.tokens, 14);
  // Documents have 1, 2 and 2.5 bits per byte: the interval is between.
  EXPECT_NEAR(s.bits_per_byte.low, 1, 0.35);
  EXPECT_NEAR(s.bits_per_byte.high, 2.5, 0.05);
  const nlohmann::json json = s.ToJson();
  EXPECT_EQ(json["bytes"], 65);
  EXPECT_EQ(json["documents"], 3);
  EXPECT_EQ(json["bits_per_byte_interval"][1], s.bits_per_byte.high);
}

TEST(ScoreText, OneDocumentHasNoInterval) {
  const std::vector<ItemScore> items = {Item(0, 4, 8), Item(1, 2, 7)};
  const auto score = ScoreText(Books(), tasks::Split::kTest, items);
  ASSERT_TRUE(score.ok() && score->has_value());
  EXPECT_NEAR((*score)->bits_per_byte.estimate, 1, 1e-12);
  EXPECT_EQ((*score)->ToJson().count("bits_per_byte_interval"), 0u);
}

TEST(ScoreText, HasNoValueWithoutPassages) {
  const std::vector<ItemScore> items = {Item(0, 4, 8)};
  const auto train = ScoreText(Books(), tasks::Split::kTrain, items);
  ASSERT_TRUE(train.ok());
  EXPECT_FALSE(train->has_value());
  const auto none = ScoreText(Books(), tasks::Split::kValid, {});
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->has_value());
}

}  // namespace
}  // namespace lt2::evals
