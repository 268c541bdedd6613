// The record of quantities that have no noise, as a file of the repository.
//
//   {"schema_version":1,
//    "sections":{
//     "kernels":{"environment":{"arch":"sm_90a","toolkit":"13.0.88"},
//                "entries":{"norm/norm_cuda.cu NormForwardKernel<float, 256>":
//                             {"registers":32,"stack":0}}}}}
//
// A quantity is an integer (a count, bytes, FLOPs) or a string (a digest, a
// number printed with all its digits). The environment is everything but our
// sources that the quantities depend on; where it is another one they cannot
// be compared. The file is sorted, one quantity a line, so that a diff of it
// reads like a list of what changed. Reading is strict: unknown keys, other
// types (floating-point numbers too), an unknown section or another schema
// version are errors that name the place.

#ifndef LT2_TOOLS_EXACT_RECORD_H_
#define LT2_TOOLS_EXACT_RECORD_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kernels/core/status.h"

namespace lt2::tools {

inline constexpr int kExactSchemaVersion = 1;

// "bits", "work", "launches", "kernels": README.md says what is in each.
const std::vector<std::string>& SectionNames();

struct Quantity {
  bool is_number = false;
  int64_t number = 0;
  std::string text;

  Quantity() = default;
  Quantity(int64_t value) : is_number(true), number(value) {}  // NOLINT
  Quantity(std::string value) : text(std::move(value)) {}      // NOLINT
  Quantity(const char* value) : text(value) {}                 // NOLINT
  bool operator==(const Quantity& other) const {
    return is_number == other.is_number && number == other.number &&
           text == other.text;
  }
  // For people: 1234567 or text.
  std::string ToString() const;
};

using Entry = std::map<std::string, Quantity>;  // by the quantity's name

struct Section {
  std::map<std::string, std::string> environment;
  std::map<std::string, Entry> entries;
};

using Record = std::map<std::string, Section>;  // by SectionNames()

// Ends with a line break.
std::string RecordJson(const Record& record);

// `source` names the file in errors.
absl::StatusOr<Record> ParseRecord(absl::string_view text,
                                   absl::string_view source);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_EXACT_RECORD_H_
