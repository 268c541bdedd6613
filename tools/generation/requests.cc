#include "tools/generation/requests.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "kernels/core/json/json_reader.h"

namespace lt2::tools {
namespace {

absl::StatusOr<TextRequest> FromJson(absl::string_view line,
                                     const std::string& where) {
  LT2_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(line, where));
  JsonReader reader(json, where);
  TextRequest request;
  request.prompt = reader.String("prompt", "");
  for (JsonReader& message : reader.Objects("messages")) {
    message.Require({"role", "content"});
    request.messages.push_back(
        {message.String("role", ""), message.String("content", "")});
  }
  if (reader.Has("prompt") == reader.Has("messages")) {
    reader.Fail("prompt", "expected either \"prompt\" or \"messages\"");
  }
  if (reader.Has("id")) request.id = json["id"];
  LT2_RETURN_IF_ERROR(reader.Finish());
  return request;
}

}  // namespace

absl::StatusOr<std::vector<TextRequest>> ParseRequests(
    absl::string_view text, absl::string_view source) {
  std::vector<TextRequest> requests;
  bool json = false;
  int64_t number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    if (requests.empty()) json = absl::StartsWith(line, "{");
    TextRequest request;
    if (json) {
      LT2_ASSIGN_OR_RETURN(request,
                           FromJson(line, absl::StrCat(source, ":", number)));
    } else {
      if (absl::EndsWith(line, "\r")) line.remove_suffix(1);
      request.prompt = std::string(line);
    }
    if (request.id.is_null()) request.id = requests.size();
    requests.push_back(std::move(request));
  }
  if (requests.empty()) return InvalidArgument(source, ": no prompts");
  return requests;
}

std::string ToJsonLine(const TextResult& result) {
  nlohmann::ordered_json json;
  json["schema_version"] = 1;
  json["id"] = result.id;
  json["prompt"] = result.prompt;
  json["text"] = result.text;
  json["finish_reason"] = result.finish_reason;
  if (!result.stop_string.empty()) json["stop_string"] = result.stop_string;
  json["prompt_tokens"] = result.prompt_tokens;
  json["new_tokens"] = result.new_tokens;
  // A prompt may hold any bytes; what is not UTF-8 is replaced.
  return json.dump(-1, ' ', false,
                   nlohmann::ordered_json::error_handler_t::replace) +
         "\n";
}

std::string Describe(const model::GenerationTiming& timing) {
  const double ms = 1e3 * timing.seconds_to_first;
  if (timing.new_tokens == 0) {
    return absl::StrFormat("%d tokens in, in %.1f ms", timing.prompt_tokens,
                           ms);
  }
  std::string text = absl::StrFormat(
      "%d tokens in, the first new one after %.1f ms; %d tokens out",
      timing.prompt_tokens, ms, timing.new_tokens);
  if (timing.tokens_per_second() > 0) {
    text += absl::StrFormat(", %.1f a second", timing.tokens_per_second());
  }
  return text;
}

}  // namespace lt2::tools
