#include "tasks/mqar.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/core/json/json_reader.h"
#include "kernels/core/status.h"
#include "tasks/sample_rng.h"

namespace lt2::tasks {
namespace {

constexpr int64_t kMaxLength = 1 << 20;
constexpr int64_t kMaxVocab = 1 << 24;
constexpr int64_t kMaxTotalWeight = 1 << 30;

struct Setting {
  int64_t length, pairs, weight;
};

struct Preset {
  absl::string_view name;
  bool random_non_queries;
  std::vector<Setting> settings;
};

const std::vector<Preset>& Presets() {
  static const auto* presets = new std::vector<Preset>{
      {"based_train",
       true,
       {{64, 4, 100000},
        {128, 8, 20000},
        {256, 16, 20000},
        {256, 32, 20000},
        {256, 64, 20000}}},
      {"based_test",
       true,
       {{64, 4, 1000},
        {64, 8, 1000},
        {64, 16, 1000},
        {128, 32, 1000},
        {256, 64, 1000},
        {512, 128, 1000},
        {1024, 256, 1000}}},
      {"zoology_64_4", false, {{64, 4, 1}}},
      {"zoology_128_8", false, {{128, 8, 1}}},
      {"zoology_256_16", false, {{256, 16, 1}}},
      {"zoology_512_64", false, {{512, 64, 1}}},
  };
  return *presets;
}

struct Parameters {
  int64_t vocab = 8192;
  double power_a = 0.01;
  bool random_non_queries = true;
  bool mixture = false;  // Written as "settings" in the canonical spec.
  std::vector<Setting> settings;
};

// `count` distinct values, uniform in [first, last) and in random order. At
// most half of the range is asked for, so few draws are rejected.
std::vector<int32_t> DistinctValues(Philox& rng, int64_t count, int64_t first,
                                    int64_t last) {
  std::vector<bool> used(last - first, false);
  std::vector<int32_t> values;
  values.reserve(count);
  while (static_cast<int64_t>(values.size()) < count) {
    const int64_t offset = rng.Below(last - first);
    if (used[offset]) continue;
    used[offset] = true;
    values.push_back(static_cast<int32_t>(first + offset));
  }
  return values;
}

class Mqar : public Task {
 public:
  explicit Mqar(Parameters parameters) : p_(std::move(parameters)) {
    int64_t divisor = 0, longest = 0;
    for (const Setting& s : p_.settings) {
      divisor = std::gcd(divisor, s.weight);
      longest = std::max(longest, (s.length - 2 * s.pairs) / 2);
      max_length_ = std::max(max_length_, s.length);
    }
    for (const Setting& s : p_.settings) {
      total_weight_ += s.weight / divisor;
      cumulative_.push_back(total_weight_);
    }
    for (int64_t g = 0; g < longest; ++g) {
      inverse_weight_.push_back(
          std::pow(static_cast<double>(g + 1), 1.0 - p_.power_a));
    }
  }

  absl::string_view name() const override { return "mqar"; }
  int version() const override { return 1; }
  int64_t vocab_size() const override { return p_.vocab; }
  int64_t max_length(Split) const override { return max_length_; }

  double chance() const override {
    double examples = 0, queries = 0;
    for (const Setting& s : p_.settings) {
      examples += static_cast<double>(s.weight);
      queries += static_cast<double>(s.weight * s.pairs);
    }
    return examples / queries;
  }

  std::vector<std::string> group_names() const override {
    if (!p_.mixture) return {};
    std::vector<std::string> names;
    for (const Setting& s : p_.settings) {
      names.push_back(absl::StrCat(s.length, "/", s.pairs));
    }
    return names;
  }

  nlohmann::json spec() const override {
    nlohmann::json spec = {{"task", "mqar"},
                           {"vocab", p_.vocab},
                           {"power_a", p_.power_a},
                           {"random_non_queries", p_.random_non_queries},
                           {"num_passes", 1}};
    if (!p_.mixture) {
      spec["length"] = p_.settings[0].length;
      spec["pairs"] = p_.settings[0].pairs;
      return spec;
    }
    spec["settings"] = nlohmann::json::array();
    for (const Setting& s : p_.settings) {
      spec["settings"].push_back(
          {{"length", s.length}, {"pairs", s.pairs}, {"weight", s.weight}});
    }
    return spec;
  }

