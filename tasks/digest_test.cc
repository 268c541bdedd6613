// Pins the first examples of every task. A failure here means that published
// scores no longer compare: if the change is meant, raise the task's version()
// and write the new digest.

#include "tasks/digest.h"

#include <algorithm>
#include <cstdio>

#include "gtest/gtest.h"
#include "tasks/mqar.h"
#include "tasks/registry.h"
#include "tasks/task.h"

namespace lt2::tasks {
namespace {

using nlohmann::json;

struct Pin {
  json spec;
  int version;
  const char *train, *valid, *test;
};

std::vector<Pin> Pins() {
  return {
      {{{"task", "mqar"}, {"preset", "based_train"}},
       1,
       "977c411aec1ff1c7",
       "0fde9b0c6f33b366",
       "7dff4419bd8e4bac"},
      {{{"task", "mqar"}, {"preset", "based_test"}},
       1,
       "e58de1af42d8a7ad",
       "076b934845aab011",
       "33b2135c4f82d12a"},
      {{{"task", "mqar"}, {"preset", "zoology_64_4"}},
       1,
       "b5d5d34cd29e9a3d",
       "793c06b8cfe22c8d",
       "24164b32cface6d9"},
      {{{"task", "mqar"}, {"preset", "zoology_128_8"}},
       1,
       "e82c47b00e0fd989",
       "16a766cddbf0e6bd",
       "13bfd57dffb3d0dd"},
      {{{"task", "mqar"}, {"preset", "zoology_256_16"}},
       1,
       "ed5d0bc4d1fc5e51",
       "ee97ebde8143ac99",
       "d1ea00264ccc762d"},
      {{{"task", "mqar"}, {"preset", "zoology_512_64"}},
       1,
       "1f878f71c3f428cd",
       "4088a242fef46625",
       "be9f6132e8830d69"},
      {{{"task", "mqar"}},
       1,
       "8f3c04176461dedf",
       "517eeaf98064320c",
       "41930246c0ffa62e"},
      {{{"task", "mqar"}, {"length", 128}, {"pairs", 32}, {"power_a", 1.0}},
       1,
       "9534fb14570f2b8f",
       "a39e20645e739fb9",
       "b9ad2020caabdd76"},
      {{{"task", "word_problem"},
        {"group", "S3"},
        {"min_length", 4},
        {"max_length", 32}},
       1,
       "fd91fe9b6d63488b",
       "9a36f3d8103ec5a9",
       "7bbd4cfacb3e7309"},
      {{{"task", "word_problem"},
        {"group", "S5"},
        {"min_length", 4},
        {"max_length", 32}},
       1,
       "a12845a0864db96b",
       "1ebf37944ad4a88c",
       "6a88e4a71024c5f8"},
      {{{"task", "word_problem"},
        {"group", "A5"},
        {"min_length", 4},
        {"max_length", 32}},
       1,
       "4b734e99859d1c39",
       "ff61bd7e850a8d6b",
       "22c0a0632320d89d"},
      {{{"task", "word_problem"},
        {"group", "Z60"},
        {"min_length", 4},
        {"max_length", 32}},
       1,
       "38b9ffcf0c80eeaf",
       "4ffa3262fad01a3b",
       "6812a51068d696ea"},
      {{{"task", "word_problem"},
        {"group", "A4xZ5"},
        {"min_length", 4},
        {"max_length", 32}},
       1,
       "c3a10d1848970824",
       "08323265ee56e897",
       "81edd1a1fa383b6b"},
      {{{"task", "parity"}},
       1,
       "dba3c72e7dcd739e",
       "f91afa574805f54b",
       "9195b2d040198d3c"},
      {{{"task", "parity"}, {"supervise", "all"}},
       1,
       "a26d49cb3f7ef9a3",
       "d0bff33b497d6760",
       "afb2204c790c5fa9"},
      {{{"task", "modular_arithmetic"}},
       1,
       "b9bf26acd20b08b3",
       "cb0efb3525376ce9",
       "f3e791899697f130"},
      {{{"task", "modular_arithmetic"}, {"brackets", true}},
       1,
       "3a3cf4bc07377e89",
       "aaa7eef3810dfeb6",
       "a33c17c3a4f8a52d"},
      {{{"task", "program"}, {"stage", 1}},
       1,
       "e4c311ca8fa6c26d",
       "764e0a08f9a07188",
       "6367c0d49b03ab7c"},
      {{{"task", "program"}, {"stage", 2}},
       1,
       "b9d0f7f45505840f",
       "27155f1e2b28237c",
       "81c7350781213ee5"},
      {{{"task", "program"}, {"stage", 3}},
       1,
       "75a05e196c1c1004",
       "fe267e7894c11bcf",
       "517d03ccaebac27a"},
      {{{"task", "program"}, {"stage", 4}},
       1,
       "dba314cb22056a60",
       "ce6994eabb3e84e2",
       "11799eefb9f3f3bb"},
      {{{"task", "program"}, {"stage", 5}},
       1,
       "3c57ed76ee68928e",
       "1235a6430e4df0d8",
       "4aa672f8a81c6629"},
      {{{"task", "program"}, {"stage", 6}},
       1,
       "0ddcfcef1677c261",
       "84f5b87d7a304424",
       "889c30ba89586ad3"},
      {{{"task", "program"}, {"stages", {1, 2, 3}}},
       1,
       "0c5df66678ef2473",
       "7583a4b88243c1ae",
       "5eb844f018167ea6"},
      {{{"task", "program"}, {"bits", 32}, {"swaps", 8}, {"encoding", "words"}},
       1,
       "dec26626116e13bf",
       "d0c6efc31ac81b9f",
       "b51ea11c5f8c3b72"},
      {{{"task", "text"},
        {"train_files", {"testdata/text/sample.txt"}},
        {"length", 128}},
       1,
       "b73190868b24157b",
       "20fad269fc12a4da",
       "20fad269fc12a4da"},
      {{{"task", "text"},
        {"tokenizer", "bytes"},
        {"train_files", {"testdata/text/sample.txt"}},
        {"length", 128}},
       1,
       "1faccadf9fcfd413",
       "5916ef2232cff225",
       "5916ef2232cff225"},
  };
}

TEST(Digest, IsPinnedForEveryTaskAndPreset) {
  for (const Pin& pin : Pins()) {
    SCOPED_TRACE(pin.spec.dump());
    const auto task = CreateTask(pin.spec);
    ASSERT_TRUE(task.ok()) << task.status();
    EXPECT_EQ((*task)->version(), pin.version);
    EXPECT_EQ(*Digest(**task, Split::kTrain, 1, 64), pin.train);
    EXPECT_EQ(*Digest(**task, Split::kValid, 1, 64), pin.valid);
    EXPECT_EQ(*Digest(**task, Split::kTest, 1, 64), pin.test);
  }
}

TEST(Digest, NoTaskOrPresetIsForgotten) {
  std::vector<std::string> missing = TaskNames();
  for (const std::string& preset : MqarPresetNames()) missing.push_back(preset);
  for (int stage = 1; stage <= 6; ++stage) {
    missing.push_back("stage " + std::to_string(stage));
  }
  const auto found = [&](const std::string& name) {
    missing.erase(std::remove(missing.begin(), missing.end(), name),
                  missing.end());
  };
  for (const Pin& pin : Pins()) {
    found(pin.spec["task"]);
    if (pin.spec.contains("preset")) found(pin.spec["preset"]);
    if (pin.spec.contains("stage")) found("stage " + pin.spec["stage"].dump());
  }
  EXPECT_TRUE(missing.empty()) << missing[0];
}

// FNV-1a of a known example, computed by hand from the definition.
TEST(Digest, IsFnv1aOfLengthInputsAndTargets) {
  struct One : Task {
    absl::string_view name() const override { return "one"; }
    int version() const override { return 1; }
    int64_t vocab_size() const override { return 3; }
    int64_t max_length(Split) const override { return 1; }
    int64_t num_examples(Split) const override { return 1; }
    double chance() const override { return 0; }
    json spec() const override { return {}; }
    absl::Status Generate(Split, uint64_t, int64_t,
                          Example* example) const override {
      example->inputs = {258};
      example->targets = {kIgnore};
      return absl::OkStatus();
    }
  } task;
  uint64_t hash = 14695981039346656037u;
  for (uint64_t byte : {1, 0, 0, 0, 2, 1, 0, 0, 156, 255, 255, 255}) {
    hash = (hash ^ byte) * 1099511628211u;
  }
  char expected[17];
  std::snprintf(expected, sizeof(expected), "%016lx", hash);
  EXPECT_EQ(*Digest(task, Split::kTrain, 1, 5), expected);
}

}  // namespace
}  // namespace lt2::tasks
