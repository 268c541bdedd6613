#include "tasks/tokenizer/pattern_syntax.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "kernels/core/json/strict_json.h"
#include "kernels/core/status.h"
#include "re2/re2.h"
#include "tasks/tokenizer/newer_unicode.h"
#include "tasks/tokenizer/unicode.h"

namespace lt2::tasks {
namespace {

// Alphabetic is L, Nl and Other_Alphabetic, which outside M is only the
// circled and squared letters.
constexpr char kOlderWordRanges[] =
    "\\pL\\p{Nl}\\pM\\p{Nd}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}"
    "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}";

constexpr int kDeepest = 32;
constexpr int kMostRepeats = 1000;  // RE2's own limit
constexpr size_t kLongest = 4096;

// What one element of a concatenation became.
struct Item {
  std::string re2;             // without its quantifier
  std::string quantifier;      // "", "*", "{2,3}", "+?", ...
  bool one_character = false;  // always matches exactly one
  bool group = false;
  bool possessive = false;
};

std::string CodePointEscape(uint32_t code_point) {
  return absl::StrFormat("\\x{%x}", code_point);
}

class Parser {
 public:
  explicit Parser(absl::string_view pattern) : pattern_(pattern) {}

  absl::StatusOr<std::vector<PatternAlternative>> Parse() {
    std::vector<PatternAlternative> alternatives;
    if (pattern_.size() > kLongest) {
      return InvalidArgument("a pattern of ", pattern_.size(),
                             " bytes, at most ", kLongest, " are taken");
    }
    if (WellFormedPrefix(pattern_) != pattern_.size()) {
      return InvalidArgument("pattern ", Quoted(pattern_), " is not UTF-8");
    }
    do {
      PatternAlternative alternative;
      LT2_ASSIGN_OR_RETURN(const std::vector<Item> items,
                           ParseItems(/*depth=*/0, &alternative));
      if (items.empty()) return Error("an empty alternative");
      for (const Item& item : items) {
        alternative.re2 += item.re2 + item.quantifier;
      }
      alternatives.push_back(std::move(alternative));
    } while (Take("|"));
    if (at_ < pattern_.size()) return Error("a ) without its (");
    return alternatives;
  }

 private:
  absl::Status Error(absl::string_view what) const {
    return InvalidArgument("pattern ", Quoted(pattern_), " at byte ", at_, ": ",
                           what, " is not supported");
  }
  absl::string_view Rest() const { return pattern_.substr(at_); }
  bool Ahead(absl::string_view text) const {
    return Rest().substr(0, text.size()) == text;
  }
  bool Take(absl::string_view text) {
    if (!Ahead(text)) return false;
    at_ += text.size();
    return true;
  }
  uint32_t TakeCodePoint() {
    const Utf8Step step = NextUtf8(Rest());
    at_ += step.length;
    return step.code_point;
  }

  // Up to | or ) or the end. `alternative` takes the look-ahead; it is null
  // inside groups, where there may be none.
  absl::StatusOr<std::vector<Item>> ParseItems(
      int depth, PatternAlternative* alternative) {
    std::vector<Item> items;
    std::string letters;  // literals since the last thing that is none
    while (at_ < pattern_.size() && !Ahead("|") && !Ahead(")")) {
      if (Ahead("(?!") || Ahead("(?=")) {
        LT2_RETURN_IF_ERROR(ParseLookAhead(items, alternative));
        return items;
      }
      if (!items.empty() && items.back().possessive) {
        return Error("a possessive quantifier before the end");
      }
      const char first = pattern_[at_];
      LT2_ASSIGN_OR_RETURN(Item item, ParseAtom(depth));
      // Oniguruma's (?i:ss) matches U+00DF as well.
      if (fold_case_ > 0) {
        letters = absl::ascii_isalpha(first)
                      ? letters + absl::ascii_tolower(first)
                      : std::string();
        for (const char* pair : {"ss", "ff", "fi", "fl", "st"}) {
          if (letters.size() > 1 &&
              letters.substr(letters.size() - 2) == pair) {
            return Error("(?i:) with letters that fold together");
          }
        }
      }
      LT2_RETURN_IF_ERROR(ParseQuantifier(alternative != nullptr, &item));
      if (!item.quantifier.empty()) letters.clear();
      items.push_back(std::move(item));
    }
    return items;
  }

