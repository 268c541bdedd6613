// What a language evaluation asks of a model: three kinds of request, on ids.
//
//   Loglikelihood   ln p(continuation | context), and whether greedy decoding
//                   would have written the continuation
//   Rolling         ln p of every token of a text, the model's state carried
//                   through it ("streaming")
//   GenerateUntil   greedy texts after contexts, up to a stop string
//
// Texts become ids with the model's own tokenizer, by Encode; encoding.h cuts
// them into requests. Implementations: LoopedLanguageModel (a checkpoint),
// MockLanguageModel (tests).
//
// A response is a pure function of its request: it must not depend on what else
// was asked, in which order, or how many requests came in one call.

#ifndef LT2_EVALS_LM_LANGUAGE_MODEL_H_
#define LT2_EVALS_LM_LANGUAGE_MODEL_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/core/status.h"

namespace lt2::evals {

// Both parts have at least one token.
struct Request {
  std::vector<int32_t> context, continuation;
};

struct LoglikelihoodResult {
  double sum = 0;             // of `tokens`, in natural logarithms
  bool is_greedy = false;     // every token is the most likely one
  std::vector<float> tokens;  // ln p of each token of the continuation
};

struct Generation {
  std::vector<int32_t> ids;  // without an end-of-text token
  std::string text;          // cut before the stop string
  std::string reason;        // "stop", "end_of_text" or "length"
};

class LanguageModel {
 public:
  virtual ~LanguageModel() = default;

  // One result for each request. A request may have at most max_length()
  // inputs: context + continuation - 1 tokens; longer ones are errors.
  virtual absl::StatusOr<std::vector<LoglikelihoodResult>> Loglikelihood(
      absl::Span<const Request> requests) = 0;

  // ln p of ids[1..]: one less than ids. Any length.
  virtual absl::StatusOr<std::vector<float>> Rolling(
      absl::Span<const int32_t> ids) = 0;

  // One text for each context, of at most `max_tokens` tokens;
  // context + max_tokens <= max_length().
  virtual absl::StatusOr<std::vector<Generation>> GenerateUntil(
      absl::Span<const std::vector<int32_t>> contexts,
      const std::vector<std::string>& stop, int64_t max_tokens) = 0;

  // Tokens that the model reads at once.
  virtual int64_t max_length() const = 0;

  // Names everything that a response depends on beside the request: weights,
  // configuration, tokenizer, loops, type of arithmetic, shapes of blocks.
  virtual std::string digest() const = 0;

  virtual std::vector<int32_t> Encode(absl::string_view text) const = 0;
  // Lossless bytes.
  virtual std::string Decode(absl::Span<const int32_t> ids) const = 0;
  // Stands before a text that has no context.
  virtual int32_t prefix_token() const = 0;
};

// Cuts `text` before the first place where one of `stop` begins; true if there
// is one. Empty stop strings are ignored.
inline bool CutAtStop(const std::vector<std::string>& stop, std::string* text) {
  size_t first = std::string::npos;
  for (const std::string& s : stop) {
    if (!s.empty()) first = std::min(first, text->find(s));
  }
  if (first == std::string::npos) return false;
  text->resize(first);
  return true;
}

}  // namespace lt2::evals

#endif  // LT2_EVALS_LM_LANGUAGE_MODEL_H_
