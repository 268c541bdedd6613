#include "model/looped/looped_model.h"

#include <algorithm>
#include <cmath>

#include "kernels/activation/activation.h"
#include "kernels/exit_gate/exit_gate.h"
#include "model/looped/init.h"

namespace lt2::model {

absl::Status LoopedModel::Declare() {
  const int64_t dim = config_.dim, hidden = config_.ffn_hidden;
  const float std = 1.0f / std::sqrt(static_cast<float>(dim));
  LT2_ASSIGN_OR_RETURN(
      layers_, LayerPattern::Parse(config_.layer_pattern, config_.n_layers,
                                   config_.loop_count));
  LT2_ASSIGN_OR_RETURN(
      windows_, AttentionPattern::Parse(config_.attention_pattern,
                                        config_.n_layers, config_.loop_count,
                                        config_.default_sliding_window));
  auto add = [&](DeclaredParameter& p) { parameters_.push_back(&p); };

  embedding_.Declare("tok_embeddings.weight", {config_.vocab_size, dim},
                     Init::kTruncatedNormal, std, /*takes_decay=*/true);
  add(embedding_);
  for (int64_t i = 0; i < config_.n_layers; ++i) {
    auto block = std::make_unique<Block>();
    const std::string prefix = absl::StrCat("layers.", i, ".");
    block->mixer_norm.Declare(prefix + "attention_norm.weight", {dim},
                              Init::kOnes);
    add(block->mixer_norm);
    LT2_ASSIGN_OR_RETURN(block->mixers,
                         LayerMixers::Create(config_, layers_, i));
    DeclareMixers(prefix + "attention.", block->mixers);
    if (config_.sandwich_norm) {
      block->mixer_norm_2.Declare(prefix + "attention_norm_2.weight", {dim},
                                  Init::kOnes);
      add(block->mixer_norm_2);
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
      if (config_.sandwich_norm) {
        block->ffn_norm_2.Declare(prefix + "ffn_norm_2.weight", {dim},
                                  Init::kOnes);
        add(block->ffn_norm_2);
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
  if (config_.exit_gate) {
    exit_weight_.DeclareProjection("exit_gate.weight", 1, dim, dim);
    exit_bias_.Declare("exit_gate.bias", {1}, Init::kZeros);
    add(exit_weight_);
    add(exit_bias_);
  }
  return absl::OkStatus();
}

void LoopedModel::DeclareMixers(const std::string& prefix,
                                const LayerMixers& layer) {
  for (size_t i = 0; i < layer.mixers.size(); ++i) {
    const std::vector<Parameter*> mine = layer.mixers[i]->parameters();
    const std::vector<Parameter*> owned =
        layer.mixers[layer.owner[i]]->parameters();
    for (size_t j = 0; j < mine.size(); ++j) {
      if (layer.owner[i] != i) {
        shared_.push_back({owned[j], mine[j]});
        continue;
      }
      // Names tell the type only where the layer has several sets of weights.
      mine[j]->name =
          layer.several_sets()
              ? absl::StrCat(prefix, layer.types[i], ".", mine[j]->name)
              : prefix + mine[j]->name;
      parameters_.push_back(mine[j]);
    }
  }
}

absl::StatusOr<std::unique_ptr<LoopedModel>> LoopedModel::Create(
    Context& ctx, const ModelConfig& config, absl::optional<uint64_t> seed,
    bool training, absl::optional<DType> activation) {
  const DType type =
      activation.value_or(ctx.is_cuda() ? DType::kBF16 : DType::kF32);
  auto model = std::unique_ptr<LoopedModel>(new LoopedModel(ctx, config, type));
  LT2_RETURN_IF_ERROR(model->Declare());
  for (Parameter* p : model->parameters_) {
    // Every parameter of a model is declared (see Declare and Mixer).
    LT2_RETURN_IF_ERROR(Materialize(ctx, seed, training, type,
                                    static_cast<DeclaredParameter*>(p)));
  }
  for (const auto& [owner, user] : model->shared_) {
    // The tensors are handles: value, copy and gradient are the owner's.
    *user = *owner;
  }
  return model;
}

absl::StatusOr<std::vector<DeclaredParameter>> LoopedModel::Declarations(
    Context& ctx, const ModelConfig& config) {
  LoopedModel model(ctx, config, DType::kF32);
  LT2_RETURN_IF_ERROR(model.Declare());
  std::vector<DeclaredParameter> all;
  for (const Parameter* p : model.parameters_) {
    // Every parameter of a model is declared (see Declare and Mixer).
    all.push_back(*static_cast<const DeclaredParameter*>(p));
  }
  return all;
}

std::vector<LoopedModel::Slot> LoopedModel::Slots(int64_t loops,
                                                  uint64_t step) const {
  const std::vector<std::string> types =
      layers_.Types(loops, config_.pattern_seed, step);
  const std::vector<int64_t> windows =
      windows_.Windows(loops, config_.pattern_seed, step);
  std::vector<Slot> slots;
  for (size_t i = 0; i < types.size(); ++i) {
    const LayerMixers& layer = blocks_[i % config_.n_layers]->mixers;
    slots.push_back(
        {layer.Find(types[i]), WindowOf(types[i], config_, windows[i])});
  }
  return slots;
}

Var LoopedModel::RunBlock(Tape& tape, Block& block, const Var& h,
                          const SlotCall& slot) {
  const float eps = static_cast<float>(config_.norm_eps);
  slot.call.Observe("block_input", h);
  Var mixed = slot.mixer->Forward(tape, RmsNorm(tape, h, block.mixer_norm, eps),
                                  slot.call);
  slot.call.Observe("mixer_output", mixed);
  if (config_.sandwich_norm) {
    mixed = RmsNorm(tape, mixed, block.mixer_norm_2, eps);
  }
  const Var y = Add(tape, h, mixed);
  if (!config_.use_ffn) return y;
  const Var n = RmsNorm(tape, y, block.ffn_norm, eps);
  const Var gated =
      SwiGlu(tape, Linear(tape, n, block.w1), Linear(tape, n, block.w3));
  Var fed = Linear(tape, gated, block.w2);
  if (config_.sandwich_norm) fed = RmsNorm(tape, fed, block.ffn_norm_2, eps);
  return Add(tape, y, fed);
}

Var LoopedModel::RunLoop(Tape& tape, const Var& h,
                         const std::vector<SlotCall>& slots, int64_t loop,
                         Recompute recompute) {
  Var y = h;
  for (int64_t i = 0; i < config_.n_layers; ++i) {
    const SlotCall& slot = slots[loop * config_.n_layers + i];
    Block& block = *blocks_[i];
    if (recompute == Recompute::kBlocks) {
      y = Checkpoint(
          tape,
          [this, &block, slot](Tape& t, const Var& x) {
            return RunBlock(t, block, x, slot);
          },
          y);
    } else {
      y = RunBlock(tape, block, y, slot);
    }
  }
  if (config_.use_residual) {
    const int64_t gate = std::min(loop, config_.loop_count - 1);
    y = ScaledAdd(tape, y, h, *loop_gates_[gate]);
  }
  if (!config_.loop_norm) return y;
  return RmsNorm(tape, y, final_norm_, static_cast<float>(config_.norm_eps));
}

Var LoopedModel::Head(Tape& tape, const Var& h) {
  if (!tape.ok()) return Var();
  const Var normed =
      config_.loop_norm
          ? h
          : RmsNorm(tape, h, final_norm_, static_cast<float>(config_.norm_eps));
  if (!tape.ok()) return Var();
  const int64_t rows = h.value().numel() / config_.dim;
  return LinearF32(tape, Reshape(tape, normed, {rows, config_.dim}),
                   config_.weight_tying ? embedding_ : output_);
}

Var LoopedModel::Leave(Tape& tape, const std::vector<Var>& states,
                       const ForwardOptions& options) {
  using ExitRule = ModelConfig::ExitRule;
  const int64_t loops = static_cast<int64_t>(states.size());
  const ExitRule rule = options.exit_rule.value_or(config_.exit_rule);
  const bool chooses = rule != ExitRule::kLast;
  if (chooses && !config_.exit_gate) {
    return tape.Fail(InvalidArgument(
        "exit_rule: this model has no exit gate; only \"last\" can be asked"));
  }
  if (!chooses && !options.observer) return states.back();
  if (!tape.ok()) return Var();
  const int64_t n = states.back().value().numel() / config_.dim;
  absl::StatusOr<Tensor> logits = ctx_.Empty(DType::kF32, {loops, n});
  if (!logits.ok()) return tape.Fail(logits.status());
  for (int64_t t = 0; t < loops; ++t) {
    const Var rows = Reshape(tape, states[t], {n, config_.dim});
    const Var z =
        AddBias(tape, LinearF32(tape, rows, exit_weight_), exit_bias_);
    if (!tape.ok()) return Var();
    if (options.observer) options.observer(t + 1, -1, "exit_logit", z);
    Tensor slice = logits->Slice(t, t + 1).Reshape({n, 1});
    const absl::Status copied = ctx_.Copy(z.value(), &slice);
    if (!copied.ok()) return tape.Fail(copied);
  }
  if (!chooses) return states.back();
  kernels::ExitGateArgs args;
  args.logits = *logits;
  args.threshold = static_cast<float>(
      options.exit_threshold.value_or(config_.exit_threshold));
  args.kind = rule == ExitRule::kWeighted ? kernels::ExitWeight::kWeighted
                                          : kernels::ExitWeight::kThreshold;
  kernels::ExitGateResults exit;
  const absl::Status status = kernels::ExitGate(ctx_, args, &exit);
  if (!status.ok()) return tape.Fail(status);
  if (options.observer) {
    options.observer(loops, -1, "exit_probability",
                     tape.Constant(exit.probability));
    options.observer(loops, -1, "exit_step", tape.Constant(exit.step));
  }
  // The head is linear: the logits' mean is the head of the states' mean. With
  // weights 0 and 1 the sum is one state, to the bit.
  Var sum;
  for (int64_t t = 0; t < loops; ++t) {
    const Var weight = tape.Constant(exit.weight.Slice(t, t + 1).Reshape({n}));
    const Var term =
        ScaleRows(tape, Reshape(tape, states[t], {n, config_.dim}), weight);
    sum = t == 0 ? term : Add(tape, sum, term);
  }
  return sum;
}

Var LoopedModel::Pass(Tape& tape, const Tensor& ids,
                      const ForwardOptions& options, int64_t pass) {
  if (!tape.ok()) return Var();
  DecodeState* state = options.state;
  int64_t loops = options.loops > 0 ? options.loops : default_loops_;
  std::vector<SlotCall> slots;
  if (state != nullptr) {
    loops = state->loops();
    for (int64_t slot = 0; slot < loops * config_.n_layers; ++slot) {
      slots.push_back({state->mixer(pass, slot), state->Call(pass, slot)});
    }
  } else {
    for (const Slot& slot : Slots(loops, options.step + pass)) {
      slots.push_back(
          {slot.mixer, MixerCall{.window = slot.window,
                                 .step = tape.recording() ? options.step : 0}});
    }
  }

  const auto& observer = options.observer;
  if (observer) {
    for (size_t i = 0; i < slots.size(); ++i) {
      const int64_t slot = static_cast<int64_t>(i);
      slots[i].call.observer = [observer, loop = slot / config_.n_layers + 1,
                                layer = slot % config_.n_layers](
                                   absl::string_view name, const Var& value) {
        observer(loop, layer, name, value);
      };
    }
  }

  Var h = options.embedded.defined() ? options.embedded
                                     : Embedding(tape, ids, embedding_);
  if (observer && tape.ok()) observer(0, -1, "h", h);
  const bool leaves = !tape.recording() &&
                      (config_.exit_gate || options.exit_rule.value_or(
                                                ModelConfig::ExitRule::kLast) !=
                                                ModelConfig::ExitRule::kLast);
  std::vector<Var> states;
  for (int64_t loop = 0; loop < loops; ++loop) {
    if (options.recompute == Recompute::kLoops) {
      h = Checkpoint(
          tape,
          [this, slots, loop](Tape& t, const Var& x) {
            return RunLoop(t, x, slots, loop, Recompute::kNothing);
          },
          h);
    } else {
      h = RunLoop(tape, h, slots, loop, options.recompute);
    }
    if (observer && tape.ok()) observer(loop + 1, -1, "h", h);
    if (leaves) states.push_back(h);
  }
  if (!options.head) return Var();
  return Head(tape, leaves && tape.ok() ? Leave(tape, states, options) : h);
}

Var LoopedModel::Logits(Tape& tape, const Tensor& ids,
                        const ForwardOptions& options) {
  if (!tape.ok()) return Var();
  if (ids.rank() != 2) {
    return tape.Fail(
        InvalidArgument("ids must be [batch, seq], got ", ids.ToString()));
  }
  DecodeState* state = options.state;
  const int64_t passes = state != nullptr   ? state->passes()
                         : tape.recording() ? 1
                                            : config_.inference_passes();
  if (state != nullptr) {
    if (ids.dim(0) != state->batch()) {
      return tape.Fail(InvalidArgument("batch is ", ids.dim(0),
                                       ", the state's is ", state->batch()));
    }
    const absl::Status begun = state->Begin(ctx_, ids.dim(1));
    if (!begun.ok()) return tape.Fail(begun);
  }
  Var logits;
  if (passes == 1) {
    logits = Pass(tape, ids, options, 0);
  } else {
    logits = MeanOfPasses(tape, ids, options, passes);
  }
  if (state != nullptr && tape.ok()) {
    const absl::Status ended = state->End(ctx_, ids.dim(1));
    if (!ended.ok()) return tape.Fail(ended);
  }
  return logits;
}

int64_t LoopedModel::Phase(uint64_t step) const {
  int64_t phase = 0;
  for (const auto& block : blocks_) {
    for (const auto& mixer : block->mixers.mixers) phase += mixer->Phase(step);
  }
  return phase;
}

Var LoopedModel::MeanOfPasses(Tape& tape, const Tensor& ids,
                              const ForwardOptions& options, int64_t passes) {
  const std::vector<float> share(config_.vocab_size,
                                 1.0f / static_cast<float>(passes));
  const auto rho = ctx_.FromHost<float>(share, {config_.vocab_size});
  if (!rho.ok()) return tape.Fail(rho.status());
  Tensor mean;
  auto add = [&](const Tensor& logits) -> absl::Status {
    if (!mean.defined()) {
      LT2_ASSIGN_OR_RETURN(mean, ctx_.Zeros(DType::kF32, logits.shape()));
    }
    return kernels::ScaledAdd(ctx_, {mean, logits, *rho}, &mean);
  };
  for (int64_t pass = 0; pass < passes; ++pass) {
    const Var logits = Pass(tape, ids, options, pass);
    if (!tape.ok()) return Var();
    if (!options.head) continue;
    const absl::Status added = add(logits.value());
    if (!added.ok()) return tape.Fail(added);
  }
  return options.head ? tape.Constant(mean) : Var();
}

}  // namespace lt2::model