  absl::Status Generate(Split split, uint64_t seed, int64_t index,
                        Example* example) const override {
    LT2_RETURN_IF_ERROR(CheckIndex(index));
    Philox rng = SampleRng(split, seed, index);
    const size_t which = PickSetting(split, index, rng);
    const Setting& s = p_.settings[which];
    Fill(s, rng, example);
    example->groups.clear();
    if (p_.mixture) {
      example->groups.assign(s.length, static_cast<int32_t>(which));
    }
    return absl::OkStatus();
  }

 private:
  size_t PickSetting(Split split, int64_t index, Philox& rng) const {
    if (p_.settings.size() == 1) return 0;
    const int64_t ticket = split == Split::kTrain ? rng.Below(total_weight_)
                                                  : index % total_weight_;
    return std::upper_bound(cumulative_.begin(), cumulative_.end(), ticket) -
           cumulative_.begin();
  }

  void Fill(const Setting& s, Philox& rng, Example* example) const {
    const int64_t half = p_.vocab / 2;
    const std::vector<int32_t> keys = DistinctValues(rng, s.pairs, 1, half);
    const std::vector<int32_t> values =
        DistinctValues(rng, s.pairs, half, p_.vocab);

    const int64_t slots = (s.length - 2 * s.pairs) / 2;
    std::vector<std::pair<double, int64_t>> times(slots);
    for (int64_t g = 0; g < slots; ++g) {
      times[g] = {Exponential(rng) * inverse_weight_[g], g};
    }
    std::partial_sort(times.begin(), times.begin() + s.pairs, times.end());

    // -1 marks filler until it is filled in, in order of position.
    example->inputs.assign(s.length, -1);
    example->targets.assign(s.length, kIgnore);
    for (int64_t j = 0; j < s.pairs; ++j) {
      example->inputs[2 * j] = keys[j];
      example->inputs[2 * j + 1] = values[j];
      const int64_t query = 2 * s.pairs + 2 * times[j].second;
      example->inputs[query] = keys[j];
      example->targets[query] = values[j];
    }
    for (int32_t& token : example->inputs) {
      if (token >= 0) continue;
      token =
          p_.random_non_queries ? static_cast<int32_t>(rng.Below(p_.vocab)) : 0;
    }
  }