  absl::Status ParseLookAhead(const std::vector<Item>& items,
                              PatternAlternative* alternative) {
    if (alternative == nullptr || items.size() != 1 ||
        !items[0].one_character || items[0].quantifier != "+" ||
        items[0].possessive) {
      return Error("look-ahead other than C+(?!D), C and D one class each,");
    }
    const bool is_not = Ahead("(?!");
    at_ += 3;
    if (at_ == pattern_.size()) return Error("a ( without its )");
    LT2_ASSIGN_OR_RETURN(const Item next, ParseAtom(/*depth=*/0));
    if (!next.one_character || !Take(")") ||
        (at_ < pattern_.size() && !Ahead("|"))) {
      return Error("look-ahead other than C+(?!D), C and D one class each,");
    }
    alternative->look_ahead =
        is_not ? PatternAlternative::kNot : PatternAlternative::kMust;
    alternative->repeated = items[0].re2;
    alternative->next = next.re2;
    return absl::OkStatus();
  }

  absl::StatusOr<Item> ParseAtom(int depth) {
    Item item;
    if (Ahead("(")) return ParseGroup(depth);
    item.one_character = true;
    if (Ahead("[")) {
      LT2_ASSIGN_OR_RETURN(item.re2, ParseClass());
    } else if (Take(".")) {
      item.re2 = "[^\\n]";
    } else if (Ahead("\\")) {
      uint32_t code_point = 0;
      bool negative = false;
      LT2_ASSIGN_OR_RETURN(std::string ranges,
                           ParseEscape(&code_point, &negative));
      if (ranges.empty()) {
        LT2_RETURN_IF_ERROR(CheckFolding(code_point));
        ranges = CodePointEscape(code_point);
      }
      item.re2 = absl::StrCat(negative ? "[^" : "[", ranges, "]");
    } else if (std::string("^$*+?{").find(pattern_[at_]) != std::string::npos) {
      return Error(absl::StrCat("'", Rest().substr(0, 1), "' here"));
    } else {
      const uint32_t code_point = TakeCodePoint();
      LT2_RETURN_IF_ERROR(CheckFolding(code_point));
      item.re2 = "[" + CodePointEscape(code_point) + "]";
    }
    return item;
  }

  absl::Status CheckFolding(uint32_t code_point) const {
    if (fold_case_ == 0 || code_point < 0x80) return absl::OkStatus();
    return Error("(?i:) with characters that are not ASCII");
  }

  absl::StatusOr<Item> ParseGroup(int depth) {
    if (depth == kDeepest) return Error("such deep nesting");
    Item item;
    item.group = true;
    bool fold_case = false;
    if (Take("(?i:")) {
      fold_case = true;
      item.re2 = "(?i:";
    } else if (Take("(?:") || (!Ahead("(?") && !Ahead("(*") && Take("("))) {
      item.re2 = "(?:";
    } else {
      return Error(absl::StrCat("a group that begins with ",
                                Quoted(Rest().substr(0, 4))));
    }
    fold_case_ += fold_case;
    bool first = true;
    do {
      LT2_ASSIGN_OR_RETURN(const std::vector<Item> items,
                           ParseItems(depth + 1, nullptr));
      if (!first) item.re2 += "|";
      first = false;
      for (const Item& inner : items) item.re2 += inner.re2 + inner.quantifier;
    } while (Take("|"));
    if (!Take(")")) return Error("a ( without its )");
    item.re2 += ")";
    fold_case_ -= fold_case;
    return item;
  }

