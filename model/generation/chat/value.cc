#include "model/generation/chat/value.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace lt2::model::chat {
namespace {

template <typename... Args>
absl::Status Error(const Args&... args) {
  return absl::InvalidArgumentError(absl::StrCat(args...));
}

std::string Strip(absl::string_view text, absl::string_view characters,
                  bool left, bool right) {
  size_t begin = 0, end = text.size();
  auto in = [&](char c) {
    return absl::StrContains(characters, absl::string_view(&c, 1));
  };
  while (left && begin < end && in(text[begin])) ++begin;
  while (right && end > begin && in(text[end - 1])) --end;
  return std::string(text.substr(begin, end - begin));
}

constexpr char kSpace[] = " \t\n\r\v\f";

int64_t Characters(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u;
  });
}

}  // namespace

int64_t SizeOf(const Value& value, int depth) {
  if (depth > 64) return -1;
  int64_t size = 64;  // of an element itself, about
  if (value.is_string()) {
    size += static_cast<int64_t>(value.get_ref<const std::string&>().size());
  }
  if (value.is_structured()) {
    for (auto item = value.begin(); item != value.end(); ++item) {
      const int64_t inner = SizeOf(*item, depth + 1);
      if (inner < 0) return -1;
      size += inner;
      if (value.is_object()) size += static_cast<int64_t>(item.key().size());
    }
  }
  return size;
}

bool Truth(const Value& value) {
  switch (value.type()) {
    case Value::value_t::null:
    case Value::value_t::discarded:
      return false;
    case Value::value_t::boolean:
      return value.get<bool>();
    case Value::value_t::string:
      return !value.get_ref<const std::string&>().empty();
    case Value::value_t::array:
    case Value::value_t::object:
      return !value.empty();
    default:
      return value != Value(0);
  }
}

std::string ToText(const Value& value) {
  if (value.is_discarded()) return "";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  return value.dump(-1, ' ', false, Value::error_handler_t::replace);
}

bool Equal(const Value& a, const Value& b) {
  if (a.is_discarded() || b.is_discarded()) {
    return a.is_discarded() && b.is_discarded();
  }
  return a == b;
}

std::string Describe(const Value& value) {
  if (value.is_discarded()) return "undefined";
  return absl::StrCat("a value of type ", value.type_name());
}

absl::StatusOr<Value> Contains(const Value& item, const Value& container) {
  if (container.is_string() && item.is_string()) {
    return absl::StrContains(container.get<std::string>(),
                             item.get<std::string>());
  }
  if (container.is_object() && item.is_string()) {
    return container.contains(item.get<std::string>());
  }
  if (container.is_array()) {
    for (const Value& other : container) {
      if (Equal(item, other)) return true;
    }
    return false;
  }
  return Error("'in' of ", Describe(item), " and ", Describe(container));
}

absl::StatusOr<Value> IsTest(const Value& value, const std::string& name) {
  if (name == "defined") return !value.is_discarded();
  if (name == "undefined") return value.is_discarded();
  if (name == "none") return value.is_null();
  if (name == "string") return value.is_string();
  if (name == "mapping") return value.is_object();
  if (name == "iterable") {
    return value.is_array() || value.is_string() || value.is_object();
  }
  if (name == "sequence") return value.is_array() || value.is_string();
  if (name == "number") return value.is_number();
  if (name == "true") return value == Value(true);
  if (name == "false") return value == Value(false);
  return Error("unknown test 'is ", name, "'");
}

absl::StatusOr<Value> Slice(const Value& value, const Value* part) {
  for (int i = 0; i < 3; ++i) {
    if (!part[i].is_null() && !part[i].is_number_integer()) {
      return Error("a slice with ", Describe(part[i]));
    }
  }
  if (!value.is_array()) return Error("a slice of ", Describe(value));
  const int64_t size = static_cast<int64_t>(value.size());
  Value result = Value::array();
  if (!part[2].is_null()) {
    if (part[2] != -1 || !part[0].is_null() || !part[1].is_null()) {
      return Error("a slice with a step other than [::-1]");
    }
    for (int64_t i = size - 1; i >= 0; --i) result.push_back(value[i]);
    return result;
  }
  auto clip = [&](const Value& bound, int64_t otherwise) {
    int64_t i = bound.is_null() ? otherwise : bound.get<int64_t>();
    if (i < 0) i += size;
    return std::min(std::max<int64_t>(i, 0), size);
  };
  for (int64_t i = clip(part[0], 0); i < clip(part[1], size); ++i) {
    result.push_back(value[i]);
  }
  return result;
}

absl::StatusOr<Value> CallMethod(const Value& value, const std::string& name,
                                 const std::vector<Value>& arguments) {
  bool texts = value.is_string() && arguments.size() <= 1;
  for (const Value& a : arguments) texts &= a.is_string();
  if (!texts) return Error("method '", name, "' of ", Describe(value));
  const std::string text = value.get<std::string>();
  if (arguments.empty()) {
    if (name == "strip") return Strip(text, kSpace, true, true);
    if (name == "lstrip") return Strip(text, kSpace, true, false);
    if (name == "rstrip") return Strip(text, kSpace, false, true);
    if (name == "upper") return absl::AsciiStrToUpper(text);
    if (name == "lower") return absl::AsciiStrToLower(text);
  } else {
    const std::string argument = arguments[0].get<std::string>();
    if (name == "strip") return Strip(text, argument, true, true);
    if (name == "lstrip") return Strip(text, argument, true, false);
    if (name == "rstrip") return Strip(text, argument, false, true);
    if (name == "startswith") return absl::StartsWith(text, argument);
    if (name == "endswith") return absl::EndsWith(text, argument);
    if (name == "split" && !argument.empty()) {
      Value parts = Value::array();
      for (absl::string_view part : absl::StrSplit(text, argument)) {
        parts.push_back(std::string(part));
      }
      return parts;
    }
  }
  return Error("unknown method '", name, "'");
}

absl::StatusOr<Value> ApplyFilter(const Value& value, const std::string& name,
                                  const std::vector<Value>& arguments) {
  if (name == "default" && arguments.size() == 1) {
    return value.is_discarded() ? arguments[0] : value;
  }
  if (arguments.empty()) {
    if (name == "length") {
      if (value.is_array() || value.is_object()) return value.size();
      if (value.is_string()) return Characters(value.get<std::string>());
    }
    if (name == "trim") return Strip(ToText(value), kSpace, true, true);
    if (name == "upper") return absl::AsciiStrToUpper(ToText(value));
    if (name == "lower") return absl::AsciiStrToLower(ToText(value));
  }
  return Error("unknown filter '", name, "'");
}

}  // namespace lt2::model::chat
