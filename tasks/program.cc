#include "tasks/program.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/core/json/json_reader.h"
#include "kernels/core/status.h"
#include "tasks/sample_rng.h"

namespace lt2::tasks {
namespace {

constexpr int64_t kMaxSwaps = 1 << 18;
constexpr int64_t kMaxNumbers = 1 << 16;

enum Token : int32_t {
  kPad = 0,
  kBit0 = 1,  // kBit0 + 1 is the bit 1.
  kQuery = 3,
  kBits = 4,
  kVars = 5,
  kMergedNames = 6,  // The first variable's name, merged encoding.
  kAssign = 6,
  kOpen = 7,
  kClose = 8,
  kComma = 9,
  kAssert = 10,
  kEqual = 11,
  kNewline = 12,
  kWordsNames = 13,  // The first variable's name, words encoding.
};

struct Setting {
  int64_t min_bits, bits, swaps;
};

struct Parameters {
  bool words = false;
  int64_t variables = 5, numbers = 256;
  int64_t base = 0;         // 0: a number is one token.
  int64_t digits = 1;       // Of a number.
  int64_t assigns = 0;      // Statements that assign to `a`, before the swaps.
  int64_t rounds = 1;       // Times that the variables are placed anew.
  std::vector<int> stages;  // Empty: one setting given by bits and swaps.
  std::vector<Setting> settings;
};

int64_t StageSize(int stage) { return int64_t{8} << (stage - 1); }

class Program : public Task {
 public:
  explicit Program(Parameters parameters) : p_(std::move(parameters)) {}

  absl::string_view name() const override { return "program"; }
  int version() const override { return 1; }
  int64_t vocab_size() const override {
    return FirstName() + p_.variables + (p_.base > 0 ? p_.base : p_.numbers);
  }
  int64_t max_length(Split) const override {
    int64_t longest = 0;
    for (const Setting& s : p_.settings) {
      const int64_t array = p_.words ? 2 * s.bits + 4 : s.bits + 1;
      const int64_t placing =
          p_.variables * (p_.digits + (p_.words ? 3 : 1)) + (p_.words ? 0 : 1);
      const int64_t assigning = p_.assigns * (p_.digits + (p_.words ? 11 : 2));
      const int64_t swapping = s.swaps * (p_.words ? 16 : 3);
      longest = std::max(longest,
                         array + p_.rounds * (placing + assigning + swapping));
    }
    return longest;
  }
  double chance() const override { return 0.5; }

  std::vector<std::string> group_names() const override {
    std::vector<std::string> names;
    for (int stage : p_.stages) names.push_back(absl::StrCat("stage ", stage));
    return names;
  }

  nlohmann::json spec() const override {
    nlohmann::json spec = {{"task", "program"},
                           {"encoding", p_.words ? "words" : "merged"},
                           {"variables", p_.variables},
                           {"numbers", p_.numbers}};
    if (p_.base > 0) spec["base"] = p_.base;
    if (p_.assigns > 0) spec["assigns"] = p_.assigns;
    if (p_.rounds > 1) spec["rounds"] = p_.rounds;
    if (p_.stages.empty()) {
      const Setting& setting = p_.settings[0];
      if (setting.min_bits < setting.bits) spec["min_bits"] = setting.min_bits;
      spec["bits"] = setting.bits;
      spec["swaps"] = setting.swaps;
    } else {
      spec["stages"] = p_.stages;
    }
    return spec;
  }

  absl::Status Generate(Split split, uint64_t seed, int64_t index,
                        Example* example) const override {
    LT2_RETURN_IF_ERROR(CheckIndex(index));
    Philox rng = SampleRng(split, seed, index);
    const int64_t which =
        p_.settings.size() == 1
            ? 0
            : rng.Below(static_cast<int64_t>(p_.settings.size()));
    example->inputs.clear();
    example->targets.clear();
    Write(p_.settings[which], rng, example);
    example->groups.clear();
    if (!p_.stages.empty()) {
      example->groups.assign(example->inputs.size(),
                             static_cast<int32_t>(which));
    }
    return absl::OkStatus();
  }