  Parameters p_;
  int64_t max_length_ = 0, total_weight_ = 0;
  std::vector<int64_t> cumulative_;     // Of the reduced weights.
  std::vector<double> inverse_weight_;  // [slot] 1 / w_g
};

Setting ReadSetting(JsonReader reader, bool weighted, int64_t vocab) {
  Setting s;
  s.length = reader.Int("length", 64, 4, kMaxLength);
  s.pairs = reader.Int("pairs", 4, 1, kMaxLength);
  s.weight = weighted ? reader.Int("weight", 1, 1, kMaxTotalWeight) : 1;
  if (s.length % 2 != 0) {
    reader.Fail("length", "must be even, got ", s.length);
  }
  if (4 * s.pairs > s.length) {
    reader.Fail("pairs", "4*pairs must be <= length (", s.length, "), got ",
                4 * s.pairs);
  }
  if (vocab <= s.length) {
    reader.Fail("length", "must be < vocab (", vocab, "), got ", s.length);
  }
  return s;
}

}  // namespace

std::vector<std::string> MqarPresetNames() {
  std::vector<std::string> names;
  for (const Preset& preset : Presets()) names.emplace_back(preset.name);
  return names;
}

absl::StatusOr<std::unique_ptr<Task>> CreateMqar(const nlohmann::json& spec,
                                                 const TaskOptions& options) {
  JsonReader reader(spec, options.path);
  reader.String("task", "mqar");
  Parameters p;
  if (reader.Has("preset")) {
    const std::vector<std::string> names = MqarPresetNames();
    const std::string name = reader.Enum("preset", names[0], names);
    for (const Preset& preset : Presets()) {
      if (preset.name != name) continue;
      p.settings = preset.settings;
      p.random_non_queries = preset.random_non_queries;
    }
    p.mixture = p.settings.size() > 1;
    if (reader.Has("settings")) {
      reader.Fail("settings", "cannot be given together with preset");
    }
  }
  p.vocab = reader.Int("vocab", p.vocab, 6, kMaxVocab);
  p.power_a = reader.Float("power_a", p.power_a, 0.0, 100.0);
  p.random_non_queries =
      reader.Bool("random_non_queries", p.random_non_queries);
  reader.Int("num_passes", 1, 1, 1);
  if (reader.Has("preset")) {
    for (const Setting& s : p.settings) {
      if (p.vocab <= s.length) {
        reader.Fail("vocab", "must be > ", s.length, ", got ", p.vocab);
      }
    }
  } else if (reader.Has("settings")) {
    p.mixture = true;
    for (const JsonReader& item : reader.Objects("settings")) {
      p.settings.push_back(ReadSetting(item, /*weighted=*/true, p.vocab));
    }
    if (p.settings.empty()) reader.Fail("settings", "must not be empty");
    int64_t total = 0;  // Philox::Below() ends at 2^32.
    for (const Setting& s : p.settings) total += s.weight;
    if (total > kMaxTotalWeight) {
      reader.Fail("settings", "the weights must add up to at most ",
                  kMaxTotalWeight, ", got ", total);
    }
  } else {
    p.settings.push_back(ReadSetting(reader, /*weighted=*/false, p.vocab));
  }
  LT2_RETURN_IF_ERROR(reader.Finish());
  return std::make_unique<Mqar>(std::move(p));
}

absl::Status CheckMqar(const std::vector<int32_t>& inputs,
                       const std::vector<int32_t>& targets, int64_t vocab,
                       int64_t pairs, bool random_non_queries) {
  const int64_t length = static_cast<int64_t>(inputs.size());
  if (targets.size() != inputs.size()) {
    return InvalidArgument("inputs and targets differ in length");
  }
  if (length % 2 != 0 || 4 * pairs > length) {
    return InvalidArgument("impossible length ", length);
  }
  std::vector<int32_t> value_of(vocab, -1);
  std::vector<bool> asked(vocab, false), value_used(vocab, false);
  for (int64_t i = 0; i < 2 * pairs; i += 2) {
    const int32_t key = inputs[i], value = inputs[i + 1];
    if (key < 1 || key >= vocab / 2) {
      return InvalidArgument("key ", key, " at ", i, " out of range");
    }
    if (value < vocab / 2 || value >= vocab) {
      return InvalidArgument("value ", value, " at ", i + 1, " out of range");
    }
    if (value_of[key] >= 0) return InvalidArgument("key ", key, " twice");
    if (value_used[value]) return InvalidArgument("value ", value, " twice");
    value_of[key] = value;
    value_used[value] = true;
  }
  int64_t queries = 0;
  for (int64_t i = 0; i < length; ++i) {
    if (inputs[i] < 0 || inputs[i] >= vocab) {
      return InvalidArgument("token ", inputs[i], " at ", i, " out of range");
    }
    if (targets[i] == kIgnore) {
      if (i >= 2 * pairs && !random_non_queries && inputs[i] != 0) {
        return InvalidArgument("filler ", inputs[i], " at ", i, " is not 0");
      }
      continue;
    }
    if (i < 2 * pairs || i % 2 != 0) {
      return InvalidArgument("target at ", i, ", which is no query position");
    }
    const int32_t key = inputs[i];
    if (value_of[key] != targets[i]) {
      return InvalidArgument("target ", targets[i], " at ", i,
                             " is not the value of key ", key);
    }
    if (asked[key]) return InvalidArgument("key ", key, " asked twice");
    asked[key] = true;
    ++queries;
  }
  if (queries != pairs) {
    return InvalidArgument(queries, " queries for ", pairs, " pairs");
  }
  return absl::OkStatus();
}

}  // namespace lt2::tasks
