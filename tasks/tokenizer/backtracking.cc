#include "tasks/tokenizer/backtracking.h"

#include <limits>

#include "kernels/core/status.h"
#include "tasks/tokenizer/unicode.h"

namespace lt2::tasks {

struct BacktrackingPattern::Node {
  enum Kind {
    kClass,  // of code points, categories and other classes; maybe negated
    kSpace,
    kRange,
    kCategory,
    kSequence,
    kChoice,
    kRepeat,
    kLook,
    kEnd
  } kind;
  std::vector<NodePtr> children;
  bool negated = false;
  bool fold_case = false;
  char32_t low = 0, high = 0;  // kRange
  std::string category;
  int min = 0, max = 0;  // kRepeat
  enum { kGreedy, kLazy, kPossessive } style = kGreedy;

  static NodePtr Make(Kind kind) {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    return node;
  }
};

namespace {

// Simple case folding of what tests use: ASCII and the two characters that
// fold into it.
char32_t Fold(char32_t c) {
  if (c >= 'A' && c <= 'Z') return c + 32;
  if (c == 0x17F) return 's';
  if (c == 0x212A) return 'k';
  return c;
}

}  // namespace

BacktrackingPattern::BacktrackingPattern(const std::u32string& pattern,
                                         const Categories& categories)
    : pattern_(pattern), categories_(categories) {
  root_ = ParseAlternation();
  LT2_CHECK(at_ == pattern_.size(), "at ", at_);
}

BacktrackingPattern::~BacktrackingPattern() = default;

bool BacktrackingPattern::Ahead(const char32_t* text) const {
  return pattern_.compare(at_, std::u32string(text).size(), text) == 0;
}

bool BacktrackingPattern::Take(const char32_t* text) {
  if (!Ahead(text)) return false;
  at_ += std::u32string(text).size();
  return true;
}

int BacktrackingPattern::TakeNumber() {
  int number = 0;
  while (pattern_[at_] >= '0' && pattern_[at_] <= '9') {
    number = number * 10 + static_cast<int>(pattern_[at_++] - '0');
  }
  return number;
}

BacktrackingPattern::NodePtr BacktrackingPattern::ParseAlternation() {
  auto choice = Node::Make(Node::kChoice);
  do {
    choice->children.push_back(ParseConcatenation());
  } while (Take(U"|"));
  return choice;
}

BacktrackingPattern::NodePtr BacktrackingPattern::ParseConcatenation() {
  auto sequence = Node::Make(Node::kSequence);
  while (at_ < pattern_.size() && !Ahead(U"|") && !Ahead(U")")) {
    sequence->children.push_back(ParseQuantifier(ParseAtom()));
  }
  return sequence;
}

BacktrackingPattern::NodePtr BacktrackingPattern::ParseAtom() {
  if (Ahead(U"[")) return ParseBracket();
  if (Ahead(U"\\")) return ParseEscape();
  if (Take(U"$")) return Node::Make(Node::kEnd);
  const bool is_not = Ahead(U"(?!");
  if (Take(U"(?!") || Take(U"(?=")) {
    auto look = Node::Make(Node::kLook);
    look->negated = is_not;
    look->children.push_back(ParseAlternation());
    LT2_CHECK(Take(U")"));
    return look;
  }
  const bool before = fold_case_;
  if (Take(U"(?i:")) {
    fold_case_ = true;
  } else if (!Take(U"(?:") && !Take(U"(")) {
    auto node = Node::Make(Node::kRange);
    node->fold_case = fold_case_;
    if (Take(U".")) {
      node->negated = true;
      node->low = node->high = '\n';
    } else {
      node->low = node->high = pattern_[at_++];
    }
    return node;
  }
  NodePtr group = ParseAlternation();
  LT2_CHECK(Take(U")"));
  fold_case_ = before;
  return group;
}

BacktrackingPattern::NodePtr BacktrackingPattern::ParseQuantifier(
    NodePtr atom) {
  constexpr int kMany = std::numeric_limits<int>::max();
  auto repeat = Node::Make(Node::kRepeat);
  repeat->max = kMany;
  if (Take(U"*")) {
    repeat->min = 0;
  } else if (Take(U"+")) {
    repeat->min = 1;
  } else if (Take(U"?")) {
    repeat->max = 1;
  } else if (Take(U"{")) {
    repeat->min = repeat->max = TakeNumber();
    if (Take(U",")) repeat->max = Ahead(U"}") ? kMany : TakeNumber();
    LT2_CHECK(Take(U"}"));
  } else {
    return atom;
  }
  if (Take(U"?")) repeat->style = Node::kLazy;
  if (Take(U"+")) repeat->style = Node::kPossessive;
  repeat->children.push_back(std::move(atom));
  return repeat;
}

BacktrackingPattern::NodePtr BacktrackingPattern::ParseBracket() {
  Take(U"[");
  auto node = Node::Make(Node::kClass);
  node->negated = Take(U"^");
  while (!Take(U"]")) {
    if (Ahead(U"\\")) {
      node->children.push_back(ParseEscape());
    } else {
      auto range = Node::Make(Node::kRange);
      range->fold_case = fold_case_;
      range->low = range->high = pattern_[at_++];
      if (Ahead(U"-") && !Ahead(U"-]")) {
        Take(U"-");
        range->high = pattern_[at_++];
      }
      node->children.push_back(std::move(range));
    }
  }
  return node;
}

BacktrackingPattern::NodePtr BacktrackingPattern::ParseEscape() {
  Take(U"\\");
  const char32_t c = pattern_[at_++];
  NodePtr node;
  if (c == 's' || c == 'S') {
    node = Node::Make(Node::kSpace);
    node->negated = c == 'S';
  } else if (c == 'd') {
    node = Node::Make(Node::kCategory);
    node->category = "Nd";
  } else if (c == 'p' || c == 'P') {
    node = Node::Make(Node::kCategory);
    node->negated = c == 'P';
    LT2_CHECK(Take(U"{"));
    while (!Take(U"}")) {
      node->category.push_back(static_cast<char>(pattern_[at_++]));
    }
  } else {
    node = Node::Make(Node::kRange);
    node->low = node->high = c == 'r'   ? U'\r'
                             : c == 'n' ? U'\n'
                             : c == 't' ? U'\t'
                                        : c;
  }
  return node;
}

bool BacktrackingPattern::InClass(const Node& node, char32_t c) const {
  bool in = false;
  switch (node.kind) {
    case Node::kSpace:
      in = IsWhiteSpace(c);
      break;
    case Node::kRange:
      in = node.fold_case ? Fold(c) == Fold(node.low)
                          : c >= node.low && c <= node.high;
      break;
    case Node::kCategory: {
      const auto category = categories_.find(c);
      LT2_CHECK(category != categories_.end(), "category of ", c);
      in = category->second.rfind(node.category, 0) == 0;
      break;
    }
    default:
      LT2_CHECK(node.kind == Node::kClass);
      for (const NodePtr& child : node.children) in |= InClass(*child, c);
  }
  return in != node.negated;
}

bool BacktrackingPattern::Match(const Node& node, const std::u32string& text,
                                size_t at, const Continue& next) const {
  switch (node.kind) {
    case Node::kSequence:
      return MatchSequence(node, 0, text, at, next);
    case Node::kChoice:
      for (const NodePtr& child : node.children) {
        if (Match(*child, text, at, next)) return true;
      }
      return false;
    case Node::kRepeat:
      return MatchRepeat(node, 0, text, at, next);
    case Node::kLook: {
      const bool found =
          Match(*node.children[0], text, at, [](size_t) { return true; });
      return found != node.negated && next(at);
    }
    case Node::kEnd:
      return at == text.size() && next(at);
    default:
      return at < text.size() && InClass(node, text[at]) && next(at + 1);
  }
}

bool BacktrackingPattern::MatchSequence(const Node& node, size_t child,
                                        const std::u32string& text, size_t at,
                                        const Continue& next) const {
  if (child == node.children.size()) return next(at);
  return Match(*node.children[child], text, at, [&](size_t end) {
    return MatchSequence(node, child + 1, text, end, next);
  });
}

bool BacktrackingPattern::MatchRepeat(const Node& node, int count,
                                      const std::u32string& text, size_t at,
                                      const Continue& next) const {
  const auto again = [&](const Continue& then) {
    return count < node.max &&
           Match(*node.children[0], text, at, [&](size_t end) {
             return end > at && MatchRepeat(node, count + 1, text, end, then);
           });
  };
  if (node.style == Node::kPossessive) {
    // The first way to match, and no other.
    size_t end = at;
    const Continue keep = [&](size_t place) {
      end = place;
      return true;
    };
    if (!again(keep)) {
      if (count < node.min) return false;
      end = at;
    }
    return next(end);
  }
  if (node.style == Node::kLazy) {
    return (count >= node.min && next(at)) || again(next);
  }
  return again(next) || (count >= node.min && next(at));
}

std::vector<std::pair<size_t, size_t>> BacktrackingPattern::FindAll(
    const std::u32string& text) const {
  std::vector<std::pair<size_t, size_t>> matches;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    const bool found = Match(*root_, text, at, [&](size_t place) {
      end = place;
      return true;
    });
    if (found) {
      LT2_CHECK(end > at, "an empty match");
      matches.emplace_back(at, end);
      at = end;
    } else {
      ++at;
    }
  }
  return matches;
}

}  // namespace lt2::tasks
