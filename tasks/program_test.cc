#include "tasks/program.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "tasks/task.h"

namespace lt2::tasks {
namespace {

using nlohmann::json;

std::unique_ptr<Task> Make(const json& spec) {
  absl::StatusOr<std::unique_ptr<Task>> task = CreateTask(spec);
  EXPECT_TRUE(task.ok()) << task.status();
  return task.ok() ? *std::move(task) : nullptr;
}

Example Get(const Task& task, int64_t index) {
  Example example;
  EXPECT_TRUE(task.Generate(Split::kTrain, 1, index, &example).ok());
  return example;
}

std::vector<int> Answers(const Example& e) {
  std::vector<int> answers;
  for (size_t t = 0; t < e.targets.size(); ++t) {
    EXPECT_EQ(e.targets[t] != kIgnore, e.inputs[t] == 3);  // 3 is `?`.
    if (e.targets[t] != kIgnore) answers.push_back(e.targets[t] - 1);
  }
  return answers;
}

// What a program says, read back from its text by an interpreter of its own.
struct Parsed {
  std::vector<int> bits;
  std::vector<std::vector<int>> placed;  // [rounds][5]
  std::vector<std::string> swaps;        // "xy"
  std::vector<int> assigned;             // places, in order
  std::vector<int> answers;
};

Parsed RunWords(const std::string& text) {
  Parsed run;
  std::vector<int> place;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words[0] == "bits") {
      for (const std::string& word : words) {
        if (word == "0" || word == "1") run.bits.push_back(word == "1");
      }
    } else if (words[0] == "assert") {
      EXPECT_EQ(line, "assert bits [ a ] == ?");
      run.answers.push_back(run.bits[place[0]]);
    } else if (words.size() == 19) {  // a , b , c , d , e = 1 , 2 , 3 , 4 , 5
      EXPECT_EQ(line.substr(0, 19), "a , b , c , d , e =");
      place.clear();
      for (int v = 0; v < 5; ++v) {
        int number = -1;
        EXPECT_TRUE(absl::SimpleAtoi(words[10 + 2 * v], &number));
        place.push_back(number);
      }
      run.placed.push_back(place);
    } else if (words.size() == 7) {  // x , y = y , x
      EXPECT_EQ(words[0], words[6]);
      EXPECT_EQ(words[2], words[4]);
      EXPECT_NE(words[0], words[2]);
      std::swap(place[words[0][0] - 'a'], place[words[2][0] - 'a']);
      run.swaps.push_back(words[0] + words[2]);
    } else if (words.size() == 3) {  // a = 1
      EXPECT_EQ(line.substr(0, 4), "a = ");
      EXPECT_TRUE(absl::SimpleAtoi(words[2], &place[0]));
      run.assigned.push_back(place[0]);
    } else {
      EXPECT_EQ(line, "");
    }
  }
  return run;
}

Parsed RunMerged(const std::string& text) {
  Parsed run;
  std::vector<std::string> words = absl::StrSplit(text, ' ');
  size_t at = 0;
  EXPECT_EQ(words[at++], "BITS");
  while (words[at] != "VARS") run.bits.push_back(words[at++] == "1");
  std::vector<int> place;
  while (at < words.size()) {
    if (words[at] == "VARS") {
      ++at;
      place.clear();
      for (int v = 0; v < 5; ++v) {
        EXPECT_EQ(words[at++], std::string(1, static_cast<char>('a' + v)));
        place.push_back(std::atoi(words[at++].c_str() + 1));
      }
      run.placed.push_back(place);
      continue;
    }
    const char x = words[at++][0], y = words[at++][0];
    if (y == '#') {
      EXPECT_EQ(x, 'a');
      place[0] = std::atoi(words[at - 1].c_str() + 1);
      run.assigned.push_back(place[0]);
    } else {
      std::swap(place[x - 'a'], place[y - 'a']);
      run.swaps.push_back({x, y});
    }
    EXPECT_EQ(words[at++], "?");
    run.answers.push_back(run.bits[place[0]]);
  }
  return run;
}

