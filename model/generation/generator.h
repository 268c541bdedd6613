// Generation of tokens: prompts in, tokens out, for a batch of sequences.
//
//   prompt -- chunks of many tokens --> state -- one token a step --> tokens
//
//   LT2_ASSIGN_OR_RETURN(auto generator, Generator::Create(model, options));
//   LT2_RETURN_IF_ERROR(generator->Append({prompt_ids}));
//   LT2_ASSIGN_OR_RETURN(Generated g, generator->Generate(how));
//
// A Generator knows tokens(row) of each row, and its DecodeState has taken in
// the first position() of them, the same number for all rows, always at least
// one less than there are. Generate
//   1. takes in, in chunks, what every row has, up to the last token but one of
//      the shortest row, or to the last multiple of prompt_grain before it;
//   2. takes in one token of each row at a time. A row whose next token is not
//      known draws it from the logits of this step; one whose prompt is longer
//      reads on. A row that has ended is fed its last token for the company.
// So prompts of different lengths need no padding, and a recurrent state never
// sees a token that is not in its text; rows of similar length waste the least.
//
// Bits. The token at position p of a row is drawn from Philox(seed, p, stream
// of the row) (kernels/sampling): with the stream its number in a file, a
// prompt's text does not depend on the batch it is in beyond roundings, which
// do depend on the number of rows and on where chunks end. With these the same,
// a row's bits do not depend on the other rows' tokens. Chunks end with the
// shortest row: rows whose lengths less one have the same multiple of
// prompt_grain in them have the same chunks in any company.
//
// More tokens may be appended and generated afterwards (a conversation), and
// what the state holds may be saved and loaded (snapshot.h): the same bits as
// without the interruption. Not so after steps in which a row had ended while
// others went on.
//
// Decoding steps are CUDA graphs on a GPU (model/looped/decode_graph.h).
//
// Cost: model/looped/accounting.h. Memory beside the weights: the states for
// `capacity` tokens, and the logits of a step, f32 [batch, vocab]. A request
// for more than there is, or than the model was made for, is refused before
// anything is computed.

#ifndef LT2_MODEL_GENERATION_GENERATOR_H_
#define LT2_MODEL_GENERATION_GENERATOR_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/generation/snapshot.h"
#include "model/looped/decode_graph.h"
#include "model/looped/looped_model.h"

namespace lt2::model {

// As in kernels/sampling/sampling.h. The penalty is on all tokens of the row,
// its prompt's too.
struct SamplingParameters {
  float temperature = 1;  // 0: greedy
  int top_k = 0;
  float top_p = 1;
  float min_p = 0;
  float repetition_penalty = 1;
  uint64_t seed = 0;
};

struct GeneratorOptions {
  int64_t batch = 1;
  // Most tokens of a row, prompt and generated ones.
  int64_t capacity = 4096;
  int64_t loops = 0;         // 0: the model's loop_count
  int64_t chunk = 512;       // most tokens of a prompt at a time
  int64_t prompt_grain = 1;  // see above
  // Most tokens that the model was made for; 0: no limit.
  int64_t max_positions = 0;
  // The random stream of each row; empty: its number.
  std::vector<int32_t> streams;
};

struct GenerateOptions {
  SamplingParameters sampling;
  int64_t max_tokens = 128;  // of each row
  // A row ends before one of these.
  std::vector<int32_t> stop_ids;
  // Told every token as it is drawn, stop ids not; false ends the row.
  std::function<bool(int64_t row, int32_t id)> on_token;
};

enum class FinishReason { kMaxTokens, kStopId, kCallback };
const char* Name(FinishReason reason);  // "length", "stop_id", "stop_string"

struct GeneratedRow {
  std::vector<int32_t> ids;  // without the stop id
  FinishReason reason = FinishReason::kMaxTokens;
};

struct GenerationTiming {
  int64_t prompt_tokens = 0;    // taken in before the first one was drawn
  double seconds_to_first = 0;  // from the call of Generate
  int64_t new_tokens = 0;       // of all rows
  int64_t later_tokens = 0;     // of these, after the first step that drew any
  double later_seconds = 0;     // from there to the end

  // Of all rows together; 0 if there was no second token.
  double tokens_per_second() const;
};

struct Generated {
  std::vector<GeneratedRow> rows;
  GenerationTiming timing;
};

// Bytes by formula, for refusing and for telling.
struct GeneratorMemory {
  int64_t state_bytes = 0;   // at full capacity
  int64_t logits_bytes = 0;  // of a step
};
absl::StatusOr<GeneratorMemory> MemoryOf(const LoopedModel& model,
                                         const GeneratorOptions& options);

// The largest batch whose memory is at most half of what the model's context
// may hold, of options.batch halved any number of times; at least 1.
absl::StatusOr<int64_t> BatchThatFits(const LoopedModel& model,
                                      GeneratorOptions options);

class Generator {
 public:
  // Refuses (ResourceExhausted) what memory or the model does not allow.
  static absl::StatusOr<std::unique_ptr<Generator>> Create(
      LoopedModel& model, const GeneratorOptions& options);

  // One list of ids for each row, maybe empty, behind the tokens it has.
  absl::Status Append(const std::vector<std::vector<int32_t>>& tokens);

  // Takes in what Generate would before its first step. Every row must have a
  // token.
  absl::Status Prefill();
  absl::StatusOr<Generated> Generate(const GenerateOptions& options);

  // The state as it is now; all rows must have the same number of tokens.
  // Returns the file's bytes.
  absl::StatusOr<int64_t> Save(absl::string_view path,
                               const SnapshotIdentity& identity) const;
  // Into a generator without tokens, made for the same model, batch and loops.
  absl::Status Load(absl::string_view path, const SnapshotIdentity& identity);

  int64_t batch() const { return options_.batch; }
  int64_t position() const { return state_->position(); }
  const std::vector<int32_t>& tokens(int64_t row) const { return tokens_[row]; }
  int64_t state_bytes() const { return state_->bytes(); }

 private:
  Generator(LoopedModel& model, const GeneratorOptions& options)
      : model_(model), options_(options) {}
  // Errors unless every row has a token and room for `more`.
  absl::Status Check(int64_t more) const;
  // Ids at [position, position + n) of all rows, on the device.
  absl::StatusOr<Tensor> Input(int64_t n) const;
  // Draws a token for each row at the current position.
  absl::StatusOr<std::vector<int32_t>> Draw(const SamplingParameters& sampling,
                                            const Tensor& logits) const;

  LoopedModel& model_;
  GeneratorOptions options_;
  std::unique_ptr<DecodeState> state_;
  std::unique_ptr<DecodeGraph> decoder_;
  std::vector<std::vector<int32_t>> tokens_;
  Tensor streams_;         // i32 [batch]
  Tensor counts_;          // i32 [batch, vocab], while there is a penalty
  bool diverged_ = false;  // the state has tokens that tokens_ does not
};

}  // namespace lt2::model

#endif  // LT2_MODEL_GENERATION_GENERATOR_H_
