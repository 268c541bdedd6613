// From texts to requests: where a context ends, and windows of a long text.
//
// Definitions of lm-evaluation-harness:
//   - white space at the end of a context moves to the front of the
//     continuation;
//   - both are encoded as one text, and the first |enc(context)| tokens are the
//     context; without a context it is the model's prefix token;
//   - what is too long loses tokens from the left of the context.

#ifndef LT2_EVALS_LM_ENCODING_H_
#define LT2_EVALS_LM_ENCODING_H_

#include <string>
#include <vector>

#include "evals/lm/language_model.h"

namespace lt2::evals {

struct EncodedRequest {
  Request request;
  int64_t cut = 0;  // tokens of the context that did not fit
};

// An error if the continuation is empty, has no token of its own (its first
// characters merged into the context), or does not fit by itself; the message
// says which flag helps.
absl::StatusOr<EncodedRequest> EncodePair(const LanguageModel& model,
                                          absl::string_view context,
                                          absl::string_view continuation);

// A context to generate `max_tokens` tokens after, cut from the left.
absl::StatusOr<EncodedRequest> EncodeContext(const LanguageModel& model,
                                             absl::string_view context,
                                             int64_t max_tokens);

// Windows of `ids` (without a prefix token) for a model that reads `length`
// tokens at once. The first has `prefix` as its context and predicts
// ids[0..length); each next one predicts the next `length` tokens after one
// token of context; the last, of r tokens, has min(length - r + 1, all) tokens
// of context. Every token is predicted exactly once; the number of inputs is
// at most `length`. So a perplexity from windows depends on `length`.
std::vector<Request> RollingWindows(absl::Span<const int32_t> ids,
                                    int32_t prefix, int64_t length);

// Bytes of white space at the end (Python's rstrip: Unicode's included).
size_t TrailingSpace(absl::string_view text);

}  // namespace lt2::evals

#endif  // LT2_EVALS_LM_ENCODING_H_
