#include "tasks/text.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/core/status.h"
#include "tasks/sample_rng.h"
#include "tasks/text_spec.h"
#include "tasks/token_text.h"

namespace lt2::tasks {
namespace {

class Text : public Task {
 public:
  // The streams begin with a 0 byte. An empty `test` stands for `valid`.
  Text(TextSpec spec, std::string train, std::string valid, std::string test)
      : p_(std::move(spec)),
        train_(std::move(train)),
        valid_(std::move(valid)),
        test_(std::move(test)) {}

  absl::string_view name() const override { return "text"; }
  int version() const override { return 1; }
  int64_t vocab_size() const override { return 256; }
  int64_t max_length(Split) const override { return p_.length; }
  double chance() const override { return 1.0 / 256; }

  int64_t num_examples(Split split) const override {
    if (split == Split::kTrain) return -1;
    return (Targets(split) + p_.length - 1) / p_.length;
  }

  nlohmann::json spec() const override { return p_.ToJson(); }

  absl::Status Generate(Split split, uint64_t seed, int64_t index,
                        Example* example) const override {
    LT2_RETURN_IF_ERROR(CheckIndex(index));
    const bool train = split == Split::kTrain;
    const std::string& stream = Stream(split);
    int64_t begin;
    if (train) {
      begin = Position(seed, index);
    } else {
      if (index >= num_examples(split)) {
        return absl::OutOfRangeError(
            absl::StrCat("text: the ", Name(split), " split has ",
                         num_examples(split), " examples, asked for ", index));
      }
      begin = index * p_.length;
    }
    const int64_t length = std::min(p_.length, Targets(split) - begin);
    example->inputs.resize(length);
    example->targets.resize(length);
    example->groups.clear();
    for (int64_t t = 0; t < length; ++t) {
      const auto target = static_cast<unsigned char>(stream[begin + t + 1]);
      example->inputs[t] = static_cast<unsigned char>(stream[begin + t]);
      example->targets[t] = target == 0 && !train ? kIgnore : target;
    }
    return absl::OkStatus();
  }

 private:
  const std::string& Stream(Split split) const {
    if (split == Split::kTrain) return train_;
    return split == Split::kTest && !test_.empty() ? test_ : valid_;
  }

  int64_t Targets(Split split) const {
    return static_cast<int64_t>(Stream(split).size()) - 1;
  }

  // Uniform over the windows, but for a bias of windows / 2^64. (Below() ends
  // at 2^32, which a stream of several files may pass.)
  int64_t Position(uint64_t seed, int64_t index) const {
    Philox rng = SampleRng(Split::kTrain, seed, index);
    const uint64_t windows = Targets(Split::kTrain) - p_.length + 1;
    return static_cast<int64_t>(rng.Next64() % windows);
  }

  TextSpec p_;
  std::string train_, valid_, test_;
};

// Cuts the end of `train` off into `valid`.
absl::Status CutValid(double fraction, std::string* train, std::string* valid) {
  const size_t size = train->size();
  const size_t wanted =
      static_cast<size_t>(static_cast<double>(size) * (1.0 - fraction));
  size_t cut = train->find('\0', std::max<size_t>(wanted, 1));
  if (cut != std::string::npos) {
    *valid = train->substr(cut);
    train->resize(cut);
    return absl::OkStatus();
  }
  const size_t newline = train->find('\n', wanted);
  if (newline == std::string::npos || newline + 1 >= size) {
    return InvalidArgument("no document or line begins in the last part");
  }
  *valid = absl::StrCat(absl::string_view("\0", 1), train->substr(newline + 1));
  train->resize(newline + 1);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Task>> CreateText(const nlohmann::json& spec,
                                                 const TaskOptions& options) {
  LT2_ASSIGN_OR_RETURN(TextSpec p, ReadTextSpec(spec, options.path));
  if (!p.tokenizer.empty()) return CreateTokenText(p, options);
  LT2_ASSIGN_OR_RETURN(TextStreams s, ReadStreams(p, options));
  if (p.valid_fraction > 0) {
    LT2_RETURN_IF_ERROR(Annotate(CutValid(p.valid_fraction, &s.train, &s.valid),
                                 KeyPath(options, "valid_fraction")));
  }
  if (static_cast<int64_t>(s.train.size()) <= p.length) {
    return InvalidArgument(KeyPath(options, "length"),
                           ": must be < the bytes of training text (",
                           s.train.size(), "), got ", p.length);
  }
  return std::make_unique<Text>(std::move(p), std::move(s.train),
                                std::move(s.valid), std::move(s.test));
}

}  // namespace lt2::tasks
