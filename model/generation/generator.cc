#include "model/generation/generator.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <numeric>

#include "kernels/sampling/sampling.h"
#include "model/looped/accounting.h"

namespace lt2::model {
namespace {

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

// What a Context may hold.
int64_t MemoryLimit(Context& ctx) {
  int64_t limit = ctx.options().memory_limit;
  if (ctx.info().memory_bytes > 0) {
    limit = std::min(limit, ctx.info().memory_bytes);
  }
  return limit;
}

// Then a prompt is taken in as a whole, what comes later token by token
// (DecodeState::Begin).
bool SharesCaches(const LoopedModel& model) {
  return model.config().cache_sharing != ModelConfig::CacheSharing::kNone;
}

}  // namespace

const char* Name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kMaxTokens:
      return "length";
    case FinishReason::kStopId:
      return "stop_id";
    case FinishReason::kCallback:
      return "stop_string";
  }
  return "";
}

double GenerationTiming::tokens_per_second() const {
  return later_tokens > 0 && later_seconds > 0
             ? static_cast<double>(later_tokens) / later_seconds
             : 0;
}

absl::StatusOr<GeneratorMemory> MemoryOf(const LoopedModel& model,
                                         const GeneratorOptions& options) {
  const int64_t vocab = model.config().vocab_size;
  LT2_ASSIGN_OR_RETURN(
      const ModelCost cost,
      Cost(model.config(), options.capacity,
           options.loops > 0 ? options.loops : model.default_loops(),
           model.activation()));
  GeneratorMemory memory;
  memory.state_bytes = cost.state_bytes * options.batch;
  memory.logits_bytes = 4 * vocab * options.batch;
  return memory;
}

absl::StatusOr<int64_t> BatchThatFits(const LoopedModel& model,
                                      GeneratorOptions options) {
  const int64_t most = MemoryLimit(model.ctx()) / 2;
  for (; options.batch > 1; options.batch /= 2) {
    LT2_ASSIGN_OR_RETURN(const GeneratorMemory memory,
                         MemoryOf(model, options));
    if (memory.state_bytes + memory.logits_bytes <= most) break;
  }
  return options.batch;
}

absl::StatusOr<std::unique_ptr<Generator>> Generator::Create(
    LoopedModel& model, const GeneratorOptions& options) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (options.batch < 1 || options.batch > 65535 || options.capacity < 1 ||
      options.capacity > kMost || options.chunk < 1 ||
      options.prompt_grain < 1 || options.loops < 0) {
    return InvalidArgument(
        "generation needs batch in [1, 65535], capacity in [1, ", kMost,
        "], chunk and prompt_grain >= 1 and loops >= 0, got ", options.batch,
        ", ", options.capacity, ", ", options.chunk, ", ", options.prompt_grain,
        ", ", options.loops);
  }
  if (!options.streams.empty() &&
      static_cast<int64_t>(options.streams.size()) != options.batch) {
    return InvalidArgument("generation: ", options.streams.size(),
                           " streams for a batch of ", options.batch);
  }
  if (options.max_positions > 0 && options.capacity > options.max_positions) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "a sequence of ", options.capacity, " tokens (prompt and new ones) ",
        "exceeds the model's limit of ", options.max_positions));
  }
  Context& ctx = model.ctx();
  LT2_ASSIGN_OR_RETURN(const GeneratorMemory memory, MemoryOf(model, options));
  const int64_t used = ctx.arena().stats().in_use, limit = MemoryLimit(ctx);
  const int64_t wanted = memory.state_bytes + memory.logits_bytes;
  if (wanted > limit || used > limit - wanted) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the states of ", options.batch, " sequences of ", options.capacity,
        " tokens take ", memory.state_bytes, " bytes and their logits ",
        memory.logits_bytes, ", with ", used, " in use already; the limit is ",
        limit, ". Ask for fewer tokens or sequences"));
  }
  auto generator = std::unique_ptr<Generator>(new Generator(model, options));
  generator->tokens_.resize(options.batch);
  LT2_ASSIGN_OR_RETURN(generator->state_,
                       DecodeState::Create(model, options.batch,
                                           options.capacity, options.loops));
  LT2_ASSIGN_OR_RETURN(generator->decoder_,
                       DecodeGraph::Create(model, generator->state_.get()));
  std::vector<int32_t> streams = options.streams;
  if (streams.empty()) {
    streams.resize(options.batch);
    std::iota(streams.begin(), streams.end(), 0);
  }
  LT2_ASSIGN_OR_RETURN(generator->streams_,
                       ctx.FromHost<int32_t>(streams, {options.batch}));
  return generator;
}

