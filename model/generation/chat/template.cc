#include "model/generation/chat/template.h"

#include <sys/stat.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "kernels/core/json/strict_json.h"
#include "kernels/core/status.h"
#include "model/generation/chat/expression.h"
#include "model/io/atomic_file.h"

namespace lt2::model {

// A piece of a template.
struct ChatTemplate::Node {
  enum Kind { kText, kOutput, kFor, kIf, kSet };
  // The branches of an if: a condition ("" for else) and what it holds.
  struct Branch {
    std::string condition;
    std::vector<Node> body;
  };

  Kind kind = kText;
  std::string text;              // kText: itself; else the expression
  std::string name, part;        // kFor: the variable; kSet: name or name.part
  std::vector<Branch> branches;  // kFor: one
};

namespace {

using chat::Scopes;
using chat::Value;
using Node = ChatTemplate::Node;

constexpr int64_t kMaxFileBytes = 16 << 20;
constexpr int64_t kMaxSteps = 200000;
constexpr size_t kMaxOutput = 16 << 20;
constexpr int64_t kMaxValue = 16 << 20;  // of a variable
constexpr int kMaxBlocks = 50;

// --- from text to nodes ------------------------------------------------------

// What stands between delimiters, or the text between two of those.
struct Piece {
  char kind = 't';  // 't' text, '{' output, '%' statement
  std::string text;
};

absl::StatusOr<std::vector<Piece>> Split(absl::string_view text) {
  std::vector<Piece> pieces;
  size_t at = 0;
  bool strip_next = false, drop_newline = false;
  while (true) {
    size_t open = text.find('{', at);
    while (open != text.npos &&
           (open + 1 >= text.size() ||
            !absl::StrContains("{%#", text.substr(open + 1, 1)))) {
      open = text.find('{', open + 1);
    }
    std::string before(text.substr(at, open == text.npos ? open : open - at));
    if (drop_newline && absl::StartsWith(before, "\n")) before.erase(0, 1);
    if (strip_next)
      before = std::string(absl::StripLeadingAsciiWhitespace(before));
    if (open == text.npos) {
      pieces.push_back({'t', std::move(before)});
      return pieces;
    }
    const char kind = text[open + 1];
    size_t begin = open + 2;
    const char mark = begin < text.size() ? text[begin] : ' ';
    if (mark == '-') {
      before = std::string(absl::StripTrailingAsciiWhitespace(before));
    } else if (kind != '{' && mark != '+') {
      // Blanks between the start of a line and a statement.
      const size_t end = before.find_last_not_of(" \t");
      const bool starts_line =
          end == before.npos ? at == 0 || text[at - 1] == '\n' || drop_newline
                             : before[end] == '\n';
      if (starts_line) before.erase(end == before.npos ? 0 : end + 1);
    }
    if (mark == '-' || mark == '+') ++begin;
    pieces.push_back({'t', std::move(before)});
    const std::string close = kind == '{' ? "}}" : kind == '%' ? "%}" : "#}";
    // A delimiter inside a quoted text is no delimiter.
    size_t end = begin;
    char quote = 0;
    for (; end < text.size(); ++end) {
      const char c = text[end];
      if (kind != '#' && quote != 0) {
        if (c == '\\') {
          ++end;
        } else if (c == quote) {
          quote = 0;
        }
      } else if (kind != '#' && (c == '\'' || c == '"')) {
        quote = c;
      } else if (text.substr(end, 2) == close) {
        break;
      }
    }
    if (end >= text.size()) {
      return InvalidArgument("'", text.substr(open, 20), "' without '", close,
                             "'");
    }
    absl::string_view inner = text.substr(begin, end - begin);
    strip_next = absl::EndsWith(inner, "-");
    if (strip_next || absl::EndsWith(inner, "+")) inner.remove_suffix(1);
    drop_newline = kind != '{';
    at = end + 2;
    if (kind != '#') {
      pieces.push_back({kind, std::string(absl::StripAsciiWhitespace(inner))});
    }
  }
}

// Takes the first word off `text`.
std::string TakeWord(std::string* text) {
  size_t end = 0;
  while (end < text->size() &&
         (absl::ascii_isalnum((*text)[end]) || (*text)[end] == '_')) {
    ++end;
  }
  std::string word = text->substr(0, end);
  *text = std::string(absl::StripLeadingAsciiWhitespace(text->substr(end)));
  return word;
}

class Parser {
 public:
  explicit Parser(std::vector<Piece> pieces) : pieces_(std::move(pieces)) {}

  absl::StatusOr<std::vector<Node>> Run() {
    std::string end;
    LT2_ASSIGN_OR_RETURN(std::vector<Node> nodes, Body(&end, 0));
    if (!end.empty()) return InvalidArgument("'", end, "' without a beginning");
    return nodes;
  }

