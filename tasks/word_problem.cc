#include "tasks/word_problem.h"

#include <utility>

#include "kernels/core/json/json_reader.h"
#include "kernels/core/status.h"
#include "tasks/group.h"
#include "tasks/sample_rng.h"

namespace lt2::tasks {
namespace {

constexpr int64_t kMaxLength = 1 << 20;

struct Range {
  int64_t min, max;
};

class WordProblem : public Task {
 public:
  WordProblem(Group group, Range train, Range test)
      : group_(std::move(group)), train_(train), test_(test) {}

  absl::string_view name() const override { return "word_problem"; }
  int version() const override { return 1; }
  int64_t vocab_size() const override { return group_.order(); }
  int64_t max_length(Split split) const override { return Lengths(split).max; }
  double chance() const override {
    return 1.0 / static_cast<double>(group_.order());
  }

  nlohmann::json spec() const override {
    return {{"task", "word_problem"},       {"group", group_.name()},
            {"min_length", train_.min},     {"max_length", train_.max},
            {"test_min_length", test_.min}, {"test_max_length", test_.max}};
  }

  absl::Status Generate(Split split, uint64_t seed, int64_t index,
                        Example* example) const override {
    LT2_RETURN_IF_ERROR(CheckIndex(index));
    Philox rng = SampleRng(split, seed, index);
    const Range range = Lengths(split);
    const int64_t length = range.min + rng.Below(range.max - range.min + 1);
    example->inputs.resize(length);
    example->targets.resize(length);
    example->groups.clear();
    int32_t state = 0;
    for (int64_t t = 0; t < length; ++t) {
      const int32_t x = static_cast<int32_t>(rng.Below(group_.order()));
      state = group_.Multiply(state, x);
      example->inputs[t] = x;
      example->targets[t] = state;
    }
    return absl::OkStatus();
  }

 private:
  const Range& Lengths(Split split) const {
    return split == Split::kTrain ? train_ : test_;
  }

  Group group_;
  Range train_, test_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Task>> CreateWordProblem(
    const nlohmann::json& spec, const TaskOptions& options) {
  JsonReader reader(spec, options.path);
  reader.String("task", "word_problem");
  reader.Require({"group", "max_length"});
  const std::string name = reader.String("group", "");
  Range train, test;
  train.max = reader.Int("max_length", 1, 1, kMaxLength);
  train.min = reader.Int("min_length", train.max, 1, kMaxLength);
  test.max = reader.Int("test_max_length", train.max, 1, kMaxLength);
  test.min = reader.Int("test_min_length",
                        reader.Has("test_max_length") ? test.max : train.min, 1,
                        kMaxLength);
  if (train.min > train.max) {
    reader.Fail("min_length", "must be <= max_length (", train.max, "), got ",
                train.min);
  }
  if (test.min > test.max) {
    reader.Fail("test_min_length", "must be <= test_max_length (", test.max,
                "), got ", test.min);
  }
  absl::StatusOr<Group> group = Group::Create(name);
  if (!group.ok()) reader.Fail("group", group.status().message());
  LT2_RETURN_IF_ERROR(reader.Finish());
  return std::make_unique<WordProblem>(*std::move(group), train, test);
}

}  // namespace lt2::tasks
