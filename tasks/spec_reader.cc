#include "tasks/spec_reader.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_join.h"

namespace lt2::tasks {
namespace {

// A value as it is shown in an error message; bounded, as it may be hostile.
// Bytes that are no UTF-8 are replaced.
std::string Show(const nlohmann::json& value) {
  std::string text =
      value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

// A key, with what is not printable escaped, without the quotes of JSON.
std::string ShowKey(const std::string& key) {
  const std::string quoted = Show(key.substr(0, 50));
  return quoted.substr(1, quoted.size() - 2);
}

}  // namespace

SpecReader::SpecReader(const nlohmann::json& spec, absl::string_view path)
    : spec_(spec), path_(path) {
  if (!spec_.is_object()) {
    status_ = absl::InvalidArgumentError(
        absl::StrCat(path_.empty() ? "spec" : path_,
                     ": must be a JSON object, got ", Show(spec_)));
  }
}

std::string SpecReader::Path(absl::string_view key) const {
  return path_.empty() ? std::string(key) : absl::StrCat(path_, ".", key);
}

bool SpecReader::Has(absl::string_view key) const {
  return spec_.is_object() && spec_.contains(std::string(key));
}

const nlohmann::json* SpecReader::Find(absl::string_view key) {
  known_.emplace_back(key);
  if (!spec_.is_object()) return nullptr;
  const auto found = spec_.find(std::string(key));
  return found == spec_.end() ? nullptr : &*found;
}

int64_t SpecReader::Int(absl::string_view key, int64_t fallback, int64_t min,
                        int64_t max) {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return fallback;
  // An unsigned value may not fit in an int64.
  const bool fits =
      value->is_number_integer() &&
      (!value->is_number_unsigned() ||
       value->get<uint64_t>() <=
           static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
  if (!fits) {
    Fail(key, "must be an integer, got ", Show(*value));
    return fallback;
  }
  const int64_t number = value->get<int64_t>();
  if (number < min || number > max) {
    Fail(key, "must be in ", min, "..", max, ", got ", number);
    return fallback;
  }
  return number;
}

int64_t SpecReader::RequiredInt(absl::string_view key, int64_t min,
                                int64_t max) {
  if (!Has(key)) Fail(key, "is required");
  return Int(key, min, min, max);
}

double SpecReader::Double(absl::string_view key, double fallback, double min,
                          double max) {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number()) {
    Fail(key, "must be a number, got ", Show(*value));
    return fallback;
  }
  const double number = value->get<double>();
  if (!std::isfinite(number) || number < min || number > max) {
    Fail(key, "must be in ", min, "..", max, ", got ", number);
    return fallback;
  }
  return number;
}

bool SpecReader::Bool(absl::string_view key, bool fallback) {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) {
    Fail(key, "must be true or false, got ", Show(*value));
    return fallback;
  }
  return value->get<bool>();
}

std::string SpecReader::String(absl::string_view key,
                               absl::string_view fallback) {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return std::string(fallback);
  if (!value->is_string()) {
    Fail(key, "must be a string, got ", Show(*value));
    return std::string(fallback);
  }
  return value->get<std::string>();
}

std::string SpecReader::RequiredString(absl::string_view key) {
  if (!Has(key)) Fail(key, "is required");
  return String(key, "");
}

std::string SpecReader::Choice(absl::string_view key,
                               absl::string_view fallback,
                               absl::Span<const absl::string_view> choices) {
  const std::string text = String(key, fallback);
  if (std::find(choices.begin(), choices.end(), text) == choices.end()) {
    Fail(key, "must be one of ", absl::StrJoin(choices, ", "), "; got ",
         Show(text));
    return std::string(fallback);
  }
  return text;
}

std::vector<std::string> SpecReader::StringList(absl::string_view key) {
  std::vector<std::string> list;
  const nlohmann::json& array = Array(key);
  for (size_t i = 0; i < array.size(); ++i) {
    if (!array[i].is_string()) {
      Fail(absl::StrCat(key, "[", i, "]"), "must be a string, got ",
           Show(array[i]));
      return {};
    }
    list.push_back(array[i].get<std::string>());
  }
  return list;
}

const nlohmann::json& SpecReader::Array(absl::string_view key) {
  static const nlohmann::json empty = nlohmann::json::array();
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return empty;
  if (!value->is_array()) {
    Fail(key, "must be an array, got ", Show(*value));
    return empty;
  }
  return *value;
}

absl::Status SpecReader::Finish() const {
  if (!status_.ok()) return status_;
  for (const auto& [key, value] : spec_.items()) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    std::vector<std::string> known = known_;
    std::sort(known.begin(), known.end());
    known.erase(std::unique(known.begin(), known.end()), known.end());
    return absl::InvalidArgumentError(absl::StrCat(
        Path(ShowKey(key)),
        ": unknown key; known here: ", absl::StrJoin(known, ", ")));
  }
  return absl::OkStatus();
}

}  // namespace lt2::tasks