 private:
  // Nodes up to a statement that ends a block, which is returned in *end with
  // what follows it in rest_; "" at the end of the text.
  absl::StatusOr<std::vector<Node>> Body(std::string* end, int depth) {
    if (depth > kMaxBlocks) return InvalidArgument("blocks nested too deeply");
    std::vector<Node> nodes;
    while (at_ < pieces_.size()) {
      Piece& piece = pieces_[at_++];
      Node node;
      node.text = piece.text;
      if (piece.kind == '{') node.kind = Node::kOutput;
      if (piece.kind != '%') {
        if (!node.text.empty()) nodes.push_back(std::move(node));
        continue;
      }
      rest_ = piece.text;
      const std::string word = TakeWord(&rest_);
      if (word == "endfor" || word == "endif" || word == "else" ||
          word == "elif") {
        *end = word;
        return nodes;
      }
      if (word == "generation" || word == "endgeneration") continue;
      if (word == "set") {
        LT2_RETURN_IF_ERROR(Set(piece.text, &node));
      } else if (word == "for") {
        LT2_RETURN_IF_ERROR(For(piece.text, depth, &node));
      } else if (word == "if") {
        LT2_RETURN_IF_ERROR(If(piece.text, depth, &node));
      } else {
        return InvalidArgument("unknown statement '", piece.text, "'");
      }
      nodes.push_back(std::move(node));
    }
    *end = "";
    return nodes;
  }
  absl::Status Set(const std::string& text, Node* node) {
    node->kind = Node::kSet;
    node->name = TakeWord(&rest_);
    if (absl::StartsWith(rest_, ".")) {
      rest_.erase(0, 1);
      node->part = TakeWord(&rest_);
    }
    if (node->name.empty() || !absl::StartsWith(rest_, "=")) {
      return InvalidArgument("unknown statement '", text, "'");
    }
    node->text = rest_.substr(1);
    return absl::OkStatus();
  }
  absl::Status For(const std::string& text, int depth, Node* node) {
    node->kind = Node::kFor;
    node->name = TakeWord(&rest_);
    if (node->name.empty() || TakeWord(&rest_) != "in") {
      return InvalidArgument("unknown statement '", text, "'");
    }
    node->text = rest_;
    std::string end;
    Node::Branch body;
    LT2_ASSIGN_OR_RETURN(body.body, Body(&end, depth + 1));
    node->branches.push_back(std::move(body));
    if (end == "endfor") return absl::OkStatus();
    return InvalidArgument("'", text, "' is followed by '", end,
                           "', expected 'endfor'");
  }
  absl::Status If(const std::string& text, int depth, Node* node) {
    node->kind = Node::kIf;
    std::string end = "elif";
    while (end == "elif" || end == "else") {
      Node::Branch branch;
      const bool last = end == "else";
      if (!last) {
        branch.condition = rest_;
        if (rest_.empty()) return InvalidArgument("'", text, "'");
      }
      LT2_ASSIGN_OR_RETURN(branch.body, Body(&end, depth + 1));
      node->branches.push_back(std::move(branch));
      if (last && end != "endif") break;
    }
    if (end == "endif") return absl::OkStatus();
    return InvalidArgument("'", text, "' is followed by '", end,
                           "', expected 'endif'");
  }

  std::vector<Piece> pieces_;
  std::string rest_;
  size_t at_ = 0;
};

// --- from nodes to text ------------------------------------------------------

class Renderer {
 public:
  explicit Renderer(std::map<std::string, Value> globals) {
    scopes_.push_back(std::move(globals));
  }

  absl::Status Run(const std::vector<Node>& nodes) {
    for (const Node& node : nodes) {
      if (++steps_ > kMaxSteps || output_.size() > kMaxOutput) {
        return absl::ResourceExhaustedError(
            "the template takes too many steps or writes too much");
      }
      switch (node.kind) {
        case Node::kText:
          output_ += node.text;
          break;
        case Node::kOutput: {
          LT2_ASSIGN_OR_RETURN(const Value value,
                               chat::Evaluate(node.text, scopes_));
          output_ += chat::ToText(value);
          break;
        }
        case Node::kSet: {
          LT2_ASSIGN_OR_RETURN(Value value, chat::Evaluate(node.text, scopes_));
          LT2_RETURN_IF_ERROR(Set(node, std::move(value)));
          break;
        }
        case Node::kIf:
          LT2_RETURN_IF_ERROR(If(node));
          break;
        case Node::kFor:
          LT2_RETURN_IF_ERROR(For(node));
          break;
      }
    }
    return absl::OkStatus();
  }
  std::string TakeOutput() { return std::move(output_); }

