// What holds for all 13 tasks.

#include "tasks/ruler/ruler.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernels/core/hash.h"
#include "tasks/ruler/ruler_testing.h"

namespace lt2::tasks {
namespace {

using nlohmann::json;

// ---- All tasks --------------------------------------------------------------

TEST(Ruler, HasThe13Tasks) { EXPECT_EQ(RulerTaskNames().size(), 13u); }

TEST(Ruler, ASolverThatReadsThePromptFindsTheAnswers) {
  for (const std::string& name : RulerTaskNames()) {
    for (int64_t length : {3000, 16384}) {
      if (length == 3000 && (name == "cwe" || name == "fwe")) length = 3900;
      SCOPED_TRACE(absl::StrCat(name, " ", length));
      const auto task = MakeRuler(SpecOf(name, length));
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
      const auto task = MakeRuler(SpecOf(name, length));
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
    const auto task = MakeRuler(SpecOf(name, 2000));
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
    const auto a = MakeRuler(SpecOf(name, 9000)),
               b = MakeRuler(SpecOf(name, 9000));
    const auto fifth = a->Sample(5), third = a->Sample(3);
    ASSERT_TRUE(fifth.ok() && third.ok());
    EXPECT_EQ(b->Sample(5)->prompt, fifth->prompt);
    EXPECT_EQ(a->Sample(5)->prompt, fifth->prompt);
    EXPECT_NE(third->prompt, fifth->prompt);
    json spec = SpecOf(name, 9000);
    spec["seed"] = 43;
    EXPECT_NE(MakeRuler(spec)->Sample(5)->prompt, fifth->prompt);
    // The canonical spec makes the same task.
    EXPECT_EQ(MakeRuler(a->spec())->spec(), a->spec());
    EXPECT_EQ(MakeRuler(a->spec())->Sample(5)->prompt, fifth->prompt);
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
    const auto task = MakeRuler(SpecOf(name));
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

}  // namespace
}  // namespace lt2::tasks