  absl::Status ParseQuantifier(bool top_level, Item* item) {
    if (Take("*") || Take("+") || Take("?")) {
      item->quantifier = pattern_.substr(at_ - 1, 1).data()[0];
      if (Take("?")) {
        item->quantifier += "?";
      } else if (Take("+")) {
        if (!top_level) return Error("a possessive quantifier in a group");
        item->possessive = true;
      }
    } else if (Ahead("{")) {
      const size_t end = Rest().find('}');
      static const RE2* const kCounts =
          new RE2("\\{(\\d{1,4})(,(\\d{0,4}))?\\}");
      const std::string text(
          Rest().substr(0, end == absl::string_view::npos ? 0 : end + 1));
      int low = 0;
      std::string comma, high;
      if (!RE2::FullMatch(text, *kCounts, &low, &comma, &high) ||
          low > kMostRepeats ||
          (!high.empty() &&
           (std::stoi(high) > kMostRepeats || std::stoi(high) < low))) {
        return Error("'{' without counts from 0 to 1000");
      }
      at_ += text.size();
      item->quantifier = text;
      // {m}? and {m,n}+ mean different things to the two engines.
      if (Ahead("+") || (comma.empty() && Ahead("?"))) {
        return Error("a quantifier of a quantifier");
      }
      if (Take("?")) item->quantifier += "?";
    }
    if (item->quantifier.empty()) return absl::OkStatus();
    if (Ahead("*") || Ahead("+") || Ahead("?") || Ahead("{")) {
      return Error("a quantifier of a quantifier");
    }
    // Engines differ in how often they repeat what matches nothing.
    if (item->group && item->quantifier[0] != '?') {
      const RE2 group(item->re2, RE2::Quiet);
      if (!group.ok()) return Error(group.error());
      if (RE2::FullMatch("", group)) {
        return Error("repeating a group that may match nothing");
      }
    }
    return absl::OkStatus();
  }

  // [...] to [...].
  absl::StatusOr<std::string> ParseClass() {
    Take("[");
    std::string result = Take("^") ? "[^" : "[";
    bool first = true;
    while (!Take("]")) {
      if (at_ == pattern_.size()) return Error("a [ without its ]");
      if (Ahead("[") || Ahead("&&")) return Error("a class inside a class");
      uint32_t low = 0;
      if (Ahead("-") && !first && !Ahead("-]")) {
        return Error("'-' neither first nor last in a class nor in a range");
      }
      LT2_ASSIGN_OR_RETURN(const std::string ranges, ClassMember(&low));
      first = false;
      if (!ranges.empty()) {
        if (Ahead("-") && !Ahead("-]")) return Error("a range from a class");
        result += ranges;
        continue;
      }
      result += CodePointEscape(low);
      if (!Ahead("-") || Ahead("-]")) continue;
      Take("-");
      if (at_ == pattern_.size()) return Error("a [ without its ]");
      if (Ahead("[") || Ahead("&&")) return Error("a class inside a class");
      uint32_t high = 0;
      LT2_ASSIGN_OR_RETURN(const std::string end, ClassMember(&high));
      if (!end.empty() || high < low) return Error("a range to here");
      if (fold_case_ > 0) return Error("(?i:) with a range");
      result += "-" + CodePointEscape(high);
    }
    if (first) return Error("an empty class");
    return result + "]";
  }

  // The ranges of a class escape, or "" and a code point.
  absl::StatusOr<std::string> ClassMember(uint32_t* code_point) {
    if (Ahead("\\")) {
      LT2_ASSIGN_OR_RETURN(std::string ranges,
                           ParseEscape(code_point, nullptr));
      if (ranges.empty()) LT2_RETURN_IF_ERROR(CheckFolding(*code_point));
      return ranges;
    }
    *code_point = TakeCodePoint();
    LT2_RETURN_IF_ERROR(CheckFolding(*code_point));
    return std::string();
  }

