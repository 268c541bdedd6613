// Texts with places for fields of an item:
//
//   "Question: {question}\nAnswer:"      {"question": "Why?"}  ->
//   "Question: Why?\nAnswer:"
//
// {name} is a field, {a.b} a field of a field, {a.0} an element of a list; {{
// and }} stand for braces. A field must be a string, a whole number or a
// boolean (true, false). There is nothing else: no conditions, no expressions.
// What a suite must compute it derives beforehand (documents.h).

#ifndef LT2_EVALS_LM_TEMPLATE_H_
#define LT2_EVALS_LM_TEMPLATE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kernels/core/status.h"
#include "nlohmann/json.hpp"

namespace lt2::evals {

class Template {
 public:
  Template() = default;

  // An error names the place of a brace without its partner.
  static absl::StatusOr<Template> Parse(absl::string_view text);

  // An error names a field that is not there (and those that are).
  absl::StatusOr<std::string> Render(const nlohmann::json& fields) const;

  const std::string& source() const { return source_; }

 private:
  struct Part {
    std::string text;  // or the path of a field
    bool is_field = false;
  };
  std::string source_;
  std::vector<Part> parts_;
};

// The value at a dotted path, or an error as Render's.
absl::StatusOr<nlohmann::json> FieldAt(const nlohmann::json& fields,
                                       absl::string_view path);

}  // namespace lt2::evals

#endif  // LT2_EVALS_LM_TEMPLATE_H_
