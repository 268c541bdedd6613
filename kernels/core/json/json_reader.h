// Strict reading of JSON configurations.
//
//   LT2_ASSIGN_OR_RETURN(nlohmann::json config, ParseJson(text, path));
//   JsonReader reader(config, "");
//   JsonReader model = reader.Object("model");
//   options.heads = model.Int("heads", 4, 1, 1024);
//   options.mixer = model.Enum("mixer", "gdn", {"gdn", "attention"});
//   LT2_RETURN_IF_ERROR(reader.Finish());
//
// Getters return the default after an error, so that code reads straight
// through; Finish returns the FIRST error, with the key's whole path, the value
// and what was expected ("model.heads: expected an integer in [1, 1024], got
// -3"), or else names a key that nobody asked for ("model.loop_cuont: unknown
// key; did you mean 'loop_count'?"). A key that is absent takes its default;
// null is not absent.
//
// A JsonReader refers to the json it was made from, which must outlive it.
// Copies and readers of nested objects share one error. Not thread-safe.

#ifndef LT2_KERNELS_CORE_JSON_JSON_READER_H_
#define LT2_KERNELS_CORE_JSON_JSON_READER_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/core/json/strict_json.h"
#include "kernels/core/status.h"
#include "nlohmann/json.hpp"

namespace lt2 {

class JsonReader {
 public:
  static constexpr int64_t kMaxInt = std::numeric_limits<int64_t>::max();
  static constexpr double kMaxFloat = std::numeric_limits<double>::max();

  // `path` precedes the keys in errors ("model"); may be "".
  explicit JsonReader(const nlohmann::json& object,
                      absl::string_view path = "");

  bool Has(absl::string_view key) const;
  // Errors unless every key is there.
  void Require(const std::vector<std::string>& keys);
  // An error of the caller about a key, such as a combination that cannot be.
  // The arguments after the key are those of absl::StrCat.
  template <typename... Args>
  void Fail(absl::string_view key, const Args&... args) {
    Report(key, absl::StrCat(args...));
  }

  int64_t Int(absl::string_view key, int64_t default_value, int64_t min = 0,
              int64_t max = kMaxInt);
  // Integers are taken too. The limits are inclusive.
  double Float(absl::string_view key, double default_value,
               double min = -kMaxFloat, double max = kMaxFloat);
  bool Bool(absl::string_view key, bool default_value);
  std::string String(absl::string_view key, absl::string_view default_value);
  // One of `names`.
  std::string Enum(absl::string_view key, absl::string_view default_value,
                   const std::vector<std::string>& names);
  // One of the second members, chosen by its name.
  template <typename E, typename = std::enable_if_t<std::is_enum_v<E>>>
  E Enum(absl::string_view key, E default_value,
         const std::vector<std::pair<std::string, E>>& values);

  // Arrays whose elements all have one kind; absent = empty.
  std::vector<int64_t> Ints(absl::string_view key, int64_t min = 0,
                            int64_t max = kMaxInt);
  std::vector<double> Floats(absl::string_view key, double min = -kMaxFloat,
                             double max = kMaxFloat);
  std::vector<std::string> Strings(absl::string_view key);
  std::vector<JsonReader> Objects(absl::string_view key);
  // Elements as they are; an empty array if absent or not an array.
  const nlohmann::json& Array(absl::string_view key);

  // A nested object; empty if absent. Its unknown keys are found by the
  // Finish of this reader too.
  JsonReader Object(absl::string_view key);

  // The first error anywhere so far (OK if none), without looking for unknown
  // keys.
  const absl::Status& status() const;
  // The first error, or the first unknown key of this object and of those
  // inside it that were asked for.
  absl::Status Finish() const;

  // "model.heads" for the key "heads".
  std::string PathOf(absl::string_view key) const;

 private:
  struct State;
  JsonReader(std::shared_ptr<State> state, int node)
      : state_(std::move(state)), node_(node) {}
  // The value, or nullptr if absent; notes the key as known.
  const nlohmann::json* Get(absl::string_view key) const;
  void Report(absl::string_view key, absl::string_view message);
  void Expected(const std::string& path, absl::string_view what,
                const nlohmann::json& got);
  bool ReadInt(const nlohmann::json& value, const std::string& path,
               int64_t min, int64_t max, int64_t* result);
  bool ReadFloat(const nlohmann::json& value, const std::string& path,
                 double min, double max, double* result);
  JsonReader Child(const nlohmann::json& value, const std::string& path);

  std::shared_ptr<State> state_;
  int node_ = 0;
};

template <typename E, typename>
E JsonReader::Enum(absl::string_view key, E default_value,
                   const std::vector<std::pair<std::string, E>>& values) {
  std::vector<std::string> names;
  for (const auto& [name, value] : values) names.push_back(name);
  const std::string chosen = Enum(key, "", names);
  for (const auto& [name, value] : values) {
    if (name == chosen) return value;
  }
  return default_value;
}

// Applies one --set flag, "model.loop_count=4", to a configuration. The part
// after the first '=' is read as JSON, or taken as a string if it is none (what
// starts with {, [ or a quote must be JSON). Every key of the path but the last
// must exist; array elements are named by index ("model.layers.0=...").
absl::Status ApplyOverride(absl::string_view assignment,
                           nlohmann::json* config);

}  // namespace lt2

#endif  // LT2_KERNELS_CORE_JSON_JSON_READER_H_
