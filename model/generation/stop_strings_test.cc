#include "model/generation/stop_strings.h"

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "kernels/core/philox.h"

namespace lt2::model {
namespace {

// What comes out of pieces; `held` is the most that was kept back.
std::string Feed(const std::vector<std::string>& stops,
                 const std::vector<std::string>& pieces,
                 size_t* held = nullptr) {
  StopStrings finder(stops);
  std::string shown, given;
  for (const std::string& piece : pieces) {
    shown += finder.Add(piece);
    given += piece;
    if (finder.stopped()) break;
    if (held != nullptr) *held = std::max(*held, given.size() - shown.size());
  }
  return shown + finder.Finish();
}

TEST(StopStrings, AreFoundAcrossPieces) {
  EXPECT_EQ(Feed({"END"}, {"one E", "N", "D two"}), "one ");
  EXPECT_EQ(Feed({"END"}, {"one E", "N", "E", "ND"}), "one EN");
  EXPECT_EQ(Feed({"END"}, {"one E", "N"}), "one EN");
  EXPECT_EQ(Feed({"\n\n", "User:"}, {"a\n", "Us", "er", ": x"}), "a\n");
  EXPECT_EQ(Feed({"END"}, {"END"}), "");
  EXPECT_EQ(Feed({}, {"a", "b"}), "ab");
  EXPECT_EQ(Feed({""}, {"a", "b"}), "ab");
}

TEST(StopStrings, KeepBackOnlyWhatCouldBecomeOne) {
  StopStrings finder({"abc", "bcd"});
  EXPECT_EQ(finder.Add("xya"), "xy");
  EXPECT_EQ(finder.Add("b"), "");
  EXPECT_EQ(finder.Add("x"), "abx");
  EXPECT_EQ(finder.Add("ab"), "");
  EXPECT_FALSE(finder.stopped());
  EXPECT_EQ(finder.Add("c"), "");
  EXPECT_TRUE(finder.stopped());
  EXPECT_EQ(finder.matched(), "abc");
  EXPECT_EQ(finder.Add("more"), "");
  EXPECT_EQ(finder.Finish(), "");
}

// The definition: the first byte at which a stop string is complete, and the
// longest that is.
std::string Definition(const std::vector<std::string>& stops,
                       const std::string& text) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (absl::EndsWith(text.substr(0, end), stop)) {
        longest = std::max(longest, stop.size());
      }
    }
    if (longest > 0) return text.substr(0, end - longest);
  }
  return text;
}

TEST(StopStrings, HoweverTheTextIsCutTheResultIsTheDefinitions) {
  Philox rng(1, 0);
  auto random_text = [&](int64_t length) {
    std::string text;
    while (static_cast<int64_t>(text.size()) < length) {
      text += rng.Below(2) == 0 ? 'a' : 'b';
    }
    return text;
  };
  int found = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops;
    const int64_t n = 1 + rng.Below(3);
    size_t longest = 0;
    for (int64_t i = 0; i < n; ++i) {
      stops.push_back(random_text(1 + rng.Below(6)));
      longest = std::max(longest, stops.back().size());
    }
    const std::string text = random_text(rng.Below(16));
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t size = 1 + rng.Below(4);
      pieces.push_back(text.substr(at, size));
      at += size;
    }
    size_t held = 0;
    const std::string expected = Definition(stops, text);
    EXPECT_EQ(Feed(stops, pieces, &held), expected) << text;
    EXPECT_LT(held, longest);
    found += expected != text;
  }
  EXPECT_GT(found, 500);
}

}  // namespace
}  // namespace lt2::model
