#include "evals/lm/encoding.h"

#include <algorithm>

#include "evals/lm/text_counts.h"

namespace lt2::evals {
namespace {

// The last `keep` of `ids`.
int64_t KeepLast(int64_t keep, std::vector<int32_t>* ids) {
  const int64_t cut = static_cast<int64_t>(ids->size()) - keep;
  if (cut <= 0) return 0;
  ids->erase(ids->begin(), ids->begin() + cut);
  return cut;
}

}  // namespace

size_t TrailingSpace(absl::string_view text) {
  size_t end = 0;  // of the last character that is not white space
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const uint32_t c = NextCodePoint(text, &i);
    if (!IsSpace(c) || (c >= 0x80 && i == begin + 1)) end = i;
  }
  return text.size() - end;
}

absl::StatusOr<EncodedRequest> EncodePair(const LanguageModel& model,
                                          absl::string_view context,
                                          absl::string_view continuation) {
  if (continuation.empty()) {
    return InvalidArgument(
        "a continuation is empty: there is nothing to "
        "score; look at the item's choices or target");
  }
  const size_t kept = context.size() - TrailingSpace(context);
  const absl::string_view head = context.substr(0, kept);
  const std::string tail = absl::StrCat(context.substr(kept), continuation);
  EncodedRequest encoded;
  Request& request = encoded.request;
  if (head.empty()) {
    request.context = {model.prefix_token()};
    request.continuation = model.Encode(tail);
  } else {
    const std::vector<int32_t> whole = model.Encode(absl::StrCat(head, tail));
    const size_t n = std::min(model.Encode(head).size(), whole.size());
    request.context.assign(whole.begin(), whole.begin() + n);
    request.continuation.assign(whole.begin() + n, whole.end());
  }
  if (request.continuation.empty() || request.context.empty()) {
    return InvalidArgument(
        "the continuation '", tail.substr(0, 40),
        "' has no token of its own after its context: the tokenizer joins "
        "them; begin the continuation with a space or a line break");
  }
  const int64_t scored = static_cast<int64_t>(request.continuation.size());
  const int64_t room = model.max_length() + 1 - scored;
  if (room < 1) {
    return InvalidArgument("a continuation of ", scored,
                           " tokens does not fit into --max_length=",
                           model.max_length(), "; give at least ", scored);
  }
  encoded.cut = KeepLast(room, &request.context);
  return encoded;
}

absl::StatusOr<EncodedRequest> EncodeContext(const LanguageModel& model,
                                             absl::string_view context,
                                             int64_t max_tokens) {
  EncodedRequest encoded;
  std::vector<int32_t>& ids = encoded.request.context;
  ids = model.Encode(context);
  if (ids.empty()) ids = {model.prefix_token()};
  const int64_t room = model.max_length() - max_tokens;
  if (room < 1) {
    return InvalidArgument("generating ", max_tokens,
                           " tokens leaves no room for a context in "
                           "--max_length=",
                           model.max_length(), "; give more than ", max_tokens);
  }
  encoded.cut = KeepLast(room, &ids);
  return encoded;
}

std::vector<Request> RollingWindows(absl::Span<const int32_t> ids,
                                    int32_t prefix, int64_t length) {
  LT2_CHECK(length >= 1, "length is ", length);
  std::vector<Request> windows;
  const int64_t n = static_cast<int64_t>(ids.size());
  for (int64_t begin = 0; begin < n; begin += length) {
    const int64_t end = std::min(n, begin + length);
    Request window;
    // The last window is filled up with tokens that were predicted before.
    const int64_t from =
        begin == 0 ? 0 : std::max<int64_t>(0, end - length - 1);
    if (begin == 0) window.context = {prefix};
    window.context.insert(window.context.end(), ids.begin() + from,
                          ids.begin() + begin);
    window.continuation.assign(ids.begin() + begin, ids.begin() + end);
    windows.push_back(std::move(window));
  }
  return windows;
}

}  // namespace lt2::evals