TEST(Program, WorkedExampleOfTheHeader) {
  const json spec = {{"task", "program"}, {"bits", 8}, {"swaps", 2}};
  json words_spec = spec;
  words_spec["encoding"] = "words";
  const Example words = Get(*Make(words_spec), 18);
  EXPECT_EQ(ProgramText(words.inputs, true, 5),
            "bits = [ 1 , 1 , 0 , 1 , 0 , 0 , 1 , 1 ]\n"
            "a , b , c , d , e = 3 , 6 , 1 , 7 , 4\n"
            "a , e = e , a\n"
            "assert bits [ a ] == ?\n"
            "a , c = c , a\n"
            "assert bits [ a ] == ?\n");
  const Example merged = Get(*Make(spec), 18);
  EXPECT_EQ(ProgramText(merged.inputs, false, 5),
            "BITS 1 1 0 1 0 0 1 1 VARS a #3 b #6 c #1 d #7 e #4 a e ? a c ?");
  EXPECT_EQ(Answers(words), (std::vector<int>{0, 1}));
  EXPECT_EQ(Answers(merged), (std::vector<int>{0, 1}));
  EXPECT_EQ(merged.inputs, (std::vector<int32_t>{
                               4,  2, 2,  1, 2,  1,  1,  2, 2,  5, 6, 14, 7,
                               17, 8, 12, 9, 18, 10, 15, 6, 10, 3, 6, 8,  3}));
}

TEST(Program, BothEncodingsSayTheSameProgramAndItsAnswers) {
  for (int stage = 1; stage <= kProgramStages; ++stage) {
    const auto merged = Make({{"task", "program"}, {"stage", stage}});
    const auto words =
        Make({{"task", "program"}, {"stage", stage}, {"encoding", "words"}});
    const int64_t n = int64_t{8} << (stage - 1);
    EXPECT_EQ(merged->max_length(Split::kTrain), n + 12 + 3 * n);
    EXPECT_EQ(words->max_length(Split::kTrain), 2 * n + 24 + 16 * n);
    for (int64_t i = 0; i < 20; ++i) {
      const Example a = Get(*merged, i), b = Get(*words, i);
      EXPECT_EQ(static_cast<int64_t>(a.inputs.size()),
                merged->max_length(Split::kTrain));
      EXPECT_EQ(static_cast<int64_t>(b.inputs.size()),
                words->max_length(Split::kTrain));
      const Parsed x = RunMerged(ProgramText(a.inputs, false, 5));
      const Parsed y = RunWords(ProgramText(b.inputs, true, 5));
      EXPECT_EQ(static_cast<int64_t>(x.bits.size()), n);
      EXPECT_EQ(static_cast<int64_t>(x.answers.size()), n);
      EXPECT_EQ(x.bits, y.bits);
      EXPECT_EQ(x.placed[0], y.placed[0]);
      EXPECT_EQ(x.swaps, y.swaps);
      EXPECT_EQ(x.answers, Answers(a));
      EXPECT_EQ(y.answers, Answers(b));
      const std::set<int> places(x.placed[0].begin(), x.placed[0].end());
      EXPECT_EQ(places.size(), 5u);
      EXPECT_LT(*places.rbegin(), n);
    }
  }
}

