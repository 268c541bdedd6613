// Common words and frequent words: what occurs most often.

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "tasks/ruler/ruler_generator.h"
#include "tasks/ruler/words.h"

namespace lt2::tasks {
namespace {

// ---- Common words (cwe) -----------------------------------------------------

constexpr int64_t kCommon = 10;
constexpr char kCommonTemplate[] =
    "Below is a numbered list of words. In these words, some appear more often "
    "than others. Memorize the ones that appear most often.\n$context\n"
    "Question: What are the 10 most common words in the above list?";
constexpr char kCommonPrefix[] =
    " Answer: The top 10 words that appear most often in the list are:";

class CommonWords : public RulerGenerator {
 public:
  explicit CommonWords(int64_t max_length) : short_(max_length < 4096) {}

  int64_t min_size() const override { return kCommon + 1; }
  int64_t max_size() const override {
    return CompoundCount() + static_cast<int64_t>(SimpleWords().size());
  }
  int64_t step() const override { return 10; }
  int64_t max_new_tokens() const override { return 120; }

  // `size` different words.
  RulerText Generate(Philox& rng, int64_t /*index*/,
                     int64_t size) const override {
    std::vector<std::string> shown;
    const std::string example =
        short_ ? List(rng, 20, 3, 1, &shown) : List(rng, 40, 10, 3, &shown);
    RulerText text;
    const std::string list = short_ ? List(rng, size, 6, 1, &text.answers)
                                    : List(rng, size, 30, 3, &text.answers);
    text.text = absl::StrCat(Ask(example), kCommonPrefix, " ", Numbered(shown),
                             "\n", Ask(list));
    text.answer_prefix = kCommonPrefix;
    return text;
  }

 private:
  static std::string Ask(const std::string& list) {
    return absl::StrReplaceAll(kCommonTemplate, {{"$context", list}});
  }
  static std::string Numbered(const std::vector<std::string>& words) {
    std::string text;
    for (size_t i = 0; i < words.size(); ++i) {
      absl::StrAppend(&text, i == 0 ? "" : " ", i + 1, ". ", words[i]);
    }
    return text;
  }
  // Simple words; where they do not suffice, compounds too.
  static std::string List(Philox& rng, int64_t size, int64_t common_repeats,
                          int64_t repeats, std::vector<std::string>* common) {
    const std::vector<std::string>& simple = SimpleWords();
    const int64_t count = static_cast<int64_t>(simple.size());
    const int64_t pool = size <= count ? count : count + CompoundCount();
    std::vector<std::string> list;
    common->clear();
    for (int64_t i : DrawWithoutReplacement(rng, pool, size)) {
      const std::string word = i < count ? simple[i] : Compound(i - count);
      const bool is_common = static_cast<int64_t>(common->size()) < kCommon;
      if (is_common) common->push_back(word);
      list.insert(list.end(), is_common ? common_repeats : repeats, word);
    }
    rng.Shuffle(list);
    return Numbered(list);
  }

  const bool short_;
};

// ---- Frequent words (fwe) ---------------------------------------------------

constexpr int kLetters = 6;
constexpr int64_t kAsked = 3;
constexpr double kZetaOf2 = 1.6449340668482264;  // pi^2 / 6
constexpr char kFrequentTemplate[] =
    "Read the following coded text and track the frequency of each coded word. "
    "Find the three most frequently appeared coded words. $context\nQuestion: "
    "Do not provide any explanation. Please ignore the dots '....'. What are "
    "the three most frequently appeared words in the above coded text?";
constexpr char kFrequentPrefix[] =
    " Answer: According to the coded text above, the three most frequently "
    "appeared words are:";

class FrequentWords : public RulerGenerator {
 public:
  explicit FrequentWords(int64_t max_length)
      : words_((max_length - max_new_tokens()) / 50),
        step_((max_length - max_new_tokens()) / 32) {}

  // From 53 on rank 4 occurs more often than rank 5, so that there are three
  // most frequent words.
  int64_t min_size() const override { return 53; }
  int64_t step() const override { return step_; }
  int64_t max_new_tokens() const override { return 50; }

  // N = `size`: the word of rank r occurs floor(N / (r^2 zeta(2))) times; rank
  // 1 is the dots.
  RulerText Generate(Philox& rng, int64_t /*index*/,
                     int64_t size) const override {
    std::vector<std::string> words = {"..."};
    std::set<std::string> taken;
    while (static_cast<int64_t>(words.size()) < std::max(words_, kAsked + 2)) {
      std::string word;
      for (int i = 0; i < kLetters; ++i) {
        word += static_cast<char>('a' + rng.Below(26));
      }
      if (taken.insert(word).second) words.push_back(word);
    }
    std::vector<std::string> text;
    for (size_t r = 1; r <= words.size(); ++r) {
      const double rank = static_cast<double>(r);
      const double times = static_cast<double>(size) / (rank * rank) / kZetaOf2;
      text.insert(text.end(), static_cast<size_t>(times), words[r - 1]);
    }
    rng.Shuffle(text);
    RulerText result;
    const std::string context = absl::StrJoin(text, " ");
    result.text =
        absl::StrReplaceAll(kFrequentTemplate, {{"$context", context}});
    result.answer_prefix = kFrequentPrefix;
    result.answers.assign(words.begin() + 1, words.begin() + 1 + kAsked);
    return result;
  }

 private:
  const int64_t words_, step_;
};

}  // namespace

std::unique_ptr<RulerGenerator> MakeCommonWords(int64_t max_length) {
  return std::make_unique<CommonWords>(max_length);
}

std::unique_ptr<RulerGenerator> MakeFrequentWords(int64_t max_length) {
  return std::make_unique<FrequentWords>(max_length);
}

}  // namespace lt2::tasks
