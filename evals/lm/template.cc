#include "evals/lm/template.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace lt2::evals {
namespace {

std::string FieldNames(const nlohmann::json& object) {
  std::vector<std::string> names;
  for (const auto& [name, value] : object.items()) names.push_back(name);
  return absl::StrJoin(names, ", ");
}

}  // namespace

absl::StatusOr<Template> Template::Parse(absl::string_view text) {
  Template result;
  result.source_ = std::string(text);
  std::string literal;
  const auto fail = [&](size_t at, const char* what) {
    return InvalidArgument("template '", text, "': ", what, " at byte ", at,
                           "; write {field}, or {{ and }} for braces");
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '{' && c != '}') {
      literal.push_back(c);
    } else if (i + 1 < text.size() && text[i + 1] == c) {
      literal.push_back(c);
      ++i;
    } else if (c == '}') {
      return fail(i, "'}' without '{'");
    } else {
      const size_t end = text.find('}', i);
      if (end == absl::string_view::npos) return fail(i, "'{' without '}'");
      const absl::string_view path = text.substr(i + 1, end - i - 1);
      if (path.empty() || path.find('{') != absl::string_view::npos) {
        return fail(i, "no field's name");
      }
      if (!literal.empty()) result.parts_.push_back({literal, false});
      literal.clear();
      result.parts_.push_back({std::string(path), true});
      i = end;
    }
  }
  if (!literal.empty()) result.parts_.push_back({literal, false});
  return result;
}

absl::StatusOr<nlohmann::json> FieldAt(const nlohmann::json& fields,
                                       absl::string_view path) {
  const nlohmann::json* value = &fields;
  for (absl::string_view step : absl::StrSplit(path, '.')) {
    size_t index;
    if (value->is_object() && value->contains(std::string(step))) {
      value = &(*value)[std::string(step)];
    } else if (value->is_array() && absl::SimpleAtoi(step, &index) &&
               index < value->size()) {
      value = &(*value)[index];
    } else {
      return InvalidArgument(
          "no field '", path, "'",
          fields.is_object() ? "; there are: " + FieldNames(fields) : "");
    }
  }
  return *value;
}

absl::StatusOr<std::string> Template::Render(
    const nlohmann::json& fields) const {
  std::string text;
  for (const Part& part : parts_) {
    if (!part.is_field) {
      text += part.text;
      continue;
    }
    LT2_ASSIGN_OR_RETURN(const nlohmann::json value,
                         FieldAt(fields, part.text));
    if (value.is_string()) {
      text += value.get<std::string>();
    } else if (value.is_number_integer() || value.is_boolean()) {
      text += value.dump();
    } else {
      return InvalidArgument("field '", part.text,
                             "': expected a string, a whole number or a "
                             "boolean, got ",
                             value.dump().substr(0, 60));
    }
  }
  return text;
}

}  // namespace lt2::evals
