#include "evals/lm/looped_language_model.h"

#include <algorithm>
#include <map>

#include "kernels/cross_entropy/cross_entropy.h"
#include "model/looped/scoring.h"

namespace lt2::evals {
namespace {

using model::DecodeState;

// See the header.
constexpr int64_t kPromptGrain = 64;

// Vocabularies of models are rounded up, to a multiple of 1024 at most.
constexpr int64_t kMostPadding = 1024;

// The smallest of 16, 32, 64, ... that is not below n.
int64_t Bucket(int64_t n) {
  int64_t length = 16;
  while (length < n) length *= 2;
  return length;
}

}  // namespace

absl::Status CheckVocabulary(const tasks::Tokenizer& tokenizer,
                             int64_t vocab_size) {
  const int64_t ids = tokenizer.vocab_size();
  // Our byte-level models have the 256 bytes only, "bytes" an end of text too,
  // which no text has.
  if (vocab_size == 256 && ids == 257) return absl::OkStatus();
  if (ids > vocab_size || vocab_size - ids > kMostPadding) {
    return absl::FailedPreconditionError(
        absl::StrCat("the tokenizer has ", ids,
                     " ids, the model's vocabulary is ", vocab_size,
                     ": they do not belong together; give the model's own with "
                     "--tokenizer=FOLDER, FILE or bytes"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<LoopedLanguageModel>>
LoopedLanguageModel::Create(model::LoopedModel& model,
                            const tasks::Tokenizer& tokenizer,
                            const std::string& model_digest,
                            const LoopedLmOptions& options) {
  if (options.max_length < 1 || options.rows < 1 || options.text_rows < 1 ||
      options.chunk < 1 || options.loops < 0) {
    return InvalidArgument(
        "max_length, rows, text_rows, chunk must be >= 1, loops >= 0; got ",
        options.max_length, ", ", options.rows, ", ", options.text_rows, ", ",
        options.chunk, ", ", options.loops);
  }
  const int64_t vocab = model.config().vocab_size;
  LT2_RETURN_IF_ERROR(CheckVocabulary(tokenizer, vocab));
  auto lm = std::unique_ptr<LoopedLanguageModel>(
      new LoopedLanguageModel(model, tokenizer, options));
  using CacheSharing = model::ModelConfig::CacheSharing;
  if (model.config().cache_sharing != CacheSharing::kNone) {
    lm->in_pieces_ = false;
    lm->options_.share_context = false;
  }
  // Byte 0 begins a document in our byte-level training (tasks/text.h).
  lm->prefix_token_ =
      tokenizer.begin_of_text().value_or(tokenizer.end_of_text().value_or(0));
  if (lm->prefix_token_ >= vocab) lm->prefix_token_ = 0;
  model::GeneratorOptions& generator = lm->generator_;
  generator.batch = options.text_rows;
  generator.capacity = options.max_length;
  generator.loops = options.loops;
  generator.chunk = options.chunk;
  LT2_ASSIGN_OR_RETURN(generator.batch, BatchThatFits(model, generator));
  // Alone, or in one piece, a prompt is read as far as it can be at once.
  generator.prompt_grain =
      generator.batch > 1 && lm->in_pieces_ ? kPromptGrain : 1;
  lm->digest_ = absl::StrCat(
      model_digest, " tokenizer ", tokenizer.digest(), " loops ",
      options.loops > 0 ? options.loops : model.default_loops(), " ",
      Name(model.activation()), "@", Name(model.ctx().device()), " ",
      model.ctx().info().name, " rows ", options.rows, " texts ",
      generator.batch, " chunk ", options.chunk,
      options.share_context ? " shared" : " whole");
  return lm;
}

std::vector<int32_t> LoopedLanguageModel::Encode(absl::string_view text) const {
  return tokenizer_.Encode(text);
}

std::string LoopedLanguageModel::Decode(absl::Span<const int32_t> ids) const {
  return tokenizer_.Decode(ids);
}

// Row i reads the last `context_tokens` of its context and its continuation
// but the last token; 0 means all of the context.
absl::Status LoopedLanguageModel::ScoreBlock(
    absl::Span<const Request* const> rows, int64_t context_tokens,
    int64_t length, DecodeState* state,
    absl::Span<LoglikelihoodResult* const> results) {
  const int64_t n = options_.rows * length;
  std::vector<int32_t> inputs(n, 0), targets(n, kernels::kIgnoreTarget);
  std::vector<int64_t> first(rows.size());  // position of the first target
  for (size_t r = 0; r < rows.size(); ++r) {
    const Request& request = *rows[r];
    const int64_t context = static_cast<int64_t>(request.context.size());
    const int64_t read = context_tokens == 0 ? context : context_tokens;
    const int64_t base = static_cast<int64_t>(r) * length;
    std::copy(request.context.end() - read, request.context.end(),
              inputs.begin() + base);
    std::copy(request.continuation.begin(), request.continuation.end() - 1,
              inputs.begin() + base + read);
    first[r] = base + read - 1;
    std::copy(request.continuation.begin(), request.continuation.end(),
              targets.begin() + first[r]);
  }
  model::ForwardOptions forward;
  forward.loops = options_.loops;
  forward.state = state;
  LT2_ASSIGN_OR_RETURN(
      const model::Scores scores,
      model::Score(model_, options_.rows, length, inputs, targets, forward));
  tokens_computed_ += n;
  for (size_t r = 0; r < rows.size(); ++r) {
    LoglikelihoodResult& result = *results[r];
    result = {};
    result.is_greedy = true;
    for (size_t i = 0; i < rows[r]->continuation.size(); ++i) {
      const float nll = scores.nll[first[r] + i];
      result.tokens.push_back(-nll);
      result.sum -= nll;
      result.is_greedy &=
          scores.argmax[first[r] + i] == rows[r]->continuation[i];
    }
  }
  return absl::OkStatus();
}

absl::Status LoopedLanguageModel::ScoreWhole(
    absl::Span<const Request> requests, const std::vector<size_t>& which,
    std::vector<LoglikelihoodResult>* results) {
  std::map<int64_t, std::vector<size_t>> by_length;
  for (size_t i : which) {
    by_length[Bucket(requests[i].context.size() +
                     requests[i].continuation.size() - 1)]
        .push_back(i);
  }
  for (const auto& [length, members] : by_length) {
    for (size_t begin = 0; begin < members.size(); begin += options_.rows) {
      std::vector<const Request*> rows;
      std::vector<LoglikelihoodResult*> into;
      for (size_t i = begin;
           i < std::min(members.size(), begin + options_.rows); ++i) {
        rows.push_back(&requests[members[i]]);
        into.push_back(&(*results)[members[i]]);
      }
      LT2_RETURN_IF_ERROR(ScoreBlock(rows, 0, length, nullptr, into));
    }
  }
  return absl::OkStatus();
}

absl::Status LoopedLanguageModel::Prefill(absl::Span<const int32_t> ids,
                                          DecodeState* state) {
  model::ForwardOptions forward;
  forward.state = state;
  for (size_t begin = 0; begin < ids.size(); begin += Chunk(ids.size())) {
    const absl::Span<const int32_t> chunk =
        ids.subspan(begin, Chunk(ids.size()));
    const auto n = static_cast<int64_t>(chunk.size());
    const std::vector<int32_t> targets(n, kernels::kIgnoreTarget);
    LT2_RETURN_IF_ERROR(
        model::Score(model_, 1, n, chunk, targets, forward).status());
    tokens_computed_ += n;
  }
  return absl::OkStatus();
}

// `rows` sequences that begin where `state`, of one sequence, is.
absl::StatusOr<std::unique_ptr<DecodeState>> LoopedLanguageModel::Branch(
    const DecodeState& state, int64_t capacity) {
  Context& ctx = model_.ctx();
  LT2_ASSIGN_OR_RETURN(
      auto branch,
      DecodeState::Create(model_, options_.rows, capacity, options_.loops));
  if (state.position() == 0) return branch;
  LT2_RETURN_IF_ERROR(branch->SetPosition(ctx, state.position()));
  for (int64_t pass = 0; pass < state.passes(); ++pass) {
    for (int64_t slot = 0; slot < state.slots(); ++slot) {
      const std::vector<Tensor> from = state.state(pass, slot).tensors();
      const std::vector<Tensor> to = branch->state(pass, slot).tensors();
      LT2_CHECK(from.size() == to.size());
      for (size_t i = 0; i < from.size(); ++i) {
        for (int64_t row = 0; row < options_.rows; ++row) {
          Tensor part = to[i].Slice(row, row + 1);
          LT2_RETURN_IF_ERROR(ctx.Copy(from[i], &part));
        }
      }
    }
  }
  return branch;
}

absl::Status LoopedLanguageModel::ScoreBranches(
    absl::Span<const Request> requests, const std::vector<size_t>& which,
    std::vector<LoglikelihoodResult>* results) {
  const std::vector<int32_t>& context = requests[which[0]].context;
  std::map<int64_t, std::vector<size_t>> by_length;
  for (size_t i : which) {
    by_length[Bucket(requests[i].continuation.size())].push_back(i);
  }
  const auto before = static_cast<int64_t>(context.size()) - 1;
  // Capacity is room, nothing else: no bit of a score depends on it.
  const int64_t capacity = before + by_length.rbegin()->first;
  LT2_ASSIGN_OR_RETURN(
      auto state, DecodeState::Create(model_, 1, capacity, options_.loops));
  LT2_RETURN_IF_ERROR(
      Prefill(absl::MakeSpan(context).subspan(0, before), state.get()));
  for (const auto& [length, members] : by_length) {
    for (size_t begin = 0; begin < members.size(); begin += options_.rows) {
      std::vector<const Request*> rows;
      std::vector<LoglikelihoodResult*> into;
      for (size_t i = begin;
           i < std::min(members.size(), begin + options_.rows); ++i) {
        rows.push_back(&requests[members[i]]);
        into.push_back(&(*results)[members[i]]);
      }
      LT2_ASSIGN_OR_RETURN(auto branch, Branch(*state, capacity));
      LT2_RETURN_IF_ERROR(ScoreBlock(rows, 1, length, branch.get(), into));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<LoglikelihoodResult>>
LoopedLanguageModel::Loglikelihood(absl::Span<const Request> requests) {
  std::vector<LoglikelihoodResult> results(requests.size());
  std::vector<size_t> whole;
  std::map<std::vector<int32_t>, std::vector<size_t>> by_context;
  for (size_t i = 0; i < requests.size(); ++i) {
    const size_t context = requests[i].context.size();
    const size_t continuation = requests[i].continuation.size();
    if (context == 0 || continuation == 0) {
      return InvalidArgument("request ", i, ": ", context,
                             " tokens of context, ", continuation,
                             " of continuation; both need one");
    }
    if (static_cast<int64_t>(context + continuation) - 1 >
        options_.max_length) {
      return InvalidArgument(
          "request ", i, " has ", context + continuation - 1,
          " inputs, more than --max_length=", options_.max_length);
    }
    if (options_.share_context && context > continuation) {
      by_context[requests[i].context].push_back(i);
    } else {
      whole.push_back(i);
    }
  }
  LT2_RETURN_IF_ERROR(ScoreWhole(requests, whole, &results));
  for (const auto& [context, which] : by_context) {
    LT2_RETURN_IF_ERROR(ScoreBranches(requests, which, &results));
  }
  return results;
}

absl::StatusOr<std::vector<float>> LoopedLanguageModel::Rolling(
    absl::Span<const int32_t> ids) {
  std::vector<float> logprobs;
  const auto n = static_cast<int64_t>(ids.size());
  if (n < 2) return logprobs;
  const int64_t size = Chunk(n - 1);
  // The last chunk is padded: its state is not used.
  const int64_t chunks = (n - 2) / size + 1;
  LT2_ASSIGN_OR_RETURN(auto state, DecodeState::Create(model_, 1, chunks * size,
                                                       options_.loops));
  model::ForwardOptions forward;
  forward.state = state.get();
  for (int64_t c = 0; c < chunks; ++c) {
    const int64_t begin = c * size;
    std::vector<int32_t> inputs(size, 0), targets(size, kernels::kIgnoreTarget);
    const int64_t read = std::min(size, n - 1 - begin);
    std::copy_n(ids.begin() + begin, read, inputs.begin());
    std::copy_n(ids.begin() + begin + 1, read, targets.begin());
    LT2_ASSIGN_OR_RETURN(
        const model::Scores scores,
        model::Score(model_, 1, size, inputs, targets, forward));
    tokens_computed_ += size;
    for (int64_t i = 0; i < read; ++i) logprobs.push_back(-scores.nll[i]);
  }
  return logprobs;
}

absl::StatusOr<std::vector<Generation>> LoopedLanguageModel::GenerateUntil(
    absl::Span<const std::vector<int32_t>> contexts,
    const std::vector<std::string>& stop, int64_t max_tokens) {
  std::map<int64_t, std::vector<size_t>> by_chunks;
  for (size_t i = 0; i < contexts.size(); ++i) {
    const auto n = static_cast<int64_t>(contexts[i].size());
    if (n < 1 || max_tokens < 1 || n + max_tokens > options_.max_length) {
      return InvalidArgument(
          "generation of ", max_tokens, " tokens after ", n,
          " does not fit into --max_length=", options_.max_length);
    }
    by_chunks[(n - 1) / generator_.prompt_grain].push_back(i);
  }
  std::vector<Generation> generations(contexts.size());
  for (const auto& [chunks, members] : by_chunks) {
    const auto all = absl::MakeSpan(members);
    for (size_t begin = 0; begin < all.size(); begin += generator_.batch) {
      LT2_RETURN_IF_ERROR(GenerateBlock(contexts,
                                        all.subspan(begin, generator_.batch),
                                        stop, max_tokens, &generations));
    }
  }
  return generations;
}

absl::Status LoopedLanguageModel::GenerateBlock(
    absl::Span<const std::vector<int32_t>> contexts,
    absl::Span<const size_t> which, const std::vector<std::string>& stop,
    int64_t max_tokens, std::vector<Generation>* generations) {
  // Missing rows repeat the first, and end with their first token.
  std::vector<std::vector<int32_t>> prompts(generator_.batch,
                                            contexts[which[0]]);
  size_t longest = 0;
  for (size_t r = 0; r < which.size(); ++r) {
    prompts[r] = contexts[which[r]];
    longest = std::max(longest, prompts[r].size());
  }
  model::GeneratorOptions options = generator_;
  options.capacity = static_cast<int64_t>(longest) + max_tokens;
  LT2_ASSIGN_OR_RETURN(auto generator,
                       model::Generator::Create(model_, options));
  LT2_RETURN_IF_ERROR(generator->Append(prompts));
  model::GenerateOptions how;
  how.sampling.temperature = 0;
  how.max_tokens = max_tokens;
  if (tokenizer_.end_of_text()) how.stop_ids = {*tokenizer_.end_of_text()};
  how.on_token = [&](int64_t row, int32_t id) {
    if (row >= static_cast<int64_t>(which.size())) return false;
    Generation& generation = (*generations)[which[row]];
    generation.ids.push_back(id);
    generation.text = Decode(generation.ids);
    return !CutAtStop(stop, &generation.text);
  };
  LT2_ASSIGN_OR_RETURN(const model::Generated generated,
                       generator->Generate(how));
  tokens_computed_ += generator->position() * generator_.batch;
  for (size_t r = 0; r < which.size(); ++r) {
    std::string& reason = (*generations)[which[r]].reason;
    switch (generated.rows[r].reason) {
      case model::FinishReason::kMaxTokens:
        reason = "length";
        break;
      case model::FinishReason::kStopId:
        reason = "end_of_text";
        break;
      case model::FinishReason::kCallback:
        reason = "stop";
        break;
    }
  }
  return absl::OkStatus();
}

}  // namespace lt2::evals
