// A model without weights, for tests: bytes are tokens, and every response is a
// function of the request's ids.

#ifndef LT2_EVALS_LM_MOCK_LANGUAGE_MODEL_H_
#define LT2_EVALS_LM_MOCK_LANGUAGE_MODEL_H_

#include <functional>
#include <string>
#include <vector>

#include "evals/lm/language_model.h"

namespace lt2::evals {

class MockLanguageModel : public LanguageModel {
 public:
  // ln p of token `next` after `before`, <= 0. The default is a hash of both.
  using TokenFunction =
      std::function<float(absl::Span<const int32_t> before, int32_t next)>;

  explicit MockLanguageModel(std::string digest = "mock",
                             int64_t max_length = 1 << 20);

  TokenFunction token;
  // What GenerateUntil writes after a context (before it is cut).
  std::function<std::string(const std::string& context)> answer;
  // The requests answered so far, and called before each answer.
  int64_t answered = 0;
  std::function<void()> before_answer;

  absl::StatusOr<std::vector<LoglikelihoodResult>> Loglikelihood(
      absl::Span<const Request> requests) override;
  absl::StatusOr<std::vector<float>> Rolling(
      absl::Span<const int32_t> ids) override;
  absl::StatusOr<std::vector<Generation>> GenerateUntil(
      absl::Span<const std::vector<int32_t>> contexts,
      const std::vector<std::string>& stop, int64_t max_tokens) override;
  int64_t max_length() const override { return max_length_; }
  std::string digest() const override { return digest_; }
  std::vector<int32_t> Encode(absl::string_view text) const override;
  std::string Decode(absl::Span<const int32_t> ids) const override;
  int32_t prefix_token() const override { return 0; }

 private:
  const std::string digest_;
  const int64_t max_length_;
};

}  // namespace lt2::evals

#endif  // LT2_EVALS_LM_MOCK_LANGUAGE_MODEL_H_
