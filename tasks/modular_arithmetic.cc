#include "tasks/modular_arithmetic.h"

#include "absl/strings/str_cat.h"
#include "kernels/core/json/json_reader.h"
#include "kernels/core/status.h"
#include "tasks/sample_rng.h"

namespace lt2::tasks {
namespace {

// Expressions with brackets nest up to a quarter of this deep.
constexpr int64_t kMaxLength = 4096;

constexpr absl::string_view kSymbols = "+-*=()";
enum Symbol { kPlus, kMinus, kTimes, kEquals, kOpen, kClose };

struct Parameters {
  int64_t modulus, train_min, train_max, test_min, test_max;
  bool brackets;
};

// Writes tokens and computes values, both at once.
class Writer {
 public:
  Writer(int64_t modulus, Philox& rng, std::vector<int32_t>* tokens)
      : modulus_(modulus), rng_(rng), tokens_(tokens) {}

  void Write(Symbol symbol) {
    tokens_->push_back(static_cast<int32_t>(1 + modulus_ + symbol));
  }

  int64_t WriteDigit() {
    const int64_t digit = rng_.Below(modulus_);
    tokens_->push_back(static_cast<int32_t>(1 + digit));
    return digit;
  }

  Symbol WriteOperator() {
    const Symbol symbol = static_cast<Symbol>(rng_.Below(3));
    Write(symbol);
    return symbol;
  }

  // d op d ... d, an odd number of tokens. `sum` holds the finished terms,
  // `term` the product being built, with its sign.
  int64_t WriteFlat(int64_t length) {
    int64_t sum = 0, term = WriteDigit();
    for (int64_t i = 1; i < length; i += 2) {
      const Symbol symbol = WriteOperator();
      const int64_t digit = WriteDigit();
      if (symbol == kTimes) {
        term = Reduce(term * digit);
        continue;
      }
      sum = Reduce(sum + term);
      term = symbol == kPlus ? digit : Reduce(-digit);
    }
    return Reduce(sum + term);
  }

  int64_t WriteNested(int64_t length) {
    switch (length) {
      case 1:
        return WriteDigit();
      case 2:
        Write(kMinus);
        return Reduce(-WriteDigit());
      case 3:
      case 4: {
        Write(kOpen);
        const int64_t value = WriteNested(length - 2);
        Write(kClose);
        return value;
      }
    }
    const int64_t left_length = 1 + rng_.Below(length - 4);
    Write(kOpen);
    const int64_t left = WriteNested(left_length);
    const Symbol symbol = WriteOperator();
    const int64_t right = WriteNested(length - 3 - left_length);
    Write(kClose);
    if (symbol == kPlus) return Reduce(left + right);
    if (symbol == kMinus) return Reduce(left - right);
    return Reduce(left * right);
  }

 private:
  int64_t Reduce(int64_t value) const {
    return ((value % modulus_) + modulus_) % modulus_;
  }

  int64_t modulus_;
  Philox& rng_;
  std::vector<int32_t>* tokens_;
};

class ModularArithmetic : public Task {
 public:
  explicit ModularArithmetic(const Parameters& parameters) : p_(parameters) {}

  absl::string_view name() const override { return "modular_arithmetic"; }
  int version() const override { return 1; }
  int64_t vocab_size() const override {
    return 1 + p_.modulus + (p_.brackets ? 6 : 4);
  }
  int64_t max_length(Split split) const override {
    const int64_t max = split == Split::kTrain ? p_.train_max : p_.test_max;
    return 1 + (p_.brackets || max % 2 == 1 ? max : max - 1);
  }
  double chance() const override {
    return 1.0 / static_cast<double>(p_.modulus);
  }

  nlohmann::json spec() const override {
    return {{"task", "modular_arithmetic"}, {"modulus", p_.modulus},
            {"brackets", p_.brackets},      {"train_min", p_.train_min},
            {"train_max", p_.train_max},    {"test_min", p_.test_min},
            {"test_max", p_.test_max}};
  }

  absl::Status Generate(Split split, uint64_t seed, int64_t index,
                        Example* example) const override {
    LT2_RETURN_IF_ERROR(CheckIndex(index));
    Philox rng = SampleRng(split, seed, index);
    const bool train = split == Split::kTrain;
    int64_t min = train ? p_.train_min : p_.test_min;
    const int64_t max = train ? p_.train_max : p_.test_max;
    int64_t length;
    if (p_.brackets) {
      length = min + rng.Below(max - min + 1);
    } else {
      min |= 1;
      length = min + 2 * rng.Below((max - min) / 2 + 1);
    }
    example->inputs.clear();
    example->inputs.reserve(length + 1);
    example->groups.clear();
    Writer writer(p_.modulus, rng, &example->inputs);
    const int64_t value =
        p_.brackets ? writer.WriteNested(length) : writer.WriteFlat(length);
    writer.Write(kEquals);
    example->targets.assign(length + 1, kIgnore);
    example->targets.back() = static_cast<int32_t>(1 + value);
    return absl::OkStatus();
  }

 private:
  Parameters p_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Task>> CreateModularArithmetic(
    const nlohmann::json& spec, const TaskOptions& options) {
  JsonReader reader(spec, options.path);
  reader.String("task", "modular_arithmetic");
  Parameters p;
  p.modulus = reader.Int("modulus", 5, 2, 1000);
  p.brackets = reader.Bool("brackets", false);
  p.train_min = reader.Int("train_min", 3, 1, kMaxLength);
  p.train_max = reader.Int("train_max", 40, 1, kMaxLength);
  p.test_min = reader.Int("test_min", 40, 1, kMaxLength);
  p.test_max = reader.Int("test_max", 256, 1, kMaxLength);
  const auto check = [&](absl::string_view key, int64_t min, int64_t max) {
    if (min > max) {
      reader.Fail(key, "must be <= ", max, " (the largest length), got ", min);
    } else if (!p.brackets && (min | 1) > max) {
      reader.Fail(key, "without brackets lengths are odd; there is none in ",
                  min, "..", max);
    }
  };
  check("train_min", p.train_min, p.train_max);
  check("test_min", p.test_min, p.test_max);
  LT2_RETURN_IF_ERROR(reader.Finish());
  return std::make_unique<ModularArithmetic>(p);
}

std::string ModularArithmeticText(const std::vector<int32_t>& tokens,
                                  int64_t modulus) {
  std::string text;
  for (int32_t token : tokens) {
    if (token == 0) continue;
    if (token <= modulus) {
      absl::StrAppend(&text, token - 1);
    } else {
      text += kSymbols[token - 1 - modulus];
    }
  }
  return text;
}

}  // namespace lt2::tasks
