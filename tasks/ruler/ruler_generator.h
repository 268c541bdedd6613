// What the RULER tasks have in common: a text of a given haystack size, drawn
// from a stream of random numbers. ruler.h finds the size.

#ifndef LT2_TASKS_RULER_RULER_GENERATOR_H_
#define LT2_TASKS_RULER_RULER_GENERATOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/core/philox.h"

namespace lt2::tasks {

struct RulerText {
  std::string text, answer_prefix;  // the prompt is both
  std::vector<std::string> answers;
};

class RulerGenerator {
 public:
  virtual ~RulerGenerator() = default;
  // Sizes below are impossible.
  virtual int64_t min_size() const = 0;
  // Sizes above make no sense (as a list of words with all there are).
  virtual int64_t max_size() const { return int64_t{1} << 24; }
  // By how much less a sample gets that did not fit.
  virtual int64_t step() const = 0;
  virtual int64_t max_new_tokens() const = 0;
  // -1: there is no end.
  virtual int64_t num_items() const { return -1; }
  // A pure function of its arguments and the state of `rng`. Size from
  // min_size() to max_size(), index >= 0 (and < num_items()).
  virtual RulerText Generate(Philox& rng, int64_t index,
                             int64_t size) const = 0;
};

using TokenCount = std::function<int64_t(absl::string_view)>;

// Needles in a haystack.
struct NiahShape {
  enum Haystack { kNoise, kEssay, kNeedles };
  enum Type { kWords, kNumbers, kUuids };
  Haystack haystack = kNoise;
  Type key = kWords, value = kNumbers;
  int64_t keys = 1, values = 1, queries = 1;
};
std::unique_ptr<RulerGenerator> MakeNiah(const NiahShape& shape,
                                         std::vector<std::string> essay_words,
                                         int64_t max_length);

// Chains of assignments in noise, one of `hops` hops; `count` sizes the worked
// example, which is a function of the seed.
std::unique_ptr<RulerGenerator> MakeVariableTracking(uint64_t seed,
                                                     int64_t max_length,
                                                     const TokenCount& count);
std::unique_ptr<RulerGenerator> MakeCommonWords(int64_t max_length);
std::unique_ptr<RulerGenerator> MakeFrequentWords(int64_t max_length);

// A question, its answers and where they are found.
struct QaItem {
  std::string question;
  std::vector<std::string> answers;
  std::vector<int64_t> gold;  // indices of documents: the evidence
  std::vector<int64_t> near;  // of the same article: distractors to take first
};
struct QaData {
  std::vector<std::string> documents;
  std::vector<QaItem> items;
};
// From the text of a file of questions; formats in README.md. Errors name the
// line or item.
absl::StatusOr<QaData> ReadSquad(absl::string_view text);
absl::StatusOr<QaData> ReadHotpot(absl::string_view text);
std::unique_ptr<RulerGenerator> MakeQa(QaData data, int64_t max_length);

// `k` of {0, ..., n-1} without replacement, in the order drawn.
std::vector<int64_t> DrawWithoutReplacement(Philox& rng, int64_t n, int64_t k);

// `text` in sentences: after [.!?] and closing quotes or brackets, where white
// space and then no lower-case letter follows. Joined by spaces they are `text`
// again if its white space is single spaces.
std::vector<std::string> Sentences(absl::string_view text);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_RULER_RULER_GENERATOR_H_