// Digits of a base say the same program, most significant first.
TEST(Program, NumbersInDigits) {
  json spec = {{"task", "program"}, {"bits", 8}, {"swaps", 2}, {"base", 2}};
  spec["numbers"] = 8;
  const Example binary = Get(*Make(spec), 18);
  EXPECT_EQ(ProgramText(binary.inputs, false, 5),
            "BITS 1 1 0 1 0 0 1 1 VARS a #0 #1 #1 b #1 #1 #0 c #0 #0 #1 "
            "d #1 #1 #1 e #1 #0 #0 a e ? a c ?");
  EXPECT_EQ(Answers(binary), (std::vector<int>{0, 1}));
  spec["encoding"] = "words";
  EXPECT_EQ(ProgramText(Get(*Make(spec), 18).inputs, true, 5),
            "bits = [ 1 , 1 , 0 , 1 , 0 , 0 , 1 , 1 ]\n"
            "a , b , c , d , e = 0 1 1 , 1 1 0 , 0 0 1 , 1 1 1 , 1 0 0\n"
            "a , e = e , a\n"
            "assert bits [ a ] == ?\n"
            "a , c = c , a\n"
            "assert bits [ a ] == ?\n");

  const auto whole = Make({{"task", "program"}, {"bits", 256}, {"swaps", 8}});
  for (const auto& [base, digits] :
       std::map<int, int>{{2, 8}, {3, 6}, {10, 3}, {16, 2}, {255, 2}}) {
    const auto task = Make(
        {{"task", "program"}, {"bits", 256}, {"swaps", 8}, {"base", base}});
    EXPECT_EQ(task->vocab_size(), 6 + 5 + base);
    EXPECT_EQ(task->max_length(Split::kTrain),
              whole->max_length(Split::kTrain) + 5 * (digits - 1));
    EXPECT_EQ(task->spec()["base"], base);
    for (int64_t i = 0; i < 20; ++i) {
      const Example a = Get(*whole, i), b = Get(*task, i);
      ASSERT_EQ(static_cast<int64_t>(b.inputs.size()),
                task->max_length(Split::kTrain));
      EXPECT_EQ(Answers(a), Answers(b));
      // The numbers of `a` are those that the digits of `b` make.
      size_t x = 1 + 256 + 1, y = x;  // after BITS, the bits and VARS
      for (int v = 0; v < 5; ++v) {
        EXPECT_EQ(a.inputs[x], b.inputs[y]);
        int number = 0;
        for (int d = 1; d <= digits; ++d) {
          number = base * number + b.inputs[y + d] - 11;
        }
        EXPECT_EQ(number, a.inputs[x + 1] - 11);
        x += 2;
        y += 1 + digits;
      }
      EXPECT_TRUE(std::equal(a.inputs.begin() + x, a.inputs.end(),
                             b.inputs.begin() + y, b.inputs.end()));
    }
  }
  // A base that no number exceeds: as if there were none.
  const auto one =
      Make({{"task", "program"}, {"bits", 256}, {"swaps", 8}, {"base", 256}});
  EXPECT_EQ(Get(*whole, 3).inputs, Get(*one, 3).inputs);
  EXPECT_FALSE(
      CreateTask({{"task", "program"}, {"stage", 1}, {"base", 1}}).ok());
}

TEST(Program, VocabularyIsTheSameInEveryStage) {
  const int64_t vocab = Make({{"task", "program"}, {"stage", 1}})->vocab_size();
  EXPECT_EQ(vocab, 6 + 5 + 256);
  for (int stage = 2; stage <= kProgramStages; ++stage) {
    EXPECT_EQ(Make({{"task", "program"}, {"stage", stage}})->vocab_size(),
              vocab);
  }
  EXPECT_EQ(Make({{"task", "program"}, {"stages", {1, 6}}})->vocab_size(),
            vocab);
}

TEST(Program, BitsPlacesAndSwapsAreUniform) {
  const auto task = Make({{"task", "program"}, {"stage", 1}});
  std::vector<double> ones(8), place(8);
  std::map<std::string, double> swaps;
  constexpr double kExamples = 8000;
  for (int64_t i = 0; i < kExamples; ++i) {
    const Parsed run = RunMerged(ProgramText(Get(*task, i).inputs, false, 5));
    for (int b = 0; b < 8; ++b) ones[b] += run.bits[b];
    ++place[run.placed[0][3]];
    ++swaps[run.swaps[2]];
  }
  for (int b = 0; b < 8; ++b) {
    EXPECT_NEAR(ones[b], kExamples / 2, 5 * std::sqrt(kExamples / 4));
    EXPECT_NEAR(place[b], kExamples / 8, 5 * std::sqrt(kExamples / 8));
  }
  EXPECT_EQ(swaps.size(), 20u);
  for (const auto& [swap, count] : swaps) {
    EXPECT_NEAR(count, kExamples / 20, 5 * std::sqrt(kExamples / 20)) << swap;
  }
}

// What a model can reach without tracking; the derivation is in README.md.
TEST(Program, FloorsAreTheDerivedOnes) {
  for (int stage : {1, 2, 3}) {
    const auto task = Make({{"task", "program"}, {"stage", stage}});
    double scored = 0, never_moves = 0, majority = 0, one = 0;
    for (int64_t i = 0; i < 4000; ++i) {
      const Parsed run = RunMerged(ProgramText(Get(*task, i).inputs, false, 5));
      int pointed = 0;
      for (int place : run.placed[0]) pointed += run.bits[place];
      for (int answer : run.answers) {
        ++scored;
        one += answer;
        never_moves += answer == run.bits[run.placed[0][0]];
        majority += answer == (pointed >= 3);
      }
    }
    const int n = 8 << (stage - 1);
    double mean = 0;
    for (int i = 1; i <= n; ++i) mean += std::pow(0.5, i) / n;
    // Examples, not questions, are independent.
    EXPECT_NEAR(one / scored, 0.5, 4 * 0.5 / std::sqrt(4000.0));
    EXPECT_NEAR(never_moves / scored, 0.6 + 0.4 * mean,
                4 * 0.4 / std::sqrt(4000.0));
    EXPECT_NEAR(majority / scored, 0.6875, 4 * 0.4 / std::sqrt(4000.0));
  }
}

