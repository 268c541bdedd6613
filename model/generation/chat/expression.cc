#include "model/generation/chat/expression.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace lt2::model::chat {
namespace {

constexpr int kMaxDepth = 100;
// Of all values that one expression takes from its names.
constexpr int64_t kMaxTaken = int64_t{256} << 20;

bool IsNameStart(char c) { return absl::ascii_isalpha(c) || c == '_'; }
bool IsName(char c) { return absl::ascii_isalnum(c) || c == '_'; }

// Parses and evaluates at once. While skipping_ (the side of an `and`, `or` or
// `if` that does not count) it only parses. The first error stays.
class Evaluator {
 public:
  Evaluator(absl::string_view text, const Scopes& scopes)
      : text_(text), scopes_(scopes) {}

  absl::StatusOr<Value> Run() {
    Value value = Conditional();
    if (ok() && !AtEnd()) Fail("unexpected '", text_.substr(at_), "'");
    if (!ok()) return status_;
    return value;
  }

 private:
  // --- text ---------------------------------------------------------------
  bool ok() const { return status_.ok(); }
  template <typename... Args>
  Value Fail(const Args&... args) {
    if (ok()) {
      status_ = absl::InvalidArgumentError(absl::StrCat(
          args..., " in '", absl::StripAsciiWhitespace(text_), "'"));
    }
    return Undefined();
  }
  void SkipSpace() {
    while (at_ < text_.size() && absl::ascii_isspace(text_[at_])) ++at_;
  }
  bool AtEnd() {
    SkipSpace();
    return at_ >= text_.size();
  }
  bool Peek(absl::string_view token) {
    SkipSpace();
    if (!absl::StartsWith(text_.substr(at_), token)) return false;
    if (!IsNameStart(token[0])) return true;
    const size_t end = at_ + token.size();
    return end >= text_.size() || !IsName(text_[end]);
  }
  bool Take(absl::string_view token) {
    if (!ok() || !Peek(token)) return false;
    at_ += token.size();
    return true;
  }
  void Expect(absl::string_view token) {
    if (ok() && !Take(token)) {
      Fail("expected '", token, "' before '", text_.substr(at_), "'");
    }
  }
  std::string Name() {
    SkipSpace();
    const size_t begin = at_;
    while (at_ < text_.size() && IsName(text_[at_])) ++at_;
    if (begin == at_ || !IsNameStart(text_[begin])) {
      Fail("expected a name before '", text_.substr(begin), "'");
      return "";
    }
    return std::string(text_.substr(begin, at_ - begin));
  }

