#include "tasks/parity.h"

#include "kernels/core/json/json_reader.h"
#include "kernels/core/status.h"
#include "tasks/sample_rng.h"

namespace lt2::tasks {
namespace {

constexpr int64_t kMaxLength = 1 << 20;

struct Parameters {
  int64_t train_min, train_max, test_min, test_max;
  bool supervise_all;
};

class Parity : public Task {
 public:
  explicit Parity(const Parameters& parameters) : p_(parameters) {}

  absl::string_view name() const override { return "parity"; }
  int version() const override { return 1; }
  int64_t vocab_size() const override { return 3; }
  int64_t max_length(Split split) const override {
    return split == Split::kTrain ? p_.train_max : p_.test_max;
  }
  double chance() const override { return 0.5; }

  nlohmann::json spec() const override {
    return {{"task", "parity"},
            {"train_min", p_.train_min},
            {"train_max", p_.train_max},
            {"test_min", p_.test_min},
            {"test_max", p_.test_max},
            {"supervise", p_.supervise_all ? "all" : "last"}};
  }

  absl::Status Generate(Split split, uint64_t seed, int64_t index,
                        Example* example) const override {
    LT2_RETURN_IF_ERROR(CheckIndex(index));
    Philox rng = SampleRng(split, seed, index);
    const bool train = split == Split::kTrain;
    const int64_t min = train ? p_.train_min : p_.test_min;
    const int64_t length = min + rng.Below(max_length(split) - min + 1);
    example->inputs.resize(length);
    example->targets.assign(length, kIgnore);
    example->groups.clear();
    int32_t parity = 0;
    for (int64_t t = 0; t < length; ++t) {
      const int32_t bit = static_cast<int32_t>(rng.Below(2));
      parity ^= bit;
      example->inputs[t] = 1 + bit;
      if (p_.supervise_all || t + 1 == length) {
        example->targets[t] = 1 + parity;
      }
    }
    return absl::OkStatus();
  }

 private:
  Parameters p_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Task>> CreateParity(const nlohmann::json& spec,
                                                   const TaskOptions& options) {
  JsonReader reader(spec, options.path);
  reader.String("task", "parity");
  Parameters p;
  p.train_min = reader.Int("train_min", 3, 1, kMaxLength);
  p.train_max = reader.Int("train_max", 40, 1, kMaxLength);
  p.test_min = reader.Int("test_min", 40, 1, kMaxLength);
  p.test_max = reader.Int("test_max", 256, 1, kMaxLength);
  if (p.train_min > p.train_max) {
    reader.Fail("train_min", "must be <= train_max (", p.train_max, "), got ",
                p.train_min);
  }
  if (p.test_min > p.test_max) {
    reader.Fail("test_min", "must be <= test_max (", p.test_max, "), got ",
                p.test_min);
  }
  p.supervise_all = reader.Enum("supervise", "last", {"last", "all"}) == "all";
  LT2_RETURN_IF_ERROR(reader.Finish());
  return std::make_unique<Parity>(p);
}

}  // namespace lt2::tasks