TEST(Program, StagesMixWithEqualProbability) {
  const auto task = Make({{"task", "program"}, {"stages", {1, 3}}});
  EXPECT_EQ(task->group_names(),
            (std::vector<std::string>{"stage 1", "stage 3"}));
  EXPECT_EQ(task->max_length(Split::kTrain), 32 + 12 + 96);
  double count[2] = {};
  for (int64_t i = 0; i < 4000; ++i) {
    const Example e = Get(*task, i);
    ASSERT_EQ(e.inputs.size(), e.groups[0] == 0 ? 44u : 140u);
    ++count[e.groups[0]];
  }
  EXPECT_NEAR(count[0], 2000, 5 * std::sqrt(1000.0));
}

// With min_bits every length from it to bits is as likely.
TEST(Program, LengthsCanBeUniform) {
  const auto task =
      Make({{"task", "program"}, {"bits", 12}, {"min_bits", 8}, {"swaps", 3}});
  EXPECT_EQ(task->max_length(Split::kTrain), 12 + 12 + 9);
  EXPECT_EQ(task->spec()["min_bits"], 8);
  std::map<size_t, double> lengths;
  constexpr double kExamples = 5000;
  for (int64_t i = 0; i < kExamples; ++i) {
    const Example e = Get(*task, i);
    const Parsed run = RunMerged(ProgramText(e.inputs, false, 5));
    ++lengths[run.bits.size()];
    EXPECT_EQ(run.answers, Answers(e));
    for (const int place : run.placed[0]) {
      EXPECT_LT(place, static_cast<int>(run.bits.size()));
    }
  }
  EXPECT_EQ(lengths.size(), 5u);
  for (const auto& [bits, count] : lengths) {
    EXPECT_GE(bits, 8u);
    EXPECT_NEAR(count, kExamples / 5, 5 * std::sqrt(kExamples / 5)) << bits;
  }
  const auto error = [](const json& spec) {
    return std::string(CreateTask(spec).status().message());
  };
  EXPECT_NE(error({{"task", "program"}, {"bits", 12}, {"min_bits", 4}})
                .find("min_bits: bits (4) must be >= variables (5)"),
            std::string::npos);
  EXPECT_FALSE(
      CreateTask({{"task", "program"}, {"bits", 12}, {"min_bits", 13}}).ok());
  EXPECT_FALSE(
      CreateTask({{"task", "program"}, {"stage", 1}, {"min_bits", 8}}).ok());
}

// With assigns: k the swaps come after k statements that point `a` to a uniform
// place.
TEST(Program, AssignmentsComeBeforeSwaps) {
  const json spec = {
      {"task", "program"}, {"bits", 8}, {"swaps", 4}, {"assigns", 20}};
  json words_spec = spec;
  words_spec["encoding"] = "words";
  const auto merged = Make(spec), words = Make(words_spec);
  EXPECT_EQ(merged->spec()["assigns"], 20);
  std::vector<double> places(8);
  constexpr double kExamples = 500;
  for (int64_t i = 0; i < kExamples; ++i) {
    const Example a = Get(*merged, i), b = Get(*words, i);
    const Parsed x = RunMerged(ProgramText(a.inputs, false, 5));
    const Parsed y = RunWords(ProgramText(b.inputs, true, 5));
    EXPECT_EQ(x.assigned.size(), 20u);
    EXPECT_EQ(x.swaps.size(), 4u);
    EXPECT_EQ(x.swaps, y.swaps);
    EXPECT_EQ(x.assigned, y.assigned);
    EXPECT_EQ(x.answers, Answers(a));
    EXPECT_EQ(y.answers, Answers(b));
    for (int j = 0; j < 20; ++j) {
      EXPECT_EQ(x.answers[j], x.bits[x.assigned[j]]);
      ++places[x.assigned[j]];
    }
    EXPECT_EQ(a.inputs.size(), 8u + 12 + 3 * (20 + 4));
    EXPECT_EQ(b.inputs.size(), 2u * 8 + 24 + 12 * 20 + 16 * 4);
    EXPECT_EQ(a.inputs.size(), merged->max_length(Split::kTrain));
    EXPECT_EQ(b.inputs.size(), words->max_length(Split::kTrain));
  }
  const double expected = kExamples * 20 / 8;
  for (const double count : places) {
    EXPECT_NEAR(count, expected, 5 * std::sqrt(expected));
  }

  for (const char* encoding : {"merged", "words"}) {
    const auto binary = Make({{"task", "program"},
                              {"bits", 8},
                              {"swaps", 3},
                              {"assigns", 2},
                              {"base", 2},
                              {"encoding", encoding}});
    EXPECT_EQ(static_cast<int64_t>(Get(*binary, 0).inputs.size()),
              binary->max_length(Split::kTrain));
    EXPECT_EQ(Answers(Get(*binary, 0)).size(), 5u);
  }
  // None: the paper's programs, and the spec they had.
  json none = spec;
  none["assigns"] = 0;
  EXPECT_FALSE(Make(none)->spec().contains("assigns"));
  EXPECT_EQ(Make(none)->max_length(Split::kTrain), 8 + 12 + 3 * 4);
  EXPECT_FALSE(
      CreateTask({{"task", "program"}, {"stage", 1}, {"assigns", -1}}).ok());
}

