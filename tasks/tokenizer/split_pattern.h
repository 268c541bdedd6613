// A pattern that cuts text into pieces, compiled.
//
// RE2 has no look-ahead. An alternative C+(?!D) (pattern_syntax.h) is therefore
// matched by hand: C+ by RE2, then characters given back from the end until the
// next one is not in D. Alternatives before it and after it stay in RE2, in
// their order, which makes the whole the same as a backtracking engine's
// ordered choice; README.md has the argument, split_pattern_test compares the
// two on all short strings.
//
// Thread-safe. Find is linear in the match's length and what RE2 looks at to
// decide it.

#ifndef LT2_TASKS_TOKENIZER_SPLIT_PATTERN_H_
#define LT2_TASKS_TOKENIZER_SPLIT_PATTERN_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "re2/re2.h"

namespace lt2::tasks {

class SplitPattern {
 public:
  // An error for what pattern_syntax.h does not take and for a pattern that
  // matches the empty string.
  static absl::StatusOr<std::unique_ptr<SplitPattern>> Compile(
      absl::string_view pattern);
  // A string as itself.
  static absl::StatusOr<std::unique_ptr<SplitPattern>> Literal(
      absl::string_view text);

  // The leftmost match that begins at `from` or later, in well-formed text; of
  // those that begin there, the one that backtracking would find first.
  bool Find(absl::string_view text, size_t from, size_t* begin,
            size_t* end) const;

 private:
  // A run of alternatives without look-ahead, or one with.
  struct Part {
    std::unique_ptr<RE2> re2;   // the alternatives, or C+
    std::unique_ptr<RE2> next;  // D; null without look-ahead
    bool must = false;          // (?=D)
  };
  SplitPattern() = default;
  bool MatchAt(absl::string_view text, size_t begin, size_t* end) const;

  std::vector<Part> parts_;
  std::unique_ptr<RE2> anywhere_;  // all alternatives, look-ahead left out
};

// The patterns of GPT-2 (r50k_base, p50k_base), cl100k_base and o200k_base.
extern const char kGpt2Pattern[];
extern const char kCl100kPattern[];
extern const char kO200kPattern[];

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TOKENIZER_SPLIT_PATTERN_H_
