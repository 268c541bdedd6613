// The places of a program worked out by hand, and a shipped model.

#include "evals/probes/places.h"

#include <numeric>

#include "evals/probes/models.h"
#include "evals/probes/program_places.h"
#include "evals/scoring/task_score.h"
#include "gtest/gtest.h"

namespace lt2::evals {
namespace {

// The worked example of tasks/program.h:
//   BITS 1 1 0 1 0 0 1 1 VARS a #3 b #6 c #1 d #7 e #4 a e ? a c ?
const std::vector<int32_t> kProgram = {4,  2,  2,  1,  2,  1, 1,  2, 2,
                                       5,  6,  14, 7,  17, 8, 12, 9, 18,
                                       10, 15, 6,  10, 3,  6, 8,  3};

TEST(PlacesOf, WorkedExample) {
  const auto places = PlacesOf(kProgram, 5);
  ASSERT_TRUE(places.ok()) << places.status();
  ASSERT_EQ(places->questions.size(), 2u);
  EXPECT_EQ(places->questions[0].at, 22);
  EXPECT_EQ(places->questions[0].place, 4);
  EXPECT_EQ(places->questions[1].at, 25);
  EXPECT_EQ(places->questions[1].place, 1);
  ASSERT_EQ(places->numbers.size(), 5u);
  EXPECT_EQ(places->numbers[1].at, 13);
  EXPECT_EQ(places->numbers[1].place, 6);
}

TEST(PlacesOf, TheBitThereIsTheTarget) {
  for (const int64_t bits : {8, 64, 256}) {
    const auto task = tasks::CreateTask(
        {{"task", "program"}, {"bits", bits}, {"swaps", 20}}, {});
    ASSERT_TRUE(task.ok());
    for (int64_t i = 0; i < 50; ++i) {
      tasks::Example program;
      ASSERT_TRUE((*task)->Generate(tasks::Split::kTest, 0, i, &program).ok());
      const auto places = PlacesOf(program.inputs, 5);
      ASSERT_TRUE(places.ok());
      ASSERT_EQ(places->questions.size(), 20u);
      for (const PlaceToken& question : places->questions) {
        EXPECT_EQ(program.targets[question.at],
                  program.inputs[1 + question.place]);
      }
    }
  }
}

TEST(PlacesOf, RefusesWhatIsNoProgram) {
  EXPECT_FALSE(PlacesOf({}, 5).ok());
  EXPECT_FALSE(PlacesOf({1, 2, 3}, 5).ok());
  EXPECT_FALSE(PlacesOf({4, 1, 5, 6, 12}, 5).ok());
  std::vector<int32_t> program = kProgram;
  program[20] = 30;  // a swap of no variable
  EXPECT_FALSE(PlacesOf(program, 5).ok());
}

ProbeOptions Options(const std::string& model) {
  ProbeOptions options;
  options.repository = ".";
  options.checkpoints = "testdata/checkpoints";
  options.models = {model};
  options.examples = 32;
  return options;
}

TEST(PlacesProbe, AgreesWithTheScoreAndFindsWhatWasLearned) {
  const ProbeOptions options = Options("program/gdn-neg-T1");
  const auto report = PlacesProbe(options);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->rows.size(), 5u);
  for (const nlohmann::json& row : report->rows) {
    const std::vector<int64_t> asked = row["asked"];
    EXPECT_EQ(static_cast<int64_t>(asked.size()), row["bits"]);
    EXPECT_EQ(std::accumulate(asked.begin(), asked.end(), int64_t{0}), 32 * 8);
  }
  // The same examples, scored without regard to places.
  const auto models = FindModels(options);
  ASSERT_TRUE(models.ok());
  const auto loaded = Load((*models)[0], Device::kCPU, false);
  ASSERT_TRUE(loaded.ok());
  const auto task =
      tasks::CreateTask({{"task", "program"}, {"bits", 128}, {"swaps", 8}}, {});
  std::vector<int64_t> indices(32);
  std::iota(indices.begin(), indices.end(), 0);
  const auto items = ScoreTask(*loaded->model, **task, indices, {});
  ASSERT_TRUE(items.ok());
  EXPECT_EQ(report->rows[3]["accuracy"].get<double>(),
            Total(*items).accuracy());
  // Of 128 places this model reads the first ones and guesses at the others.
  const auto share = [&](int64_t first, int64_t last) {
    double asked = 0, correct = 0;
    for (int64_t i = first; i < last; ++i) {
      asked += report->rows[3]["asked"][i].get<double>();
      correct += report->rows[3]["correct"][i].get<double>();
    }
    return correct / asked;
  };
  EXPECT_GT(share(0, 16), 0.9);
  EXPECT_LT(share(32, 128), 0.75);
}

// What full-T4 learned last is n = 32: its attention goes from a number to its
// bit there, and with no other n.
TEST(PlacesProbe, AttentionFindsBitsOfTheTrainedLength) {
  const auto report = PlacesProbe(Options("program/full-T4"));
  ASSERT_TRUE(report.ok()) << report.status();
  const auto row = [&](int i) { return report->rows[i]; };
  EXPECT_GT(row(1)["accuracy"].get<double>(), 0.98);
  EXPECT_GT(row(1)["attention_from_number"].get<double>(), 0.5);
  EXPECT_LT(row(2)["attention_from_number"].get<double>(), 0.3);
  // With the neighbours it is more, and little more where the bit is found.
  for (int i = 0; i < 5; ++i) {
    EXPECT_GT(row(i)["attention_near_number"].get<double>(),
              row(i)["attention_from_number"].get<double>());
  }
  EXPECT_LT(row(1)["attention_near_number"].get<double>(),
            row(1)["attention_from_number"].get<double>() + 0.15);
}

TEST(PlacesProbe, OtherFamiliesHaveNoPlaces) {
  const auto report = PlacesProbe(Options("mqar/gdn-T1"));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->rows.empty());
}

}  // namespace
}  // namespace lt2::evals
