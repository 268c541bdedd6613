// What to generate from: prompts of a file, and one answer a line.

#ifndef LT2_TOOLS_GENERATION_REQUESTS_H_
#define LT2_TOOLS_GENERATION_REQUESTS_H_

#include <string>
#include <vector>

#include "kernels/core/status.h"
#include "model/generation/chat/template.h"
#include "model/generation/generator.h"
#include "nlohmann/json.hpp"

namespace lt2::tools {

// A prompt or a conversation.
struct TextRequest {
  nlohmann::json id;  // the file's, else the number of the line from 0
  std::string prompt;
  std::vector<model::ChatMessage> messages;
};

// One request a line: a JSON object
//   {"prompt": "..."} or {"messages": [{"role": "user", "content": "..."}]},
// with an optional "id" (any value), or, in a file whose first line does not
// begin with '{', the prompt itself. Empty lines are skipped. Anything else is
// an error that names the line.
absl::StatusOr<std::vector<TextRequest>> ParseRequests(
    absl::string_view text, absl::string_view source);

struct TextResult {
  nlohmann::json id;
  std::string prompt, text;
  std::string finish_reason;  // length, stop_id, stop_string
  std::string stop_string;
  int64_t prompt_tokens = 0, new_tokens = 0;
};

// One line of the output file, with its newline.
std::string ToJsonLine(const TextResult& result);

// "57 tokens in, the first new one after 12.3 ms; 64 tokens out, 412.0 a
// second"
std::string Describe(const model::GenerationTiming& timing);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_GENERATION_REQUESTS_H_
