#include "model/looped/looped_model.h"

#include <algorithm>
#include <cmath>

#include "model/looped/init.h"

namespace lt2::model {

DType LoopedModel::activation() const {
  return ctx_.is_cuda() ? DType::kBF16 : DType::kF32;
}

absl::Status LoopedModel::Declare() {
  const int64_t dim = config_.dim, hidden = config_.ffn_hidden;
  const float std = 1.0f / std::sqrt(static_cast<float>(dim));
  LT2_ASSIGN_OR_RETURN(
      layer_types_, ParseLayerPattern(config_.layer_pattern, config_.n_layers));
  LT2_ASSIGN_OR_RETURN(
      pattern_, AttentionPattern::Parse(config_.attention_pattern,
                                        config_.n_layers, config_.loop_count,
                                        config_.default_sliding_window));
  auto add = [&](DeclaredParameter& p) { parameters_.push_back(&p); };

  embedding_.Declare("tok_embeddings.weight", {config_.vocab_size, dim},
                     Init::kTruncatedNormal, std, /*takes_decay=*/true);
  add(embedding_);
  for (int64_t i = 0; i < config_.n_layers; ++i) {
    auto block = std::make_unique<Block>();
    const std::string prefix = absl::StrCat("layers.", i, ".");
    LT2_ASSIGN_OR_RETURN(block->mixer, CreateMixer(layer_types_[i], config_));
    block->mixer_norm.Declare(prefix + "attention_norm.weight", {dim},
                              Init::kOnes);
    add(block->mixer_norm);
    for (Parameter* p : block->mixer->parameters()) {
      p->name = prefix + "attention." + p->name;
      parameters_.push_back(p);
    }
    if (config_.use_ffn) {
      const std::string ffn = prefix + "feed_forward.";
      block->ffn_norm.Declare(prefix + "ffn_norm.weight", {dim}, Init::kOnes);
      block->w1.DeclareProjection(ffn + "w1.weight", hidden, dim, dim);
      block->w3.DeclareProjection(ffn + "w3.weight", hidden, dim, dim);
      block->w2.DeclareProjection(ffn + "w2.weight", dim, hidden, hidden);
      for (DeclaredParameter* p :
           {&block->ffn_norm, &block->w1, &block->w3, &block->w2}) {
        add(*p);
      }
    }
    blocks_.push_back(std::move(block));
  }
  if (config_.use_residual) {
    for (int64_t loop = 0; loop < config_.loop_count; ++loop) {
      auto gate = std::make_unique<DeclaredParameter>();
      gate->Declare(absl::StrCat("residual_weight.", loop), {dim},
                    Init::kZeros);
      add(*gate);
      loop_gates_.push_back(std::move(gate));
    }
  }
  final_norm_.Declare("norm.weight", {dim}, Init::kOnes);
  add(final_norm_);
  if (!config_.weight_tying) {
    output_.Declare("output.weight", {config_.vocab_size, dim},
                    Init::kTruncatedNormal, std, /*takes_decay=*/true);
    add(output_);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<LoopedModel>> LoopedModel::Create(
    Context& ctx, const ModelConfig& config, uint64_t seed, bool training) {
  auto model = std::unique_ptr<LoopedModel>(new LoopedModel(ctx, config));
  LT2_RETURN_IF_ERROR(model->Declare());
  for (Parameter* p : model->parameters_) {
    // Every parameter of a model is declared (see Declare and Mixer).
    LT2_RETURN_IF_ERROR(
        Materialize(ctx, seed, training, static_cast<DeclaredParameter*>(p)));
  }
  return model;
}

std::vector<int64_t> LoopedModel::Windows(int64_t loops, uint64_t step) const {
  std::vector<int64_t> windows =
      pattern_.Windows(loops, config_.pattern_seed, step);
  for (size_t slot = 0; slot < windows.size(); ++slot) {
    windows[slot] =
        WindowOf(layer_types_[slot % config_.n_layers], config_, windows[slot]);
  }
  return windows;
}

Var LoopedModel::RunBlock(Tape& tape, Block& block, const Var& h,
                          const MixerCall& call) {
  const float eps = static_cast<float>(config_.norm_eps);
  Var y = Add(tape, h,
              block.mixer->Forward(
                  tape, RmsNorm(tape, h, block.mixer_norm, eps), call));
  if (!config_.use_ffn) return y;
  const Var n = RmsNorm(tape, y, block.ffn_norm, eps);
  const Var gated =
      SwiGlu(tape, Linear(tape, n, block.w1), Linear(tape, n, block.w3));
  return Add(tape, y, Linear(tape, gated, block.w2));
}

Var LoopedModel::RunLoop(Tape& tape, const Var& h,
                         const std::vector<MixerCall>& calls, int64_t loop,
                         Recompute recompute) {
  Var y = h;
  for (int64_t i = 0; i < config_.n_layers; ++i) {
    const MixerCall& call = calls[loop * config_.n_layers + i];
    Block& block = *blocks_[i];
    if (recompute == Recompute::kBlocks) {
      y = Checkpoint(
          tape,
          [this, &block, call](Tape& t, const Var& x) {
            return RunBlock(t, block, x, call);
          },
          y);
    } else {
      y = RunBlock(tape, block, y, call);
    }
  }
  if (!config_.use_residual) return y;
  const int64_t gate = std::min(loop, config_.loop_count - 1);
  return ScaledAdd(tape, y, h, *loop_gates_[gate]);
}

Var LoopedModel::Hidden(Tape& tape, const Tensor& ids,
                        const ForwardOptions& options) {
  if (!tape.ok()) return Var();
  if (ids.rank() != 2) {
    return tape.Fail(
        InvalidArgument("ids must be [batch, seq], got ", ids.ToString()));
  }
  DecodeState* state = options.state;
  int64_t loops = options.loops > 0 ? options.loops : config_.loop_count;
  std::vector<MixerCall> calls;
  if (state != nullptr) {
    loops = state->loops();
    if (ids.dim(0) != state->batch()) {
      return tape.Fail(InvalidArgument("batch is ", ids.dim(0),
                                       ", the state's is ", state->batch()));
    }
    const absl::Status begun = state->Begin(ctx_, ids.dim(1));
    if (!begun.ok()) return tape.Fail(begun);
    for (int64_t slot = 0; slot < loops * config_.n_layers; ++slot) {
      calls.push_back(state->Call(slot));
    }
  } else {
    for (int64_t window : Windows(loops, options.step)) {
      calls.push_back(MixerCall{.window = window});
    }
  }

  Var h = Embedding(tape, ids, embedding_);
  for (int64_t loop = 0; loop < loops; ++loop) {
    if (options.recompute == Recompute::kLoops) {
      h = Checkpoint(
          tape,
          [this, calls, loop](Tape& t, const Var& x) {
            return RunLoop(t, x, calls, loop, Recompute::kNothing);
          },
          h);
    } else {
      h = RunLoop(tape, h, calls, loop, options.recompute);
    }
  }
  if (state != nullptr && tape.ok()) {
    const absl::Status ended = state->End(ctx_, ids.dim(1));
    if (!ended.ok()) return tape.Fail(ended);
  }
  return RmsNorm(tape, h, final_norm_, static_cast<float>(config_.norm_eps));
}

Var LoopedModel::Logits(Tape& tape, const Tensor& ids,
                        const ForwardOptions& options) {
  const Var h = Hidden(tape, ids, options);
  if (!tape.ok()) return Var();
  const Var rows = Reshape(tape, h, {ids.numel(), config_.dim});
  return LinearF32(tape, rows, config_.weight_tying ? embedding_ : output_);
}

}  // namespace lt2::model