  // \p{name} or, if not `positive`, what is not in it. Inside a bracket
  // (`negative` is null) RE2 has no way to take characters out again.
  absl::StatusOr<std::string> Category(absl::string_view name, bool positive,
                                       bool* negative) {
    const absl::string_view newer = NewerRanges(name);
    if (!positive && negative == nullptr) {
      if (!newer.empty()) return Error("the complement of a class in a class");
      return absl::StrCat("\\P{", name, "}");
    }
    if (!positive) *negative = true;
    return absl::StrCat("\\p{", name, "}", newer);
  }

  // The inside of an RE2 bracket, or "" and a code point. Outside of brackets
  // `negative` is not null, and set if the complement is meant.
  absl::StatusOr<std::string> ParseEscape(uint32_t* code_point,
                                          bool* negative) {
    Take("\\");
    if (at_ == pattern_.size()) return Error("a \\ at the end");
    if (Ahead("p{") || Ahead("P{")) {
      if (fold_case_ > 0) return Error("(?i:) with \\p");
      static const RE2* const kName = new RE2("[pP]\\{(\\^?)([A-Za-z_]+)\\}");
      const size_t end = Rest().find('}');
      const std::string text(
          Rest().substr(0, end == absl::string_view::npos ? 0 : end + 1));
      std::string caret, name;
      if (!RE2::FullMatch(text, *kName, &caret, &name) || name == "C" ||
          name == "Cn" || name == "Any") {
        return Error("this \\p");
      }
      if (!RE2("\\p{" + name + "}", RE2::Quiet).ok()) {
        return Error(absl::StrCat("\\p{", name, "}"));
      }
      const bool positive = (text[0] == 'p') == caret.empty();
      LT2_ASSIGN_OR_RETURN(const std::string result,
                           Category(name, positive, negative));
      at_ += text.size();
      return result;
    }
    if (Ahead("x{") || Ahead("u")) {
      static const RE2* const kHex = new RE2(
          "(?:x\\{([0-9A-Fa-f]{1,6})\\}|u([0-9A-Fa-f]{4})).*", RE2::Latin1);
      std::string braced, four;
      const std::string text(Rest().substr(0, 9));
      if (!RE2::FullMatch(text, *kHex, &braced, &four)) {
        return Error("this escape");
      }
      const uint32_t value = static_cast<uint32_t>(
          std::stoul(braced.empty() ? four : braced, nullptr, 16));
      if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
        return Error("a code point that is none");
      }
      at_ += braced.empty() ? 5 : braced.size() + 3;
      *code_point = value;
      return std::string();
    }
    const char c = pattern_[at_];
    switch (c) {
      case 's':
        ++at_;
        return std::string(kWhiteSpaceRanges);
      case 'S':
        ++at_;
        return std::string(kNotWhiteSpaceRanges);
      case 'd':
      case 'D': {
        LT2_ASSIGN_OR_RETURN(const std::string result,
                             Category("Nd", c == 'd', negative));
        ++at_;
        return result;
      }
      case 'w':
        ++at_;
        return absl::StrCat(WordRanges(),
                            "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}");
      default:
        break;
    }
    static const std::pair<char, uint32_t> kControls[] = {
        {'r', '\r'}, {'n', '\n'}, {'t', '\t'}, {'f', '\f'}, {'v', '\v'}};
    for (const auto& [name, value] : kControls) {
      if (c != name) continue;
      ++at_;
      *code_point = value;
      return std::string();
    }
    if (!absl::ascii_ispunct(c)) return Error("this escape");
    *code_point = TakeCodePoint();
    return std::string();
  }

  const absl::string_view pattern_;
  size_t at_ = 0;
  int fold_case_ = 0;
};

}  // namespace

std::string WordRanges() {
  return absl::StrCat(kOlderWordRanges, kNewerWordRanges);
}

absl::StatusOr<std::vector<PatternAlternative>> ParsePattern(
    absl::string_view pattern) {
  return Parser(pattern).Parse();
}

}  // namespace lt2::tasks