  // --- operators, weakest first -------------------------------------------
  Value Conditional() {
    if (++depth_ > kMaxDepth) return Fail("an expression nested too deeply");
    const size_t begin = at_;
    // The condition stands behind the value: skip this, then come back.
    ++skipping_;
    Or();
    --skipping_;
    Value value;
    if (skipping_ > 0) {
      if (Take("if")) {
        Or();
        if (Take("else")) Conditional();
      }
    } else if (Take("if")) {
      const bool condition = Truth(Or());
      const size_t after = at_;
      if (condition) {
        at_ = begin;
        value = Or();
        at_ = after;
      } else {
        value = Undefined();
      }
      if (Take("else")) {
        skipping_ += condition;
        Value other = Conditional();
        skipping_ -= condition;
        if (!condition) value = std::move(other);
      }
    } else if (ok()) {
      at_ = begin;
      value = Or();
    }
    --depth_;
    return value;
  }
  Value Or() {
    Value left = And();
    while (Take("or")) {
      const bool decided = skipping_ > 0 || Truth(left);
      skipping_ += decided;
      Value right = And();
      skipping_ -= decided;
      if (!decided) left = std::move(right);
    }
    return left;
  }
  Value And() {
    Value left = Not();
    while (Take("and")) {
      const bool decided = skipping_ > 0 || !Truth(left);
      skipping_ += decided;
      Value right = Not();
      skipping_ -= decided;
      if (!decided) left = std::move(right);
    }
    return left;
  }
  Value Not() {
    bool negate = false, any = false;
    while (Take("not")) {
      negate = !negate;
      any = true;
    }
    Value value = Comparison();
    return any ? Value(Truth(value) != negate) : value;
  }
  Value Comparison() {
    Value left = Sum();
    while (ok()) {
      if (Take("==")) {
        const Value right = Sum();
        left = Equal(left, right);
      } else if (Take("!=")) {
        const Value right = Sum();
        left = !Equal(left, right);
      } else if (Take("<=")) {
        left = Order(left, Sum(), [](int c) { return c <= 0; });
      } else if (Take(">=")) {
        left = Order(left, Sum(), [](int c) { return c >= 0; });
      } else if (Take("<")) {
        left = Order(left, Sum(), [](int c) { return c < 0; });
      } else if (Take(">")) {
        left = Order(left, Sum(), [](int c) { return c > 0; });
      } else if (Take("in")) {
        left = In(left, Sum());
      } else if (Peek("not")) {
        Take("not");
        Expect("in");
        left = !Truth(In(left, Sum()));
      } else if (Take("is")) {
        const bool negate = Take("not");
        left = Truth(Unwrap(IsTest(left, Name()))) != negate;
      } else {
        break;
      }
    }
    return left;
  }
  Value Sum() {
    Value left = Product();
    while (ok()) {
      if (Take("~")) {
        const Value right = Product();
        left = ToText(left) + ToText(right);
      } else if (Take("+")) {
        const Value right = Product();
        if (skipping_ > 0) continue;
        if (left.is_string() && right.is_string()) {
          left = left.get<std::string>() + right.get<std::string>();
        } else if (left.is_array() && right.is_array()) {
          for (const Value& item : right) left.push_back(item);
        } else {
          left = Arithmetic('+', left, right);
        }
      } else if (Take("-")) {
        const Value right = Product();
        if (skipping_ == 0) left = Arithmetic('-', left, right);
      } else {
        break;
      }
    }
    return left;
  }
  Value Product() {
    Value left = Postfix();
    while (ok()) {
      const char op = Peek("*") ? '*' : Peek("%") ? '%' : 0;
      if (op == 0) break;
      ++at_;
      const Value right = Postfix();
      if (skipping_ == 0) left = Arithmetic(op, left, right);
    }
    return left;
  }
  Value Arithmetic(char op, const Value& a, const Value& b) {
    if (!a.is_number_integer() || !b.is_number_integer()) {
      return Fail("operator '", std::string(1, op), "' on ", Describe(a),
                  " and ", Describe(b));
    }
    const int64_t x = a.get<int64_t>(), y = b.get<int64_t>();
    int64_t result = 0;
    bool overflow = false;
    if (op == '%') {
      if (y <= 0) return Fail("remainder by ", y);
      return (x % y + y) % y;
    }
    if (op == '+') overflow = __builtin_add_overflow(x, y, &result);
    if (op == '-') overflow = __builtin_sub_overflow(x, y, &result);
    if (op == '*') overflow = __builtin_mul_overflow(x, y, &result);
    return overflow ? Fail("a number too large") : Value(result);
  }
  template <typename Accept>
  Value Order(const Value& a, const Value& b, Accept accept) {
    if (skipping_ > 0) return Undefined();
    if ((a.is_number() && b.is_number()) || (a.is_string() && b.is_string())) {
      return accept(a < b ? -1 : a == b ? 0 : 1);
    }
    return Fail("an order of ", Describe(a), " and ", Describe(b));
  }
  Value In(const Value& item, const Value& container) {
    return skipping_ > 0 ? Undefined() : Unwrap(Contains(item, container));
  }
  // The error of an operation on values becomes the expression's.
  Value Unwrap(absl::StatusOr<Value> value) {
    return value.ok() ? *std::move(value) : Fail(value.status().message());
  }

