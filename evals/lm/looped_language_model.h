// A checkpoint of ours as a LanguageModel.
//
// Bits of a score do not depend on batch, order or neighbours, because a
// request decides by itself in which shapes it is computed:
//
//   whole    context and continuation as a row of a block of the fixed shape
//            [rows, L], L the smallest of 16, 32, 64, ... that holds it;
//            missing rows and tokens on the right are filled up. Taken when the
//            context is not longer than the continuation (windows of a text,
//            say).
//   branch   the context but its last token goes through the model once, alone
//            [1, n], in chunks; its state is copied to the rows of a block
//            [rows, L] that holds that last token and the continuations. All
//            continuations of one context in a call share it: a multiple choice
//            with k choices costs one context, not k.
//
// A model whose loops share a cache (cache_sharing) cannot go on with several
// tokens from a state: everything of it is `whole`, and its prompts are read in
// one piece.
//
// On a GPU, which small blocks leave idle, many rows and `whole` alone are
// faster: a context is computed again for each choice, 64 of them at once.
//
// Texts are written by model/generation, in blocks of `text_rows` sequences
// (one is best on a CPU), fewer if the states of that many of max_length take
// more than half of the memory. In a block a prompt is read in chunks up to the
// last multiple of 64 before its end, the rest token by token with the text:
// prompts with the same multiple share a block, and none's bits depend on
// which.
//
// A right-padded token is never seen by those before it (all mixers are
// causal), and states of blocks are thrown away after them.
//
// Memory: logits of a block, rows * L * vocab floats, and the states of `rows`
// sequences. Cost: model.Cost, plus a copy of the state for each block.

#ifndef LT2_EVALS_LM_LOOPED_LANGUAGE_MODEL_H_
#define LT2_EVALS_LM_LOOPED_LANGUAGE_MODEL_H_

#include <memory>
#include <string>
#include <vector>

#include "evals/lm/language_model.h"
#include "model/generation/generator.h"
#include "model/looped/looped_model.h"
#include "tasks/tokenizer/tokenizer.h"

namespace lt2::evals {

struct LoopedLmOptions {
  int64_t max_length = 2048;
  int64_t loops = 0;          // 0: the model's own
  int64_t rows = 4;           // of a block
  int64_t text_rows = 1;      // of a block of texts
  int64_t chunk = 256;        // tokens of a context at a time
  bool share_context = true;  // false: everything as `whole`
};

class LoopedLanguageModel : public LanguageModel {
 public:
  // `model_digest` names the weights and the configuration. Both must outlive
  // it. FailedPrecondition, with the remedy, if the tokenizer's ids are not the
  // model's: more of them, or fewer by more than a padded vocabulary has.
  static absl::StatusOr<std::unique_ptr<LoopedLanguageModel>> Create(
      model::LoopedModel& model, const tasks::Tokenizer& tokenizer,
      const std::string& model_digest, const LoopedLmOptions& options);

  absl::StatusOr<std::vector<LoglikelihoodResult>> Loglikelihood(
      absl::Span<const Request> requests) override;
  absl::StatusOr<std::vector<float>> Rolling(
      absl::Span<const int32_t> ids) override;
  absl::StatusOr<std::vector<Generation>> GenerateUntil(
      absl::Span<const std::vector<int32_t>> contexts,
      const std::vector<std::string>& stop, int64_t max_tokens) override;
  int64_t max_length() const override { return options_.max_length; }
  std::string digest() const override { return digest_; }
  std::vector<int32_t> Encode(absl::string_view text) const override;
  std::string Decode(absl::Span<const int32_t> ids) const override;
  int32_t prefix_token() const override { return prefix_token_; }

  // Tokens that went through the model, padding included.
  int64_t tokens_computed() const { return tokens_computed_; }

 private:
  LoopedLanguageModel(model::LoopedModel& model,
                      const tasks::Tokenizer& tokenizer,
                      const LoopedLmOptions& options)
      : model_(model), tokenizer_(tokenizer), options_(options) {}
  // Scores rows of a block of one shape; `state` may be nullptr.
  absl::Status ScoreBlock(absl::Span<const Request* const> rows,
                          int64_t context_tokens, int64_t length,
                          model::DecodeState* state,
                          absl::Span<LoglikelihoodResult* const> results);
  absl::Status ScoreWhole(absl::Span<const Request> requests,
                          const std::vector<size_t>& which,
                          std::vector<LoglikelihoodResult>* results);
  // Requests `which` have the same context.
  absl::Status ScoreBranches(absl::Span<const Request> requests,
                             const std::vector<size_t>& which,
                             std::vector<LoglikelihoodResult>* results);
  // Runs ids through `state`.
  absl::Status Prefill(absl::Span<const int32_t> ids,
                       model::DecodeState* state);
  // Tokens at a time, of n.
  int64_t Chunk(int64_t n) const { return in_pieces_ ? options_.chunk : n; }
  absl::StatusOr<std::unique_ptr<model::DecodeState>> Branch(
      const model::DecodeState& state, int64_t capacity);
  // Texts after contexts `which`, which share a block.
  absl::Status GenerateBlock(absl::Span<const std::vector<int32_t>> contexts,
                             absl::Span<const size_t> which,
                             const std::vector<std::string>& stop,
                             int64_t max_tokens,
                             std::vector<Generation>* generations);

  model::LoopedModel& model_;
  const tasks::Tokenizer& tokenizer_;
  LoopedLmOptions options_;
  // False: the model must read a text in one piece.
  bool in_pieces_ = true;
  std::string digest_;
  int32_t prefix_token_ = 0;
  model::GeneratorOptions generator_;
  int64_t tokens_computed_ = 0;
};

// An error if these do not belong together (see Create). `vocab_size` is the
// model's.
absl::Status CheckVocabulary(const tasks::Tokenizer& tokenizer,
                             int64_t vocab_size);

}  // namespace lt2::evals

#endif  // LT2_EVALS_LM_LOOPED_LANGUAGE_MODEL_H_
