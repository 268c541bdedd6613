// Values of chat templates and what is done to them.
//
// JSON's types, and `undefined`. The operations are those of expression.h; what
// they do not know, or what does not fit a value, is an InvalidArgument.

#ifndef LT2_MODEL_GENERATION_CHAT_VALUE_H_
#define LT2_MODEL_GENERATION_CHAT_VALUE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace lt2::model::chat {

using Value = nlohmann::json;

// What a name without a value is: false, prints as nothing, has no keys.
inline Value Undefined() { return Value(Value::value_t::discarded); }

// About the bytes that a value takes, or -1 if it is nested deeper than 64.
int64_t SizeOf(const Value& value, int depth = 0);

bool Truth(const Value& value);
std::string ToText(const Value& value);

// As a message calls it: "a value of type array".
std::string Describe(const Value& value);

bool Equal(const Value& a, const Value& b);
// item in container.
absl::StatusOr<Value> Contains(const Value& item, const Value& container);
// value is name.
absl::StatusOr<Value> IsTest(const Value& value, const std::string& name);
// value[part[0]:part[1]:part[2]], null where nothing stands.
absl::StatusOr<Value> Slice(const Value& value, const Value* part);
// value.name(arguments).
absl::StatusOr<Value> CallMethod(const Value& value, const std::string& name,
                                 const std::vector<Value>& arguments);
// value | name(arguments).
absl::StatusOr<Value> ApplyFilter(const Value& value, const std::string& name,
                                  const std::vector<Value>& arguments);

}  // namespace lt2::model::chat

#endif  // LT2_MODEL_GENERATION_CHAT_VALUE_H_
