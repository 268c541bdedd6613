#include "evals/lm/mock_language_model.h"

#include "kernels/core/hash.h"

namespace lt2::evals {

MockLanguageModel::MockLanguageModel(std::string digest, int64_t max_length)
    : digest_(std::move(digest)), max_length_(max_length) {
  token = [](absl::Span<const int32_t> before, int32_t next) {
    uint64_t hash = Fnv1a(absl::string_view(
        reinterpret_cast<const char*>(before.data()), 4 * before.size()));
    hash =
        Fnv1a(absl::string_view(reinterpret_cast<const char*>(&next), 4), hash);
    return -static_cast<float>(hash >> 48) / 8192.0f;
  };
  answer = [](const std::string&) { return std::string(" nothing\n"); };
}

absl::StatusOr<std::vector<LoglikelihoodResult>>
MockLanguageModel::Loglikelihood(absl::Span<const Request> requests) {
  std::vector<LoglikelihoodResult> results;
  for (const Request& request : requests) {
    if (before_answer) before_answer();
    LoglikelihoodResult result;
    std::vector<int32_t> before = request.context;
    result.is_greedy = true;
    for (int32_t id : request.continuation) {
      const float logprob = token(before, id);
      result.tokens.push_back(logprob);
      result.sum += logprob;
      result.is_greedy &= logprob > -0.6931f;
      before.push_back(id);
    }
    results.push_back(result);
    ++answered;
  }
  return results;
}

absl::StatusOr<std::vector<float>> MockLanguageModel::Rolling(
    absl::Span<const int32_t> ids) {
  if (before_answer) before_answer();
  ++answered;
  std::vector<float> logprobs;
  for (size_t i = 1; i < ids.size(); ++i) {
    logprobs.push_back(token(ids.subspan(0, i), ids[i]));
  }
  return logprobs;
}

absl::StatusOr<std::vector<Generation>> MockLanguageModel::GenerateUntil(
    absl::Span<const std::vector<int32_t>> contexts,
    const std::vector<std::string>& stop, int64_t max_tokens) {
  std::vector<Generation> generations;
  for (const std::vector<int32_t>& context : contexts) {
    if (before_answer) before_answer();
    ++answered;
    Generation generation;
    std::string text = answer(Decode(context));
    generation.reason = "end_of_text";
    if (static_cast<int64_t>(text.size()) > max_tokens) {
      text.resize(max_tokens);
      generation.reason = "length";
    }
    generation.ids = Encode(text);
    if (CutAtStop(stop, &text)) generation.reason = "stop";
    generation.text = text;
    generations.push_back(std::move(generation));
  }
  return generations;
}

std::vector<int32_t> MockLanguageModel::Encode(absl::string_view text) const {
  std::vector<int32_t> ids;
  for (char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

std::string MockLanguageModel::Decode(absl::Span<const int32_t> ids) const {
  std::string text;
  for (int32_t id : ids) text.push_back(static_cast<char>(id));
  return text;
}

}  // namespace lt2::evals
