#include "evals/lm/text_steps.h"

#include "absl/strings/ascii.h"
#include "evals/lm/encoding.h"
#include "evals/lm/text_counts.h"

namespace lt2::evals {
namespace {

using Text = absl::string_view;

// The first group that took part in the match, or all of the match.
Text Matched(const std::vector<re2::StringPiece>& groups) {
  for (size_t i = 1; i < groups.size(); ++i) {
    if (groups[i].data() != nullptr) {
      return Text(groups[i].data(), groups[i].size());
    }
  }
  return Text(groups[0].data(), groups[0].size());
}

absl::optional<std::string> Extract(const TextStep& step,
                                    const std::string& text) {
  std::vector<re2::StringPiece> groups(1 +
                                       step.pattern->NumberOfCapturingGroups());
  absl::optional<std::string> found;
  size_t from = 0;
  while (from <= text.size() &&
         step.pattern->Match(text, from, text.size(), RE2::UNANCHORED,
                             groups.data(), static_cast<int>(groups.size()))) {
    found = std::string(Matched(groups));
    if (!step.last) break;
    const size_t end =
        static_cast<size_t>(groups[0].data() - text.data()) + groups[0].size();
    from = groups[0].empty() ? end + 1 : end;
  }
  return found;
}

size_t LeadingSpace(Text text) {
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const uint32_t c = NextCodePoint(text, &i);
    if (!IsSpace(c) || (c >= 0x80 && i == begin + 1)) return begin;
  }
  return text.size();
}

// nullopt: no match.
absl::optional<std::string> Apply(const TextStep& step, std::string text) {
  const std::string& op = step.op;
  if (op == "extract") return Extract(step, text);
  if (op == "replace") {
    RE2::GlobalReplace(&text, *step.pattern, step.with);
  } else if (op == "lower") {
    absl::AsciiStrToLower(&text);
  } else if (op == "capitalize") {
    absl::AsciiStrToLower(&text);
    if (!text.empty()) text[0] = absl::ascii_toupper(text[0]);
  } else if (op == "trim") {
    text.resize(text.size() - TrailingSpace(text));
    text.erase(0, LeadingSpace(text));
  } else if (op == "trim_end") {
    text.resize(text.size() - TrailingSpace(text));
  } else if (op == "first_line") {
    text.resize(std::min(text.size(), text.find('\n')));
  } else {
    const bool last = op == "before_last" || op == "after_last";
    const size_t at = last ? text.rfind(step.arg) : text.find(step.arg);
    if (at == std::string::npos) return absl::nullopt;
    return op[0] == 'b' ? text.substr(0, at)
                        : text.substr(at + step.arg.size());
  }
  return text;
}

}  // namespace

std::vector<TextStep> ReadTextSteps(JsonReader& reader, const char* key) {
  std::vector<TextStep> steps;
  for (JsonReader& entry : reader.Objects(key)) {
    TextStep step;
    entry.Require({"op"});
    step.op = entry.Enum(
        "op", "trim",
        {"before_first", "after_first", "before_last", "after_last", "extract",
         "replace", "trim", "trim_end", "lower", "capitalize", "first_line"});
    const bool pattern = step.op == "extract" || step.op == "replace";
    if (pattern || step.op[0] == 'b' || step.op[0] == 'a') {
      entry.Require({"arg"});
      step.arg = entry.String("arg", "");
      if (step.arg.empty()) entry.Fail("arg", "expected a text");
    }
    if (step.op == "replace") step.with = entry.String("with", "");
    if (step.op == "extract") {
      step.last = entry.Enum("take", "first", {"first", "last"}) == "last";
    }
    if (entry.Has("otherwise")) step.otherwise = entry.String("otherwise", "");
    if (pattern) {
      step.pattern = std::make_shared<const RE2>(step.arg, RE2::Quiet);
      std::string error;
      if (!step.pattern->ok()) {
        entry.Fail("arg", "not a pattern of RE2: ", step.pattern->error());
      } else if (!step.pattern->CheckRewriteString(step.with, &error)) {
        entry.Fail("with", error);
      }
    }
    steps.push_back(std::move(step));
  }
  return steps;
}

std::vector<DerivedField> ReadDerivedFields(JsonReader& reader,
                                            const char* key) {
  std::vector<DerivedField> derived;
  for (JsonReader& entry : reader.Objects(key)) {
    DerivedField field;
    entry.Require({"name", "from"});
    field.name = entry.String("name", "");
    auto from = Template::Parse(entry.String("from", ""));
    if (from.ok()) {
      field.from = *std::move(from);
    } else {
      entry.Fail("from", from.status().message());
    }
    field.steps = ReadTextSteps(entry, "steps");
    derived.push_back(std::move(field));
  }
  return derived;
}

absl::StatusOr<std::string> ApplySteps(const std::vector<TextStep>& steps,
                                       std::string text) {
  for (const TextStep& step : steps) {
    absl::optional<std::string> changed = Apply(step, text);
    if (!changed.has_value()) changed = step.otherwise;
    if (!changed.has_value()) {
      return InvalidArgument(step.op, ": '", step.arg, "' does not occur in '",
                             text.substr(0, 60), "'");
    }
    text = *std::move(changed);
  }
  return text;
}

absl::Status Derive(const std::vector<DerivedField>& derived,
                    nlohmann::json* fields) {
  for (const DerivedField& field : derived) {
    auto text = field.from.Render(*fields);
    if (text.ok()) text = ApplySteps(field.steps, *std::move(text));
    if (!text.ok()) {
      return InvalidArgument("derived field '", field.name,
                             "': ", text.status().message());
    }
    (*fields)[field.name] = *std::move(text);
  }
  return absl::OkStatus();
}

}  // namespace lt2::evals
