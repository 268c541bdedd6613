#include "kernels/core/json/json_reader.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace lt2 {
namespace {

using nlohmann::json;

const json& EmptyObject() {
  static const json* const empty = new json(json::object());
  return *empty;
}

const json& EmptyArray() {
  static const json* const empty = new json(json::array());
  return *empty;
}

std::string Shown(const json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  if (value.is_string()) return Quoted(value.get_ref<const std::string&>());
  // dump() writes a NaN that was put there by a program as null.
  if (value.is_number_float() && !std::isfinite(value.get<double>())) {
    return std::isnan(value.get<double>()) ? "NaN" : "an infinity";
  }
  return value.dump();
}

std::string Number(double value) { return json(value).dump(); }

// Edits (insert, delete, replace, swap neighbours) from a to b.
int EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = static_cast<int>(i + j);
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1,
                          d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

// "; did you mean 'a' or 'b'?", or the known keys if none is near.
std::string Suggestion(absl::string_view key,
                       const std::set<std::string>& known) {
  if (known.empty()) return "; no keys are known here";
  constexpr size_t kLongest = 64;  // a hostile key may be a megabyte
  std::vector<std::pair<int, std::string>> near;
  if (key.size() <= kLongest) {
    const int limit = std::max<int>(1, static_cast<int>(key.size()) / 3);
    for (const std::string& candidate : known) {
      const int distance = EditDistance(key, candidate);
      if (distance <= limit) near.emplace_back(distance, Quoted(candidate));
    }
  }
  if (near.empty()) {
    return absl::StrCat("; known keys: ", absl::StrJoin(known, ", "));
  }
  std::sort(near.begin(), near.end());
  near.resize(std::min<size_t>(near.size(), 3));
  return absl::StrCat(
      "; did you mean ",
      absl::StrJoin(near, " or ",
                    [](std::string* out, const auto& n) { *out += n.second; }),
      "?");
}

}  // namespace

// The objects that were asked for, in order. Node 0 is the outermost.
struct JsonReader::State {
  struct Node {
    const json* object;
    std::string path;
    int parent;
    std::set<std::string> known;
  };
  std::vector<Node> nodes;
  absl::Status first_error;
};

JsonReader::JsonReader(const json& object, absl::string_view path)
    : state_(std::make_shared<State>()) {
  const bool is_object = object.is_object();
  state_->nodes.push_back(
      {is_object ? &object : &EmptyObject(), std::string(path), -1, {}});
  if (!is_object) {
    Expected(path.empty() ? "configuration" : std::string(path), "an object",
             object);
  }
}

std::string JsonReader::PathOf(absl::string_view key) const {
  const std::string& path = state_->nodes[node_].path;
  return path.empty() ? std::string(key) : absl::StrCat(path, ".", key);
}

const json* JsonReader::Get(absl::string_view key) const {
  State::Node& node = state_->nodes[node_];
  node.known.emplace(key);
  const auto found = node.object->find(std::string(key));
  return found == node.object->end() ? nullptr : &*found;
}

bool JsonReader::Has(absl::string_view key) const {
  return Get(key) != nullptr;
}

void JsonReader::Report(absl::string_view key, absl::string_view message) {
  if (!state_->first_error.ok()) return;
  state_->first_error = InvalidArgument(PathOf(key), ": ", message);
}

void JsonReader::Expected(const std::string& path, absl::string_view what,
                          const json& got) {
  if (!state_->first_error.ok()) return;
  state_->first_error =
      InvalidArgument(path, ": expected ", what, ", got ", Shown(got));
}

void JsonReader::Require(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    if (!Has(key)) Fail(key, "required, but missing");
  }
}

bool JsonReader::ReadInt(const json& value, const std::string& path,
                         int64_t min, int64_t max, int64_t* result) {
  // An unsigned value past int64 would wrap.
  const bool fits = value.is_number_integer() &&
                    !(value.is_number_unsigned() &&
                      value.get<uint64_t>() > static_cast<uint64_t>(kMaxInt));
  if (fits && value.get<int64_t>() >= min && value.get<int64_t>() <= max) {
    *result = value.get<int64_t>();
    return true;
  }
  const std::string range =
      max == kMaxInt ? absl::StrCat("an integer >= ", min)
                     : absl::StrCat("an integer in [", min, ", ", max, "]");
  Expected(path, range, value);
  return false;
}