 private:
  int32_t FirstName() const { return p_.words ? kWordsNames : kMergedNames; }

  void Write(const Setting& setting, Philox& rng, Example* example) const {
    const auto emit = [&](int64_t token, int32_t target = kIgnore) {
      example->inputs.push_back(static_cast<int32_t>(token));
      example->targets.push_back(target);
    };
    const auto number = [&](int64_t value) {
      const int64_t first = FirstName() + p_.variables;
      if (p_.base == 0) return emit(first + value);
      int64_t unit = 1;
      for (int64_t d = 1; d < p_.digits; ++d) unit *= p_.base;
      for (; unit > 0; unit /= p_.base) emit(first + value / unit % p_.base);
    };
    const int64_t first_name = FirstName();

    int64_t n = setting.bits;
    if (setting.min_bits < n) {
      n = setting.min_bits + rng.Below(n - setting.min_bits + 1);
    }
    std::vector<int32_t> bits(n);
    for (int32_t& bit : bits) bit = static_cast<int32_t>(rng.Below(2));

    emit(kBits);
    if (p_.words) {
      emit(kAssign);
      emit(kOpen);
    }
    for (int64_t i = 0; i < n; ++i) {
      if (p_.words && i > 0) emit(kComma);
      emit(kBit0 + bits[i]);
    }
    if (p_.words) {
      emit(kClose);
      emit(kNewline);
    }

    for (int64_t round = 0; round < p_.rounds; ++round) {
      std::vector<int64_t> place = DistinctPlaces(n, rng);
      WritePlaces(place, emit, number);
      for (int64_t assign = 0; assign < p_.assigns; ++assign) {
        place[0] = rng.Below(n);
        emit(first_name);
        if (p_.words) emit(kAssign);
        number(place[0]);
        if (p_.words) emit(kNewline);
        WriteQuestion(first_name, bits[place[0]], emit);
      }
      for (int64_t swap = 0; swap < setting.swaps; ++swap) {
        const int64_t x = rng.Below(p_.variables);
        int64_t y = rng.Below(p_.variables - 1);
        if (y >= x) ++y;
        std::swap(place[x], place[y]);
        WriteSwap(x, y, emit);
        WriteQuestion(first_name, bits[place[0]], emit);
      }
    }
  }

  // a , b , ... = places
  template <typename Emit, typename Number>
  void WritePlaces(const std::vector<int64_t>& places, const Emit& emit,
                   const Number& number) const {
    if (p_.words) {
      WriteList(FirstName(), p_.variables, nullptr, emit);
      emit(kAssign);
      for (int64_t v = 0; v < p_.variables; ++v) {
        if (v > 0) emit(kComma);
        number(places[v]);
      }
      emit(kNewline);
    } else {
      emit(kVars);
      for (int64_t v = 0; v < p_.variables; ++v) {
        emit(FirstName() + v);
        number(places[v]);
      }
    }
  }

  // x , y = y , x
  template <typename Emit>
  void WriteSwap(int64_t x, int64_t y, const Emit& emit) const {
    if (p_.words) {
      const int64_t before[] = {x, y}, after[] = {y, x};
      WriteList(FirstName(), 2, before, emit);
      emit(kAssign);
      WriteList(FirstName(), 2, after, emit);
      emit(kNewline);
    } else {
      emit(FirstName() + x);
      emit(FirstName() + y);
    }
  }

  // assert bits [ a ] == ?
  template <typename Emit>
  void WriteQuestion(int64_t first_name, int32_t bit, const Emit& emit) const {
    if (p_.words) {
      emit(kAssert);
      emit(kBits);
      emit(kOpen);
      emit(first_name);
      emit(kClose);
      emit(kEqual);
    }
    emit(kQuery, kBit0 + bit);
    if (p_.words) emit(kNewline);
  }

  // first + items[0] , first + items[1] , ...; items = 0, 1, ... if null.
  template <typename Emit>
  static void WriteList(int64_t first, int64_t count, const int64_t* items,
                        const Emit& emit) {
    for (int64_t i = 0; i < count; ++i) {
      if (i > 0) emit(kComma);
      emit(first + (items == nullptr ? i : items[i]));
    }
  }

