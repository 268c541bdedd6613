// For tests: a regular expression interpreted literally, by trying everything
// in order. Slow, and independent of RE2: classes are looked up in a table of
// general categories of the few characters that a test uses.
//
// Takes what the patterns of tokenizers use: | ( ) (?: (?i: (?! (?= [ ] . $
// (the end of the text), * + ? {m} {m,} {m,n} with ? and + behind, \s \S \d \p
// \P and escaped characters. Wrong patterns abort.

#ifndef LT2_TASKS_TOKENIZER_BACKTRACKING_H_
#define LT2_TASKS_TOKENIZER_BACKTRACKING_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace lt2::tasks {

class BacktrackingPattern {
 public:
  // Code point -> general category ("Ll"), for every character that will occur
  // in a text.
  using Categories = std::map<char32_t, std::string>;

  BacktrackingPattern(const std::u32string& pattern,
                      const Categories& categories);
  ~BacktrackingPattern();

  // The matches, each [begin, end), from left to right without overlap.
  std::vector<std::pair<size_t, size_t>> FindAll(
      const std::u32string& text) const;

 private:
  struct Node;
  using NodePtr = std::unique_ptr<Node>;
  using Continue = std::function<bool(size_t)>;

  NodePtr ParseAlternation();
  NodePtr ParseConcatenation();
  NodePtr ParseAtom();
  NodePtr ParseQuantifier(NodePtr atom);
  NodePtr ParseBracket();
  NodePtr ParseEscape();
  bool Ahead(const char32_t* text) const;
  bool Take(const char32_t* text);
  int TakeNumber();

  bool InClass(const Node& node, char32_t c) const;
  bool Match(const Node& node, const std::u32string& text, size_t at,
             const Continue& next) const;
  bool MatchSequence(const Node& node, size_t child, const std::u32string& text,
                     size_t at, const Continue& next) const;
  bool MatchRepeat(const Node& node, int count, const std::u32string& text,
                   size_t at, const Continue& next) const;

  const std::u32string pattern_;
  const Categories& categories_;
  size_t at_ = 0;
  bool fold_case_ = false;
  NodePtr root_;
};

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TOKENIZER_BACKTRACKING_H_
