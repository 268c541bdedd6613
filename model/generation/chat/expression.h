// Expressions of the template language of chat templates (a part of Jinja).
//
//   literals       'text' "text" 12 true false none [a, b]
//   access         name, x.key, x['key'], x[-1], x[1:], x[::-1]
//   operators      + - * % ~ == != < <= > >= in, not in, and, or, not,
//                  a if c else b, is [not] defined/none/string/mapping/...
//   methods        strip lstrip rstrip split startswith endswith upper lower
//   filters        trim upper lower length default
//   functions      raise_exception(text), namespace(key=value, ...)
//
// Anything else is an error that names it; it is raised when the expression is
// evaluated, so that a branch of a template that is not taken may hold it.

#ifndef LT2_MODEL_GENERATION_CHAT_EXPRESSION_H_
#define LT2_MODEL_GENERATION_CHAT_EXPRESSION_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/generation/chat/value.h"

namespace lt2::model::chat {

// Innermost scope last.
using Scopes = std::vector<std::map<std::string, Value>>;

// Evaluates the whole of `text`.
absl::StatusOr<Value> Evaluate(absl::string_view text, const Scopes& scopes);

}  // namespace lt2::model::chat

#endif  // LT2_MODEL_GENERATION_CHAT_EXPRESSION_H_
