// Small changes to a text, as data: what a suite derives from an item's fields
// before its templates see them, and how an answer is taken out of a generated
// text (filters). Patterns are RE2's: linear time, no back-references.
//
//   op            arg            text becomes
//   before_first  s              what stands before the first s
//   after_first   s              what stands after it
//   before_last, after_last  s   the same for the last s
//   extract       pattern        the match (its first group that took part, if
//                                there are groups); `take` first or last
//   replace       pattern, with  each match replaced (\1 is a group)
//   trim, trim_end               without white space at both ends, at the end
//   lower                        A-Z become a-z
//   capitalize                   Python's: first letter up, others down (ASCII)
//   first_line                   what stands before the first line break
//
// before_*, after_* and extract need their match: without one the text is
// `otherwise` if the step has it, else an error (of the item).

#ifndef LT2_EVALS_LM_TEXT_STEPS_H_
#define LT2_EVALS_LM_TEXT_STEPS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "evals/lm/template.h"
#include "kernels/core/json/json_reader.h"
#include "re2/re2.h"

namespace lt2::evals {

struct TextStep {
  std::string op, arg, with;
  bool last = false;
  absl::optional<std::string> otherwise;
  std::shared_ptr<const RE2> pattern;
};

// A new field: a template of other fields, changed by steps.
struct DerivedField {
  std::string name;
  Template from;
  std::vector<TextStep> steps;
};

// Errors go to the reader.
std::vector<TextStep> ReadTextSteps(JsonReader& reader, const char* key);
std::vector<DerivedField> ReadDerivedFields(JsonReader& reader,
                                            const char* key);

absl::StatusOr<std::string> ApplySteps(const std::vector<TextStep>& steps,
                                       std::string text);

// Adds the derived fields, in order: a later one may use an earlier one.
absl::Status Derive(const std::vector<DerivedField>& derived,
                    nlohmann::json* fields);

}  // namespace lt2::evals

#endif  // LT2_EVALS_LM_TEXT_STEPS_H_