  std::vector<int64_t> DistinctPlaces(int64_t bits, Philox& rng) const {
    std::vector<int64_t> places;
    while (static_cast<int64_t>(places.size()) < p_.variables) {
      const int64_t place = rng.Below(bits);
      if (std::find(places.begin(), places.end(), place) == places.end()) {
        places.push_back(place);
      }
    }
    return places;
  }

  Parameters p_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Task>> CreateProgram(
    const nlohmann::json& spec, const TaskOptions& options) {
  JsonReader reader(spec, options.path);
  reader.String("task", "program");
  Parameters p;
  p.words = reader.Enum("encoding", "merged", {"merged", "words"}) == "words";
  p.variables = reader.Int("variables", 5, 2, 26);
  p.numbers = reader.Int("numbers", 256, 2, kMaxNumbers);
  if (reader.Has("base")) p.base = reader.Int("base", 2, 2, kMaxNumbers);
  if (p.base > 0) {
    for (int64_t n = p.base; n < p.numbers; n *= p.base) ++p.digits;
  }
  p.assigns = reader.Int("assigns", 0, 0, kMaxSwaps);
  p.rounds = reader.Int("rounds", 1, 1, kMaxSwaps);
  const int forms = reader.Has("stage") + reader.Has("stages") +
                    (reader.Has("bits") || reader.Has("swaps"));
  if (forms > 1) {
    reader.Fail(reader.Has("stage") ? "stage" : "stages",
                "give one of stage, stages, and bits with swaps");
  }
  if (reader.Has("stages")) {
    for (int64_t stage : reader.Ints("stages", 1, kProgramStages)) {
      p.stages.push_back(static_cast<int>(stage));
      const int64_t size = StageSize(p.stages.back());
      p.settings.push_back({size, size, size});
    }
    if (p.stages.empty()) reader.Fail("stages", "must not be empty");
  } else if (reader.Has("stage")) {
    const int64_t size =
        StageSize(static_cast<int>(reader.Int("stage", 1, 1, kProgramStages)));
    p.settings.push_back({size, size, size});
  } else {
    reader.Require({"bits"});
    const int64_t bits = reader.Int("bits", 2, 2, kMaxNumbers);
    const int64_t min_bits =
        reader.Has("min_bits") ? reader.Int("min_bits", bits, 2, bits) : bits;
    const int64_t swaps = reader.Int("swaps", bits, 1, kMaxSwaps);
    p.settings.push_back({min_bits, bits, swaps});
  }
  const char* key = reader.Has("bits") ? "bits" : "numbers";
  for (const Setting& s : p.settings) {
    if (s.bits > p.numbers) {
      reader.Fail(key, "bits (", s.bits, ") must be <= numbers (", p.numbers,
                  ")");
    }
    if (s.min_bits < p.variables) {
      reader.Fail(reader.Has("min_bits")
                      ? "min_bits"
                      : (reader.Has("bits") ? "bits" : "variables"),
                  "bits (", s.min_bits, ") must be >= variables (", p.variables,
                  "), which point to distinct places");
    }
  }
  LT2_RETURN_IF_ERROR(reader.Finish());
  return std::make_unique<Program>(std::move(p));
}

std::string ProgramText(const std::vector<int32_t>& tokens, bool words,
                        int64_t variables) {
  static constexpr const char* kWords[] = {
      "", "0", "1", "?", "bits", "", "=", "[", "]", ",", "assert", "==", "\n"};
  const int32_t first_name = words ? kWordsNames : kMergedNames;
  std::string text;
  for (int32_t token : tokens) {
    if (token == kPad) continue;
    if (!text.empty() && text.back() != '\n' && !(words && token == kNewline)) {
      text += ' ';
    }
    if (token >= first_name + variables) {
      absl::StrAppend(&text, words ? "" : "#", token - first_name - variables);
    } else if (token >= first_name) {
      text += static_cast<char>('a' + token - first_name);
    } else if (token == kVars) {
      text += "VARS";
    } else if (token == kBits && !words) {
      text += "BITS";
    } else {
      text += kWords[token];
    }
  }
  return text;
}

}  // namespace lt2::tasks