  // --- values ---------------------------------------------------------------
  Value Postfix() {
    if (Take("-")) {
      const Value value = Primary();
      return skipping_ > 0 ? Undefined() : Arithmetic('-', 0, value);
    }
    Value value = Primary();
    while (ok()) {
      if (Take(".")) {
        const std::string name = Name();
        value = Take("(") ? Method(value, name) : Key(value, name);
      } else if (Take("[")) {
        value = Subscript(value);
      } else if (Take("|")) {
        value = Filter(value, Name());
      } else {
        break;
      }
    }
    return value;
  }
  Value Key(const Value& value, const std::string& name) {
    if (skipping_ > 0) return Undefined();
    if (value.is_discarded()) return Fail("undefined has no '", name, "'");
    if (!value.is_object()) return Undefined();
    const auto it = value.find(name);
    return it == value.end() ? Undefined() : *it;
  }
  Value Subscript(const Value& value) {
    bool slice = false;
    Value part[3] = {nullptr, nullptr, nullptr};
    int n = 0;
    while (ok() && !Peek("]")) {
      if (Take(":")) {
        slice = true;
        if (++n > 2) return Fail("a slice with too many ':'");
      } else if (part[n].is_null()) {
        part[n] = Conditional();
      } else {
        return Fail("expected ']' before '", text_.substr(at_), "'");
      }
    }
    Expect("]");
    if (skipping_ > 0 || !ok()) return Undefined();
    if (slice) return Unwrap(Slice(value, part));
    if (part[0].is_string()) return Key(value, part[0].get<std::string>());
    if (!value.is_array() || !part[0].is_number_integer()) {
      return Fail(Describe(value), " has no element ", Describe(part[0]));
    }
    const int64_t size = static_cast<int64_t>(value.size());
    int64_t i = part[0].get<int64_t>();
    if (i < 0) i += size;
    return i < 0 || i >= size ? Undefined() : value[i];
  }
  // Arguments up to the closing parenthesis, which is taken too.
  std::vector<Value> Arguments() {
    std::vector<Value> arguments;
    while (ok() && !Peek(")")) {
      arguments.push_back(Conditional());
      if (!Take(",")) break;
    }
    Expect(")");
    return arguments;
  }
  Value Method(const Value& value, const std::string& name) {
    const std::vector<Value> arguments = Arguments();
    if (skipping_ > 0 || !ok()) return Undefined();
    return Unwrap(CallMethod(value, name, arguments));
  }
  Value Filter(const Value& value, const std::string& name) {
    std::vector<Value> arguments;
    if (Take("(")) arguments = Arguments();
    if (skipping_ > 0 || !ok()) return Undefined();
    return Unwrap(ApplyFilter(value, name, arguments));
  }
  Value Primary() {
    SkipSpace();
    if (!ok()) return Undefined();
    if (at_ >= text_.size()) return Fail("an expression without an end");
    const char c = text_[at_];
    if (c == '\'' || c == '"') return Literal(c);
    if (absl::ascii_isdigit(c)) {
      const size_t begin = at_;
      while (at_ < text_.size() && absl::ascii_isdigit(text_[at_])) ++at_;
      int64_t number = 0;
      if (!absl::SimpleAtoi(text_.substr(begin, at_ - begin), &number)) {
        return Fail("a number too large");
      }
      return number;
    }
    if (Take("(")) {
      Value value = Conditional();
      Expect(")");
      return value;
    }
    if (Take("[")) {
      Value list = Value::array();
      while (ok() && !Peek("]")) {
        list.push_back(Conditional());
        if (!Take(",")) break;
      }
      Expect("]");
      return list;
    }
    if (!IsNameStart(c)) {
      return Fail("unknown construct '", text_.substr(at_, 1), "'");
    }
    const std::string name = Name();
    if (Take("(")) return Call(name);
    if (name == "true" || name == "True") return true;
    if (name == "false" || name == "False") return false;
    if (name == "none" || name == "None") return nullptr;
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto it = scope->find(name);
      if (it == scope->end()) continue;
      if (skipping_ > 0) return Undefined();
      taken_ += SizeOf(it->second);
      if (taken_ > kMaxTaken) return Fail("values too large");
      return it->second;
    }
    return Undefined();
  }
  Value Call(const std::string& name) {
    if (name == "namespace") {
      Value object = Value::object();
      while (ok() && !Peek(")")) {
        const std::string key = Name();
        Expect("=");
        object[key] = Conditional();
        if (!Take(",")) break;
      }
      Expect(")");
      return object;
    }
    if (name != "raise_exception") {
      return Fail("unknown function '", name, "'");
    }
    const std::vector<Value> arguments = Arguments();
    if (skipping_ > 0 || !ok()) return Undefined();
    status_ = absl::InvalidArgumentError(
        absl::StrCat("the chat template refuses this conversation: ",
                     arguments.empty() ? "" : ToText(arguments[0])));
    return Undefined();
  }
  Value Literal(char quote) {
    std::string value;
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
      char c = text_[at_];
      if (c == '\\' && at_ + 1 < text_.size()) {
        c = text_[++at_];
        switch (c) {
          case 'n':
            c = '\n';
            break;
          case 't':
            c = '\t';
            break;
          case 'r':
            c = '\r';
            break;
          case '\\':
          case '\'':
          case '"':
            break;
          default:
            return Fail("unknown escape '\\", std::string(1, c), "'");
        }
      }
      value += c;
    }
    if (at_ >= text_.size()) return Fail("a text without its closing quote");
    ++at_;
    return value;
  }

  const absl::string_view text_;
  const Scopes& scopes_;
  size_t at_ = 0;
  int64_t taken_ = 0;
  int skipping_ = 0, depth_ = 0;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<Value> Evaluate(absl::string_view text, const Scopes& scopes) {
  return Evaluator(text, scopes).Run();
}

}  // namespace lt2::model::chat
