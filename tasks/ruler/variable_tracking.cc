// Variable tracking: one chain of assignments among lines of noise, after a
// worked example.

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "tasks/ruler/ruler_generator.h"

namespace lt2::tasks {
namespace {

constexpr int64_t kHops = 4;
constexpr int kNameLetters = 5, kExampleNameLetters = 3;
constexpr int64_t kExampleTokens = 500;  // the worked example is within these
constexpr uint32_t kExampleStream = 0x766b;
constexpr char kNoise[] =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. "
    "There and back again.";
constexpr char kTemplate[] =
    "Memorize and track the chain(s) of variable assignment hidden in the "
    "following text.\n\n$context\nQuestion: Find all variables that are "
    "assigned the value $query in the text above.";
constexpr char kPrefix[] =
    " Answer: According to the chain(s) of variable assignment in the text "
    "above, $count variables are assigned the value $query, they are: ";

// Distinct names of the first variable of the chain to the last.
std::vector<std::string> DrawNames(Philox& rng, int letters) {
  std::vector<std::string> names;
  std::set<std::string> taken;
  while (static_cast<int64_t>(names.size()) <= kHops) {
    std::string name;
    for (int i = 0; i < letters; ++i) {
      name += static_cast<char>('A' + rng.Below(26));
    }
    if (taken.insert(name).second) names.push_back(name);
  }
  return names;
}

std::string DrawValue(Philox& rng) {
  return absl::StrCat(10000 + rng.Below(89999));
}

// A problem of `size` lines of noise; the places of the chain are drawn.
RulerText Problem(Philox& rng, const std::vector<std::string>& names,
                  const std::string& value, int64_t size) {
  std::vector<int64_t> places = DrawWithoutReplacement(rng, size, kHops + 1);
  std::sort(places.begin(), places.end());
  std::vector<std::string> lines;
  size_t next = 0;
  for (int64_t i = 0; i < size; ++i) {
    if (next < places.size() && places[next] == i) {
      // The original has a space behind all but the first assignment.
      lines.push_back(next == 0 ? absl::StrCat("VAR ", names[0], " = ", value)
                                : absl::StrCat("VAR ", names[next], " = VAR ",
                                               names[next - 1], " "));
      ++next;
    }
    lines.push_back(kNoise);
  }
  const std::string context = absl::StrJoin(lines, "\n");
  const std::string count = absl::StrCat(kHops + 1);
  const std::vector<std::pair<absl::string_view, absl::string_view>> fill = {
      {"$context", context}, {"$query", value}, {"$count", count}};
  RulerText text;
  text.text = absl::StrReplaceAll(kTemplate, fill);
  text.answer_prefix = absl::StrReplaceAll(kPrefix, fill);
  text.answers = names;
  return text;
}

// The example's places are drawn once (stream of the seed), its names and its
// value for each sample.
std::string Example(uint64_t seed, int64_t size,
                    const std::vector<std::string>& names,
                    const std::string& value) {
  Philox rng(seed, 0, kExampleStream);
  const RulerText text = Problem(rng, names, value, size);
  return absl::StrCat(text.text, text.answer_prefix, " ",
                      absl::StrJoin(names, " "), "\n");
}

class VariableTracking : public RulerGenerator {
 public:
  VariableTracking(uint64_t seed, int64_t max_length, const TokenCount& count)
      : seed_(seed), short_(max_length < 4096) {
    Philox rng(seed, 1, kExampleStream);
    const std::vector<std::string> names = DrawNames(rng, kExampleNameLetters);
    const std::string value = DrawValue(rng);
    example_size_ = min_size();
    while (count(Example(seed, example_size_ + 1, names, value)) <=
           kExampleTokens) {
      ++example_size_;
    }
  }

  int64_t min_size() const override { return kHops + 1; }
  int64_t step() const override { return short_ ? 5 : 10; }
  int64_t max_new_tokens() const override { return 30; }

  RulerText Generate(Philox& rng, int64_t /*index*/,
                     int64_t size) const override {
    const std::string value = DrawValue(rng);
    std::string example_value = DrawValue(rng);
    while (example_value == value) example_value = DrawValue(rng);
    const std::vector<std::string> example_names =
        DrawNames(rng, kExampleNameLetters);
    const std::vector<std::string> names = DrawNames(rng, kNameLetters);
    RulerText text = Problem(rng, names, value, size);
    text.text = absl::StrCat(
        Example(seed_, example_size_, example_names, example_value), "\n",
        text.text);
    return text;
  }

 private:
  const uint64_t seed_;
  const bool short_;
  int64_t example_size_ = 0;
};

}  // namespace

std::unique_ptr<RulerGenerator> MakeVariableTracking(uint64_t seed,
                                                     int64_t max_length,
                                                     const TokenCount& count) {
  return std::make_unique<VariableTracking>(seed, max_length, count);
}

}  // namespace lt2::tasks