bool JsonReader::ReadFloat(const json& value, const std::string& path,
                           double min, double max, double* result) {
  if (value.is_number()) {
    const double number = value.get<double>();
    if (std::isfinite(number) && number >= min && number <= max) {
      *result = number;
      return true;
    }
  }
  std::string range = "a number";
  if (min > -kMaxFloat && max < kMaxFloat) {
    range = absl::StrCat("a number in [", Number(min), ", ", Number(max), "]");
  } else if (min > -kMaxFloat) {
    range = absl::StrCat("a number >= ", Number(min));
  } else if (max < kMaxFloat) {
    range = absl::StrCat("a number <= ", Number(max));
  }
  Expected(path, range, value);
  return false;
}

int64_t JsonReader::Int(absl::string_view key, int64_t default_value,
                        int64_t min, int64_t max) {
  int64_t result = default_value;
  const json* value = Get(key);
  if (value != nullptr) ReadInt(*value, PathOf(key), min, max, &result);
  return result;
}

double JsonReader::Float(absl::string_view key, double default_value,
                         double min, double max) {
  double result = default_value;
  const json* value = Get(key);
  if (value != nullptr) ReadFloat(*value, PathOf(key), min, max, &result);
  return result;
}

bool JsonReader::Bool(absl::string_view key, bool default_value) {
  const json* value = Get(key);
  if (value == nullptr) return default_value;
  if (value->is_boolean()) return value->get<bool>();
  Expected(PathOf(key), "true or false", *value);
  return default_value;
}

std::string JsonReader::String(absl::string_view key,
                               absl::string_view default_value) {
  const json* value = Get(key);
  if (value == nullptr) return std::string(default_value);
  if (value->is_string()) return value->get<std::string>();
  Expected(PathOf(key), "a string", *value);
  return std::string(default_value);
}

std::string JsonReader::Enum(absl::string_view key,
                             absl::string_view default_value,
                             const std::vector<std::string>& names) {
  const json* value = Get(key);
  if (value == nullptr) return std::string(default_value);
  if (value->is_string()) {
    const std::string name = value->get<std::string>();
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      return name;
    }
  }
  Expected(PathOf(key),
           absl::StrCat("one of '", absl::StrJoin(names, "', '"), "'"), *value);
  return std::string(default_value);
}

const json& JsonReader::Array(absl::string_view key) {
  const json* value = Get(key);
  if (value == nullptr) return EmptyArray();
  if (value->is_array()) return *value;
  Expected(PathOf(key), "an array", *value);
  return EmptyArray();
}

std::vector<int64_t> JsonReader::Ints(absl::string_view key, int64_t min,
                                      int64_t max) {
  std::vector<int64_t> result;
  for (const json& value : Array(key)) {
    int64_t number = 0;
    const std::string path = absl::StrCat(PathOf(key), ".", result.size());
    if (!ReadInt(value, path, min, max, &number)) return {};
    result.push_back(number);
  }
  return result;
}

std::vector<double> JsonReader::Floats(absl::string_view key, double min,
                                       double max) {
  std::vector<double> result;
  for (const json& value : Array(key)) {
    double number = 0;
    const std::string path = absl::StrCat(PathOf(key), ".", result.size());
    if (!ReadFloat(value, path, min, max, &number)) return {};
    result.push_back(number);
  }
  return result;
}

std::vector<std::string> JsonReader::Strings(absl::string_view key) {
  std::vector<std::string> result;
  for (const json& value : Array(key)) {
    if (!value.is_string()) {
      Expected(absl::StrCat(PathOf(key), ".", result.size()), "a string",
               value);
      return {};
    }
    result.push_back(value.get<std::string>());
  }
  return result;
}