 private:
  absl::Status Set(const Node& node, Value value) {
    const int64_t size = chat::SizeOf(value);
    if (size < 0 || size > kMaxValue) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the value of '", node.name, "' is too large"));
    }
    if (node.part.empty()) {
      scopes_.back()[node.name] = std::move(value);
      return absl::OkStatus();
    }
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto it = scope->find(node.name);
      if (it == scope->end()) continue;
      if (!it->second.is_object()) break;
      it->second[node.part] = std::move(value);
      return absl::OkStatus();
    }
    return InvalidArgument("'", node.name, "' in 'set ", node.name, ".",
                           node.part, "' is no namespace");
  }
  absl::Status If(const Node& node) {
    for (const Node::Branch& branch : node.branches) {
      if (!branch.condition.empty()) {
        LT2_ASSIGN_OR_RETURN(const Value value,
                             chat::Evaluate(branch.condition, scopes_));
        if (!chat::Truth(value)) continue;
      }
      return Run(branch.body);
    }
    return absl::OkStatus();
  }
  absl::Status For(const Node& node) {
    LT2_ASSIGN_OR_RETURN(const Value items, chat::Evaluate(node.text, scopes_));
    if (!items.is_array()) {
      return InvalidArgument("'for ", node.name, " in ", node.text,
                             "': not a list but of type ", items.type_name());
    }
    const int64_t n = static_cast<int64_t>(items.size());
    for (int64_t i = 0; i < n; ++i) {
      scopes_.push_back({{node.name, items[i]},
                         {"loop",
                          {{"index", i + 1},
                           {"index0", i},
                           {"first", i == 0},
                           {"last", i == n - 1},
                           {"length", n}}}});
      const absl::Status status = Run(node.branches[0].body);
      scopes_.pop_back();
      LT2_RETURN_IF_ERROR(status);
    }
    return absl::OkStatus();
  }

  Scopes scopes_;
  std::string output_;
  int64_t steps_ = 0;
};

bool Exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

// "text" or {"content": "text"}.
std::string TokenText(const Value& config, const char* key) {
  const auto it = config.find(key);
  if (it == config.end()) return "";
  if (it->is_string()) return it->get<std::string>();
  if (it->is_object() && it->contains("content") &&
      (*it)["content"].is_string()) {
    return (*it)["content"].get<std::string>();
  }
  return "";
}

}  // namespace

absl::StatusOr<ChatTemplate> ChatTemplate::Parse(absl::string_view text,
                                                 absl::string_view source) {
  ChatTemplate chat;
  chat.source_ = std::string(source);
  auto parse = [&]() -> absl::StatusOr<std::vector<Node>> {
    LT2_ASSIGN_OR_RETURN(std::vector<Piece> pieces, Split(text));
    return Parser(std::move(pieces)).Run();
  };
  auto nodes = parse();
  if (!nodes.ok()) return Annotate(nodes.status(), chat.source_);
  chat.nodes_ =
      std::make_shared<const std::vector<Node>>(std::move(nodes).value());
  return chat;
}

absl::StatusOr<ChatTemplate> ChatTemplate::FromFolder(
    const std::string& folder) {
  const std::string config_path = folder + "/tokenizer_config.json";
  const std::string jinja_path = folder + "/chat_template.jinja";
  Value config = Value::object();
  if (Exists(config_path)) {
    LT2_ASSIGN_OR_RETURN(const std::string text,
                         ReadFile(config_path, kMaxFileBytes));
    LT2_ASSIGN_OR_RETURN(config, ParseJson(text, config_path));
    if (!config.is_object()) {
      return InvalidArgument(config_path, ": expected an object");
    }
  }
  std::string text, source = config_path + ": chat_template";
  if (Exists(jinja_path)) {
    LT2_ASSIGN_OR_RETURN(text, ReadFile(jinja_path, kMaxFileBytes));
    source = jinja_path;
  } else {
    const Value found = config.value("chat_template", Value());
    if (found.is_string()) text = found.get<std::string>();
    if (found.is_array()) {
      for (const Value& entry : found) {
        if (entry.is_object() && entry.value("name", Value()) == "default" &&
            entry.value("template", Value()).is_string()) {
          text = entry["template"].get<std::string>();
        }
      }
    }
  }
  if (text.empty()) {
    return absl::NotFoundError(absl::StrCat(
        folder, ": no chat template (chat_template.jinja, or chat_template in ",
        "tokenizer_config.json)"));
  }
  LT2_ASSIGN_OR_RETURN(ChatTemplate chat, Parse(text, source));
  chat.SetTokens(TokenText(config, "bos_token"),
                 TokenText(config, "eos_token"));
  return chat;
}

ChatTemplate ChatTemplate::ChatMl() {
  auto chat = Parse(
      "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n'"
      " + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
      "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
      "{% endif %}",
      "ChatML");
  LT2_CHECK(chat.ok(), chat.status().ToString());
  chat->SetTokens("", "<|im_end|>");
  return *chat;
}

void ChatTemplate::SetTokens(std::string bos, std::string eos) {
  bos_ = std::move(bos);
  eos_ = std::move(eos);
}

absl::StatusOr<std::string> ChatTemplate::Render(
    const std::vector<ChatMessage>& messages, bool reply) const {
  Value list = Value::array();
  for (const ChatMessage& message : messages) {
    list.push_back({{"role", message.role}, {"content", message.content}});
  }
  Renderer renderer({{"messages", std::move(list)},
                     {"add_generation_prompt", reply},
                     {"bos_token", bos_},
                     {"eos_token", eos_},
                     {"tools", nullptr},
                     {"documents", nullptr}});
  const absl::Status status = renderer.Run(*nodes_);
  if (!status.ok()) return Annotate(status, source_);
  return renderer.TakeOutput();
}

}  // namespace lt2::model