absl::Status Generator::Append(
    const std::vector<std::vector<int32_t>>& tokens) {
  if (static_cast<int64_t>(tokens.size()) != batch()) {
    return InvalidArgument("generation: tokens for ", tokens.size(),
                           " rows, the batch has ", batch());
  }
  const int64_t vocab = model_.config().vocab_size;
  for (int64_t b = 0; b < batch(); ++b) {
    for (size_t i = 0; i < tokens[b].size(); ++i) {
      if (tokens[b][i] < 0 || tokens[b][i] >= vocab) {
        return InvalidArgument("generation: token ", i, " of row ", b, " is ",
                               tokens[b][i], ", the model's vocabulary has ",
                               vocab);
      }
    }
  }
  for (int64_t b = 0; b < batch(); ++b) {
    tokens_[b].insert(tokens_[b].end(), tokens[b].begin(), tokens[b].end());
  }
  return absl::OkStatus();
}

absl::Status Generator::Check(int64_t more) const {
  if (diverged_) {
    return absl::FailedPreconditionError(
        "a batch in which a row ended before others cannot go on");
  }
  for (int64_t b = 0; b < batch(); ++b) {
    const int64_t n = static_cast<int64_t>(tokens_[b].size());
    if (n == 0) {
      return InvalidArgument("generation: row ", b, " has no token to start ",
                             "from");
    }
    if (n > options_.capacity - more) {
      return absl::ResourceExhaustedError(
          absl::StrCat(n, " tokens of row ", b, " and ", more,
                       " new ones exceed the capacity of ", options_.capacity));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Tensor> Generator::Input(int64_t n) const {
  std::vector<int32_t> ids;
  ids.reserve(batch() * n);
  for (const std::vector<int32_t>& row : tokens_) {
    for (int64_t i = position(); i < position() + n; ++i) {
      // Behind its end a row is fed its last token.
      ids.push_back(i < static_cast<int64_t>(row.size()) ? row[i] : row.back());
    }
  }
  return model_.ctx().FromHost<int32_t>(ids, {batch(), n});
}

absl::Status Generator::Prefill() {
  LT2_RETURN_IF_ERROR(Check(0));
  size_t shortest = tokens_[0].size();
  for (const auto& row : tokens_) shortest = std::min(shortest, row.size());
  const int64_t before = static_cast<int64_t>(shortest) - 1;
  const int64_t end = before - before % options_.prompt_grain;
  while (position() < end) {
    int64_t most = options_.chunk;
    if (SharesCaches(model_)) most = position() > 0 ? 1 : end;
    LT2_ASSIGN_OR_RETURN(const Tensor ids,
                         Input(std::min(most, end - position())));
    Tape tape(model_.ctx(), Tape::kInference);
    ForwardOptions options;
    options.state = state_.get();
    options.head = false;
    model_.Logits(tape, ids, options);
    LT2_RETURN_IF_ERROR(tape.status());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int32_t>> Generator::Draw(
    const SamplingParameters& sampling, const Tensor& logits) const {
  kernels::SamplingArgs args;
  args.logits = logits;
  args.temperature = sampling.temperature;
  args.top_k = sampling.top_k;
  args.top_p = sampling.top_p;
  args.min_p = sampling.min_p;
  args.repetition_penalty = sampling.repetition_penalty;
  args.seed = sampling.seed;
  args.step = position();
  args.counts = counts_;
  args.streams = streams_;
  Tensor ids;
  LT2_RETURN_IF_ERROR(kernels::Sample(model_.ctx(), args, &ids));
  return model_.ctx().ToHost<int32_t>(ids);
}

absl::StatusOr<Generated> Generator::Generate(const GenerateOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  Context& ctx = model_.ctx();
  const int64_t vocab = model_.config().vocab_size;
  if (options.max_tokens < 0) {
    return InvalidArgument("generation: max_tokens is ", options.max_tokens);
  }
  LT2_RETURN_IF_ERROR(Check(options.max_tokens));
  const SamplingParameters& sampling = options.sampling;
  counts_ = Tensor();
  if (sampling.repetition_penalty != 1) {
    std::vector<int32_t> counts(batch() * vocab, 0);
    for (int64_t b = 0; b < batch(); ++b) {
      for (int32_t id : tokens_[b]) ++counts[b * vocab + id];
    }
    LT2_ASSIGN_OR_RETURN(counts_,
                         ctx.FromHost<int32_t>(counts, {batch(), vocab}));
  }
  {
    // Wrong parameters are found before the prompt is computed.
    kernels::SamplingArgs args;
    LT2_ASSIGN_OR_RETURN(args.logits, ctx.Zeros(DType::kF32, {batch(), vocab}));
    args.temperature = sampling.temperature;
    args.top_k = sampling.top_k;
    args.top_p = sampling.top_p;
    args.min_p = sampling.min_p;
    args.repetition_penalty = sampling.repetition_penalty;
    args.counts = counts_;
    LT2_RETURN_IF_ERROR(kernels::SamplingSupports(args));
  }

  Generated result;
  result.rows.resize(batch());
  GenerationTiming& timing = result.timing;
  const int64_t begin = position();
  LT2_RETURN_IF_ERROR(Prefill());
  std::vector<bool> done(batch(), options.max_tokens == 0);
  int64_t running = options.max_tokens == 0 ? 0 : batch();
  while (running > 0) {
    LT2_ASSIGN_OR_RETURN(const Tensor ids, Input(1));
    for (int64_t b = 0; b < batch(); ++b) {
      diverged_ |= position() >= static_cast<int64_t>(tokens_[b].size());
    }
    LT2_ASSIGN_OR_RETURN(const Tensor logits, decoder_->Step(ids));
    bool any = false;
    for (int64_t b = 0; b < batch(); ++b) {
      any |= !done[b] && position() == static_cast<int64_t>(tokens_[b].size());
    }
    if (!any) continue;  // all rows that go on still read their prompts
    LT2_ASSIGN_OR_RETURN(const std::vector<int32_t> drawn,
                         Draw(sampling, logits));
    const bool first = timing.new_tokens == 0;
    if (first) {
      timing.seconds_to_first = SecondsSince(start);
      timing.prompt_tokens = (position() - begin) * batch();
    }
    std::vector<int32_t> counted(batch(), -1);
    for (int64_t b = 0; b < batch(); ++b) {
      if (done[b] || position() != static_cast<int64_t>(tokens_[b].size())) {
        continue;
      }
      const int32_t id = drawn[b];
      if (id < 0) {
        return absl::DataLossError(absl::StrCat("the model's logits of row ", b,
                                                " at position ", position() - 1,
                                                " have a NaN or an infinity"));
      }
      tokens_[b].push_back(id);
      counted[b] = id;
      GeneratedRow& row = result.rows[b];
      bool end = std::find(options.stop_ids.begin(), options.stop_ids.end(),
                           id) != options.stop_ids.end();
      if (end) {
        row.reason = FinishReason::kStopId;
      } else {
        row.ids.push_back(id);
        end = static_cast<int64_t>(row.ids.size()) == options.max_tokens;
        if (options.on_token && !options.on_token(b, id)) {
          end = true;
          row.reason = FinishReason::kCallback;
        }
      }
      ++timing.new_tokens;
      timing.later_tokens += !first;
      if (end) {
        done[b] = true;
        --running;
      }
    }
    if (counts_.defined()) {
      LT2_ASSIGN_OR_RETURN(const Tensor ids_drawn,
                           ctx.FromHost<int32_t>(counted, {batch(), 1}));
      LT2_RETURN_IF_ERROR(kernels::CountTokens(ctx, ids_drawn, &counts_));
    }
  }
  const double seconds = SecondsSince(start);
  if (timing.new_tokens > 0) {
    timing.later_seconds = seconds - timing.seconds_to_first;
  } else {
    timing.prompt_tokens = (position() - begin) * batch();
    timing.seconds_to_first = seconds;
  }
  return result;
}

absl::StatusOr<int64_t> Generator::Save(
    absl::string_view path, const SnapshotIdentity& identity) const {
  LT2_RETURN_IF_ERROR(Check(0));
  return SaveSnapshot(path, identity, model_, *state_, tokens_);
}

absl::Status Generator::Load(absl::string_view path,
                             const SnapshotIdentity& identity) {
  if (position() > 0 || !tokens_[0].empty()) {
    return absl::FailedPreconditionError(
        "a snapshot can only be loaded into a generator without tokens");
  }
  LT2_ASSIGN_OR_RETURN(tokens_,
                       LoadSnapshot(path, identity, model_, state_.get()));
  return absl::OkStatus();
}

}  // namespace lt2::model