// With rounds: r the variables are placed r times, each time with swaps.
TEST(Program, RoundsPlaceTheVariablesAnew) {
  const json spec = {
      {"task", "program"}, {"bits", 9}, {"swaps", 2}, {"rounds", 4}};
  json words_spec = spec, assigning = spec;
  words_spec["encoding"] = "words";
  assigning["assigns"] = 3;
  const auto merged = Make(spec), words = Make(words_spec);
  EXPECT_EQ(merged->spec()["rounds"], 4);
  std::vector<double> places(9);
  constexpr double kExamples = 500;
  for (int64_t i = 0; i < kExamples; ++i) {
    const Example a = Get(*merged, i), b = Get(*words, i);
    const Parsed x = RunMerged(ProgramText(a.inputs, false, 5));
    const Parsed y = RunWords(ProgramText(b.inputs, true, 5));
    ASSERT_EQ(x.placed.size(), 4u);
    EXPECT_EQ(x.placed, y.placed);
    EXPECT_EQ(x.swaps, y.swaps);
    EXPECT_EQ(x.answers, Answers(a));
    EXPECT_EQ(y.answers, Answers(b));
    EXPECT_EQ(x.answers.size(), 8u);
    for (const std::vector<int>& round : x.placed) {
      EXPECT_EQ(std::set<int>(round.begin(), round.end()).size(), 5u);
      for (const int place : round) ++places[place];
    }
    EXPECT_EQ(a.inputs.size(), 9u + 1 + 4 * (11 + 3 * 2));
    EXPECT_EQ(a.inputs.size(), merged->max_length(Split::kTrain));
    EXPECT_EQ(b.inputs.size(), words->max_length(Split::kTrain));
  }
  const double expected = kExamples * 4 * 5 / 9;
  for (const double count : places) {
    EXPECT_NEAR(count, expected, 5 * std::sqrt(expected));
  }
  const auto both = Make(assigning);
  const Example e = Get(*both, 0);
  EXPECT_EQ(RunMerged(ProgramText(e.inputs, false, 5)).assigned.size(), 12u);
  EXPECT_EQ(Answers(e).size(), 4u * (3 + 2));
  EXPECT_EQ(static_cast<int64_t>(e.inputs.size()),
            both->max_length(Split::kTrain));
  // One round is the paper's program, and says nothing of rounds.
  json one = spec;
  one["rounds"] = 1;
  EXPECT_FALSE(Make(one)->spec().contains("rounds"));
  EXPECT_EQ(
      RunMerged(ProgramText(Get(*Make(one), 0).inputs, false, 5)).placed,
      (std::vector<std::vector<int>>{
          RunMerged(ProgramText(Get(*merged, 0).inputs, false, 5)).placed[0]}));
  one["rounds"] = 0;
  EXPECT_FALSE(CreateTask(one).ok());
}

TEST(Program, OtherNumbersOfVariablesWork) {
  const auto task =
      Make({{"task", "program"}, {"bits", 2}, {"swaps", 3}, {"variables", 2}});
  const Example e = Get(*task, 0);
  EXPECT_EQ(e.inputs.size(), 2u + 6 + 9);
  // With two variables every swap exchanges them, so the answers alternate.
  const std::vector<int> answers = Answers(e);
  EXPECT_EQ(answers[0], answers[2]);
}

}  // namespace
}  // namespace lt2::tasks
