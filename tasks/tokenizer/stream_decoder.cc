#include "tasks/tokenizer/tokenizer.h"
#include "tasks/tokenizer/unicode.h"

namespace lt2::tasks {
namespace {

constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

std::string StreamDecoder::Add(int32_t id) {
  const absl::string_view bytes = tokenizer_.TokenBytes(id);
  pending_.append(bytes.data(), bytes.size());
  std::string result;
  size_t at = 0;
  while (at < pending_.size()) {
    const absl::string_view rest = absl::string_view(pending_).substr(at);
    const Utf8Step step = NextUtf8(rest);
    if (step.kind == Utf8Step::kIncomplete) break;
    const absl::string_view out = step.kind == Utf8Step::kInvalid
                                      ? kReplacement
                                      : rest.substr(0, step.length);
    result.append(out.data(), out.size());
    at += step.length;
  }
  pending_.erase(0, at);
  return result;
}

std::string StreamDecoder::Finish() {
  if (pending_.empty()) return "";
  pending_.clear();
  return std::string(kReplacement);
}

}  // namespace lt2::tasks