JsonReader JsonReader::Child(const json& value, const std::string& path) {
  const bool is_object = value.is_object();
  if (!is_object) Expected(path, "an object", value);
  state_->nodes.push_back(
      {is_object ? &value : &EmptyObject(), path, node_, {}});
  return JsonReader(state_, static_cast<int>(state_->nodes.size()) - 1);
}

std::vector<JsonReader> JsonReader::Objects(absl::string_view key) {
  std::vector<JsonReader> result;
  for (const json& value : Array(key)) {
    result.push_back(
        Child(value, absl::StrCat(PathOf(key), ".", result.size())));
  }
  return result;
}

JsonReader JsonReader::Object(absl::string_view key) {
  const json* value = Get(key);
  return Child(value == nullptr ? EmptyObject() : *value, PathOf(key));
}

const absl::Status& JsonReader::status() const { return state_->first_error; }

absl::Status JsonReader::Finish() const {
  LT2_RETURN_IF_ERROR(state_->first_error);
  // An object may have been read by several readers: a key is known if any of
  // them asked for it.
  std::vector<bool> inside(state_->nodes.size(), false);
  for (int i = node_; i < static_cast<int>(state_->nodes.size()); ++i) {
    const State::Node& node = state_->nodes[i];
    inside[i] = i == node_ || (node.parent >= 0 && inside[node.parent]);
    if (!inside[i]) continue;
    std::set<std::string> known;
    for (const State::Node& other : state_->nodes) {
      if (other.object == node.object) {
        known.insert(other.known.begin(), other.known.end());
      }
    }
    for (const auto& [key, value] : node.object->items()) {
      if (known.count(key) != 0) continue;
      return InvalidArgument(
          node.path.empty() ? "" : absl::StrCat(node.path, "."),
          IsValidUtf8(key) && key.size() <= 80 ? key : Quoted(key),
          ": unknown key", Suggestion(key, known));
    }
  }
  return absl::OkStatus();
}

absl::Status ApplyOverride(absl::string_view assignment, json* config) {
  const size_t equals = assignment.find('=');
  if (equals == absl::string_view::npos || equals == 0) {
    return InvalidArgument("--set ", Quoted(assignment),
                           ": expected path.to.key=value");
  }
  const absl::string_view path = assignment.substr(0, equals);
  const absl::string_view text = assignment.substr(equals + 1);
  if (!IsValidUtf8(assignment)) {
    return InvalidArgument("--set ", Quoted(assignment), ": not UTF-8");
  }

  absl::StatusOr<json> parsed = ParseJson(text, absl::StrCat("--set ", path));
  const bool meant_json =
      !text.empty() && (text[0] == '{' || text[0] == '[' || text[0] == '"');
  if (!parsed.ok() && meant_json) return parsed.status();
  json value = parsed.ok() ? *std::move(parsed) : json(std::string(text));

  const std::vector<std::string> keys = absl::StrSplit(path, '.');
  json* place = config;
  std::string walked;
  for (size_t i = 0; i < keys.size(); ++i) {
    const std::string& key = keys[i];
    const bool last = i + 1 == keys.size();
    const std::string parent = walked.empty() ? "the configuration" : walked;
    absl::StrAppend(&walked, walked.empty() ? "" : ".", key);
    if (key.empty()) {
      return InvalidArgument("--set ", Quoted(path), ": an empty key");
    }
    if (place->is_array()) {
      uint64_t index = 0;
      if (!absl::SimpleAtoi(key, &index) || index >= place->size()) {
        return InvalidArgument("--set ", walked, ": ", parent,
                               " is an array of ", place->size(), " elements, ",
                               Quoted(key), " is none of them");
      }
      place = &(*place)[index];
    } else if (!place->is_object()) {
      return InvalidArgument("--set ", walked, ": ", parent, " is ",
                             Shown(*place), ", not an object");
    } else if (!last && !place->contains(key)) {
      return InvalidArgument("--set ", path, ": there is no ", walked);
    } else {
      place = &(*place)[key];
    }
  }

  *place = std::move(value);
  return absl::OkStatus();
}

}  // namespace lt2
