#include "tools/exact/record.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/core/json/strict_json.h"

namespace lt2::tools {
namespace {

using nlohmann::json;

// The members of `value`, which must be an object with these keys.
absl::Status ExpectKeys(const json& value, const std::vector<std::string>& keys,
                        absl::string_view place) {
  if (!value.is_object()) {
    return InvalidArgument(place, ": expected an object, got ",
                           Quoted(value.dump()));
  }
  for (const std::string& key : keys) {
    if (!value.contains(key)) {
      return InvalidArgument(place, ": no key '", key, "'");
    }
  }
  for (const auto& [key, ignored] : value.items()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      return InvalidArgument(place, ": unknown key ", Quoted(key),
                             "; expected: ", absl::StrJoin(keys, ", "));
    }
  }
  return absl::OkStatus();
}

absl::Status ExpectObject(const json& value, absl::string_view place) {
  if (value.is_object()) return absl::OkStatus();
  return InvalidArgument(place, ": expected an object, got ",
                         Quoted(value.dump()));
}

absl::StatusOr<Quantity> ParseQuantity(const json& value,
                                       absl::string_view place) {
  if (value.is_string()) return Quantity(value.get<std::string>());
  // Unsigned ones beyond int64 would wrap around.
  const bool integer =
      value.is_number_integer() &&
      !(value.is_number_unsigned() &&
        value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX));
  if (integer) return Quantity(value.get<int64_t>());
  return InvalidArgument(place, ": expected an integer or a string, got ",
                         Quoted(value.dump()));
}

absl::StatusOr<Section> ParseSection(const json& value,
                                     absl::string_view place) {
  LT2_RETURN_IF_ERROR(ExpectKeys(value, {"environment", "entries"}, place));
  Section section;
  const std::string environment = absl::StrCat(place, ".environment");
  LT2_RETURN_IF_ERROR(ExpectObject(value["environment"], environment));
  for (const auto& [name, text] : value["environment"].items()) {
    if (!text.is_string()) {
      return InvalidArgument(environment, ".", name,
                             ": expected a string, got ", Quoted(text.dump()));
    }
    section.environment[name] = text.get<std::string>();
  }
  const std::string entries = absl::StrCat(place, ".entries");
  LT2_RETURN_IF_ERROR(ExpectObject(value["entries"], entries));
  for (const auto& [name, quantities] : value["entries"].items()) {
    const std::string entry = absl::StrCat(entries, ".", name);
    LT2_RETURN_IF_ERROR(ExpectObject(quantities, entry));
    if (quantities.empty()) {
      return InvalidArgument(entry, ": expected at least one quantity");
    }
    for (const auto& [key, quantity] : quantities.items()) {
      LT2_ASSIGN_OR_RETURN(
          section.entries[name][key],
          ParseQuantity(quantity, absl::StrCat(entry, ".", key)));
    }
  }
  return section;
}

}  // namespace

const std::vector<std::string>& SectionNames() {
  static const auto& names =
      *new std::vector<std::string>{"bits", "work", "launches", "kernels"};
  return names;
}

std::string Quantity::ToString() const {
  return is_number ? absl::StrCat(number) : text;
}

std::string RecordJson(const Record& record) {
  json sections = json::object();
  for (const auto& [name, section] : record) {
    json entries = json::object();
    for (const auto& [entry, quantities] : section.entries) {
      json& object = entries[entry] = json::object();
      for (const auto& [key, q] : quantities) {
        object[key] = q.is_number ? json(q.number) : json(q.text);
      }
    }
    sections[name] = {{"environment", json::object()}, {"entries", entries}};
    for (const auto& [key, value] : section.environment) {
      sections[name]["environment"][key] = value;
    }
  }
  const json root = {{"schema_version", kExactSchemaVersion},
                     {"sections", sections}};
  return root.dump(1) + "\n";
}

absl::StatusOr<Record> ParseRecord(absl::string_view text,
                                   absl::string_view source) {
  LT2_ASSIGN_OR_RETURN(const json root, ParseJson(text, source));
  LT2_RETURN_IF_ERROR(ExpectKeys(root, {"schema_version", "sections"}, source));
  if (root["schema_version"] != json(kExactSchemaVersion)) {
    return InvalidArgument(source, ": schema_version is ",
                           root["schema_version"].dump(), ", expected ",
                           kExactSchemaVersion);
  }
  const std::string place = absl::StrCat(source, ": sections");
  LT2_RETURN_IF_ERROR(ExpectObject(root["sections"], place));
  Record record;
  for (const auto& [name, value] : root["sections"].items()) {
    const std::vector<std::string>& known = SectionNames();
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return InvalidArgument(place, ": unknown section ", Quoted(name),
                             "; expected: ", absl::StrJoin(known, ", "));
    }
    LT2_ASSIGN_OR_RETURN(record[name],
                         ParseSection(value, absl::StrCat(place, ".", name)));
  }
  return record;
}

}  // namespace lt2::tools
