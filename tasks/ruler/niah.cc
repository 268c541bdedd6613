// Needles in a haystack: eight of the thirteen tasks.

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "tasks/ruler/ruler_generator.h"
#include "tasks/ruler/words.h"

namespace lt2::tasks {
namespace {

constexpr int64_t kDepths = 40;  // points from 0 to 100 %
constexpr char kNoise[] =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. "
    "There and back again.";
constexpr char kTemplate[] =
    "Some special magic $type are hidden within the following text. Make sure "
    "to memorize it. I will quiz you about the $type afterwards.\n$context\n"
    "What are all the special magic $type for $query mentioned in the provided "
    "text?";
constexpr char kPrefix[] =
    " The special magic $type for $query mentioned in the provided text are";
// With one answer.
constexpr char kTemplateOfOne[] =
    "A special magic $type is hidden within the following text. Make sure to "
    "memorize it. I will quiz you about the $type afterwards.\n$context\n"
    "What is the special magic $type for $query mentioned in the provided "
    "text?";
constexpr char kPrefixOfOne[] =
    " The special magic $type for $query mentioned in the provided text is";

std::string Draw(Philox& rng, NiahShape::Type type) {
  switch (type) {
    case NiahShape::kWords:
      return Compound(rng.Below(CompoundCount()));
    case NiahShape::kNumbers:
      return absl::StrCat(1000000 + rng.Below(9000000));
    case NiahShape::kUuids:
      break;
  }
  // Version 4: four bits of version, two of variant, 122 random.
  const uint64_t high = (rng.Next64() & ~uint64_t{0xf000}) | 0x4000;
  const uint64_t low = (rng.Next64() & ~(uint64_t{3} << 62)) | uint64_t{1}
                                                                   << 63;
  return absl::StrFormat("%08x-%04x-%04x-%04x-%012x", high >> 32,
                         (high >> 16) & 0xffff, high & 0xffff, low >> 48,
                         low & 0xffffffffffff);
}

class Niah : public RulerGenerator {
 public:
  Niah(const NiahShape& shape, std::vector<std::string> essay,
       int64_t max_length)
      : shape_(shape), essay_(std::move(essay)), short_(max_length < 4096) {}

  int64_t min_size() const override {
    return shape_.haystack == NiahShape::kEssay ? 1 : needles();
  }
  int64_t max_size() const override {
    // Keys are distinct, so lines of needles must not use up all of them.
    if (shape_.haystack == NiahShape::kNeedles &&
        shape_.key == NiahShape::kWords) {
      return CompoundCount() / 2;
    }
    return RulerGenerator::max_size();
  }
  int64_t step() const override {
    if (shape_.haystack == NiahShape::kEssay) return short_ ? 25 : 500;
    return short_ ? 5 : 25;
  }
  int64_t max_new_tokens() const override { return 128; }

  RulerText Generate(Philox& rng, int64_t /*index*/,
                     int64_t size) const override {
    std::vector<std::string> keys, needles;
    std::vector<std::vector<std::string>> values(shape_.keys);
    std::set<std::string> taken;  // keys; and values of one kind with them
    const auto draw_new = [&](NiahShape::Type type) {
      std::string drawn = Draw(rng, type);
      while (!taken.insert(drawn).second) drawn = Draw(rng, type);
      return drawn;
    };
    for (int64_t k = 0; k < shape_.keys; ++k) {
      keys.push_back(draw_new(shape_.key));
      for (int64_t v = 0; v < shape_.values; ++v) {
        values[k].push_back(draw_new(shape_.value));
        needles.push_back(Needle(keys[k], values[k].back()));
      }
    }
    rng.Shuffle(needles);
    const std::string context = shape_.haystack == NiahShape::kEssay
                                    ? InEssay(rng, needles, size)
                                    : InLines(rng, needles, size, draw_new);

    const std::vector<int64_t> asked =
        DrawWithoutReplacement(rng, shape_.keys, shape_.queries);
    RulerText result;
    std::string query;
    for (size_t i = 0; i < asked.size(); ++i) {
      const bool last = i + 1 == asked.size();
      absl::StrAppend(&query,
                      i == 0 ? ""
                      : last ? ", and "
                             : ", ",
                      keys[asked[i]]);
      result.answers.insert(result.answers.end(), values[asked[i]].begin(),
                            values[asked[i]].end());
    }
    const bool one = shape_.queries * shape_.values == 1;
    std::string type = Plural();
    if (one) type.pop_back();
    const std::vector<std::pair<absl::string_view, absl::string_view>> fill = {
        {"$type", type}, {"$context", context}, {"$query", query}};
    result.text = absl::StrReplaceAll(one ? kTemplateOfOne : kTemplate, fill);
    result.answer_prefix =
        absl::StrReplaceAll(one ? kPrefixOfOne : kPrefix, fill);
    return result;
  }

