// Reads one JSON object strictly.
//
//   SpecReader reader(spec, "data");
//   const int64_t pairs = reader.Int("pairs", 4, 1, 1 << 20);
//   if (4 * pairs > length) reader.Fail("pairs", "4*pairs must be ...");
//   LT2_RETURN_IF_ERROR(reader.Finish());
//
// The first error wins and later reads return their defaults, so that a
// factory reads every key in a row and asks once. Finish() also reports every
// key that nothing has read: an unknown key is an error, never ignored.

#ifndef LT2_TASKS_SPEC_READER_H_
#define LT2_TASKS_SPEC_READER_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lt2::tasks {

class SpecReader {
 public:
  // `path` names the object in error messages; "" is the top level.
  // `spec` must outlive the reader.
  SpecReader(const nlohmann::json& spec, absl::string_view path);

  // True if the key is there (whatever its value).
  bool Has(absl::string_view key) const;

  // An integer in [min, max]; `fallback` if the key is absent.
  int64_t Int(absl::string_view key, int64_t fallback, int64_t min,
              int64_t max);
  // The same, and an absent key is an error.
  int64_t RequiredInt(absl::string_view key, int64_t min, int64_t max);

  // A finite number in [min, max].
  double Double(absl::string_view key, double fallback, double min, double max);

  bool Bool(absl::string_view key, bool fallback);

  std::string String(absl::string_view key, absl::string_view fallback);
  std::string RequiredString(absl::string_view key);

  // One of `choices`.
  std::string Choice(absl::string_view key, absl::string_view fallback,
                     absl::Span<const absl::string_view> choices);

  std::vector<std::string> StringList(absl::string_view key);

  // The array under `key`, or an empty one if it is absent or no array.
  const nlohmann::json& Array(absl::string_view key);

  // Records an error about a key, unless there is one already.
  template <typename... Args>
  void Fail(absl::string_view key, const Args&... args) {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(
        absl::StrCat(Path(key), ": ", absl::StrCat(args...)));
  }
  // Records an error that already names its path.
  void Fail(const absl::Status& status) {
    if (status_.ok()) status_ = status;
  }

  // "path.key", or "key" at the top level.
  std::string Path(absl::string_view key) const;

  bool ok() const { return status_.ok(); }

  // The first error; else an error for a key that was never read; else OK.
  absl::Status Finish() const;

 private:
  // The value of a key, or null if it is absent; marks the key as known.
  const nlohmann::json* Find(absl::string_view key);

  const nlohmann::json& spec_;
  std::string path_;
  std::vector<std::string> known_;
  absl::Status status_;
};

}  // namespace lt2::tasks

#endif  // LT2_TASKS_SPEC_READER_H_
