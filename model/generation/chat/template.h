// Chat templates: a conversation as the text that an instruct model was trained
// on, by the template that is in the model's folder.
//
//   LT2_ASSIGN_OR_RETURN(auto chat, ChatTemplate::FromFolder(folder));
//   LT2_ASSIGN_OR_RETURN(std::string text,
//                        chat.Render({{"user", "Hello"}}, true));
//
// Templates are Jinja programs. This interprets the part of the language that
// ChatML, Llama 3 and templates like them use: text, {{ expressions }}
// (expression.h), {# comments #}, for with loop.first, .last, .index, .index0,
// .length, if / elif / else, set (also of a namespace's members), and the
// control of white space ({%- -%}; a newline after a statement and the blanks
// before one on its line are dropped, as transformers renders them). A template
// that holds any other statement, or comes upon anything else in an expression,
// gives an error that names it: it is never rendered wrongly.
//
// A template sees messages, add_generation_prompt, bos_token, eos_token; tools
// and documents are none. A hostile one runs out of steps (200 000) or of
// output (16 MiB).

#ifndef LT2_MODEL_GENERATION_CHAT_TEMPLATE_H_
#define LT2_MODEL_GENERATION_CHAT_TEMPLATE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lt2::model {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

class ChatTemplate {
 public:
  // From chat_template.jinja or the key chat_template of tokenizer_config.json
  // (of several, the one named "default"). NotFound if there is none.
  static absl::StatusOr<ChatTemplate> FromFolder(const std::string& folder);
  // `source` names the template in errors.
  static absl::StatusOr<ChatTemplate> Parse(absl::string_view text,
                                            absl::string_view source);
  // <|im_start|>ROLE\nCONTENT<|im_end|>\n for each message.
  static ChatTemplate ChatMl();

  // The texts of the tokens that begin and end a text, for templates that write
  // them.
  void SetTokens(std::string bos, std::string eos);
  const std::string& bos_token() const { return bos_; }
  const std::string& eos_token() const { return eos_; }

  // `reply`: followed by what an answer begins with.
  absl::StatusOr<std::string> Render(const std::vector<ChatMessage>& messages,
                                     bool reply) const;

  struct Node;

 private:
  std::shared_ptr<const std::vector<Node>> nodes_;
  std::string source_, bos_, eos_;
};

}  // namespace lt2::model

#endif  // LT2_MODEL_GENERATION_CHAT_TEMPLATE_H_