 private:
  int64_t needles() const { return shape_.keys * shape_.values; }
  std::string Plural() const {
    if (shape_.value == NiahShape::kNumbers) return "numbers";
    return shape_.value == NiahShape::kUuids ? "uuids" : "words";
  }
  std::string Needle(const std::string& key, const std::string& value) const {
    return absl::StrCat("One of the special magic ", Plural(), " for ", key,
                        " is: ", value, ".");
  }

  // `size` words of the essay, from its beginning, again and again if it is
  // shorter; needles between sentences.
  std::string InEssay(Philox& rng, const std::vector<std::string>& needles,
                      int64_t size) const {
    std::string text;
    for (int64_t i = 0; i < size; ++i) {
      absl::StrAppend(&text, i == 0 ? "" : " ",
                      essay_[i % static_cast<int64_t>(essay_.size())]);
    }
    const std::vector<std::string> sentences = Sentences(text);
    const double count = static_cast<double>(sentences.size());
    std::vector<int64_t> places;
    for (int64_t depth : DrawWithoutReplacement(
             rng, kDepths, static_cast<int64_t>(needles.size()))) {
      // The points are whole per cents, 0, 3, 5, 8, ..., 100.
      const double percent =
          std::nearbyint(static_cast<double>(depth) * 100 / (kDepths - 1));
      places.push_back(static_cast<int64_t>(count * (percent / 100)));
    }
    std::sort(places.begin(), places.end());
    std::vector<std::string> parts;
    size_t next = 0;
    for (size_t i = 0; i <= sentences.size(); ++i) {
      while (next < places.size() && places[next] == static_cast<int64_t>(i)) {
        parts.push_back(needles[next++]);
      }
      if (i < sentences.size()) parts.push_back(sentences[i]);
    }
    return absl::StrJoin(parts, " ");
  }

  // `size` lines, of noise or of other needles, with the needles among them.
  template <typename DrawNew>
  std::string InLines(Philox& rng, const std::vector<std::string>& needles,
                      int64_t size, const DrawNew& draw_new) const {
    std::vector<std::string> lines;
    for (int64_t i = 0; i < size; ++i) {
      if (shape_.haystack == NiahShape::kNoise) {
        lines.push_back(kNoise);
      } else {
        const std::string key = draw_new(shape_.key);
        lines.push_back(Needle(key, draw_new(shape_.value)));
      }
    }
    std::vector<int64_t> places =
        DrawWithoutReplacement(rng, size, static_cast<int64_t>(needles.size()));
    std::sort(places.begin(), places.end());
    std::vector<std::string> all;
    size_t next = 0;
    for (int64_t i = 0; i < size; ++i) {
      if (next < places.size() && places[next] == i) {
        all.push_back(needles[next++]);
      }
      all.push_back(lines[i]);
    }
    return absl::StrJoin(all, "\n");
  }

  const NiahShape shape_;
  const std::vector<std::string> essay_;
  const bool short_;
};

}  // namespace

std::unique_ptr<RulerGenerator> MakeNiah(const NiahShape& shape,
                                         std::vector<std::string> essay_words,
                                         int64_t max_length) {
  return std::make_unique<Niah>(shape, std::move(essay_words), max_length);
}

}  // namespace lt2::tasks
