#include "bench/scaling/operator_case.h"

#include <cmath>
#include <utility>

#include "model/autograd/ops.h"
#include "model/autograd/sparse_ops.h"
#include "model/mixers/mixer.h"

namespace lt2::bench {
namespace {

using model::Tape;
using model::Var;
using Inputs = std::vector<Var>;

struct InputSpec {
  DType dtype = DType::kF32;
  Shape shape;
  float low = -1, high = 1;
};

struct OperatorSpec {
  std::vector<InputSpec> inputs;  // q, k, v first
  std::function<Var(Tape&, const Inputs&)> run;
};

float InverseRoot(int64_t n) { return 1.0f / std::sqrt(static_cast<float>(n)); }

OperatorSpec Softmax(const model::ModelConfig& c, DType act, int64_t batch,
                     int64_t length, int64_t window) {
  const int64_t d = c.head_dim();
  OperatorSpec spec;
  spec.inputs = {{act, {batch, length, c.n_heads, d}},
                 {act, {batch, length, c.n_kv_heads, d}},
                 {act, {batch, length, c.n_kv_heads, d}}};
  spec.run = [window, scale = InverseRoot(d)](Tape& tape, const Inputs& in) {
    return model::Attention(tape, in[0], in[1], in[2], scale, window);
  };
  return spec;
}

OperatorSpec DeltaRule(const model::DeltaRuleConfig& c, DType act,
                       int64_t batch, int64_t length, bool decay,
                       bool per_channel) {
  const int64_t d_k = c.d_k();
  const float unit = std::sqrt(3.0f / static_cast<float>(d_k));
  OperatorSpec spec;
  spec.inputs = {{act, {batch, length, c.n_heads, d_k}, -unit, unit},
                 {act, {batch, length, c.n_heads, d_k}, -unit, unit},
                 {act, {batch, length, c.n_v_heads, c.d_v()}},
                 {DType::kF32, {batch, length, c.n_v_heads}, 0.05f, 0.95f}};
  if (decay) {
    spec.inputs.push_back({DType::kF32,
                           per_channel
                               ? Shape({batch, length, c.n_v_heads, d_k})
                               : Shape({batch, length, c.n_v_heads}),
                           -0.2f, -0.001f});
  }
  spec.run = [decay, scale = InverseRoot(d_k)](Tape& tape, const Inputs& in) {
    return model::DeltaRule(tape, in[0], in[1], in[2], in[3],
                            decay ? in[4] : Var(), scale, nullptr);
  };
  return spec;
}

enum class Decay { kNone, kConstant, kPerHead, kPerChannel };

OperatorSpec Linear(DType act, int64_t batch, int64_t length, int64_t heads,
                    int64_t key_heads, int64_t d_k, int64_t d_v, Decay decay) {
  OperatorSpec spec;
  spec.inputs = {{act, {batch, length, key_heads, d_k}},
                 {act, {batch, length, key_heads, d_k}},
                 {act, {batch, length, heads, d_v}}};
  Shape shape({heads});
  if (decay == Decay::kPerHead) shape = Shape({batch, length, heads});
  if (decay == Decay::kPerChannel) shape = Shape({batch, length, heads, d_k});
  if (decay != Decay::kNone) {
    spec.inputs.push_back({DType::kF32, shape, -0.2f, -0.001f});
  }
  spec.run = [decay, scale = InverseRoot(d_k)](Tape& tape, const Inputs& in) {
    Var g;
    if (decay == Decay::kConstant) g = tape.Constant(in[3].value());
    if (decay == Decay::kPerHead || decay == Decay::kPerChannel) g = in[3];
    return model::LinearAttention(tape, in[0], in[1], in[2], g, scale, nullptr);
  };
  return spec;
}

OperatorSpec Nsa(const model::ModelConfig& c, DType act, int64_t batch,
                 int64_t length) {
  const int64_t d = c.head_dim(), kv = c.nsa.n_kv_heads;
  OperatorSpec spec;
  spec.inputs = {{act, {batch, length, c.n_heads, d}},
                 {act, {batch, length, kv, d}},
                 {act, {batch, length, kv, d}}};
  spec.run = [nsa = c.nsa, length, scale = InverseRoot(d)](Tape& tape,
                                                           const Inputs& in) {
    const Var &q = in[0], &k = in[1], &v = in[2];
    const int64_t block = nsa.block_size;
    const Var kc = BlockMean(tape, k, block), vc = BlockMean(tape, v, block);
    Tensor lse;
    const Var compressed = CompressedAttention(tape, q, kc, vc, length, block,
                                               scale, Tensor(), &lse);
    const Tensor indices = SelectBlocks(tape, q, kc, lse, length, block,
                                        nsa.block_counts, scale, Tensor());
    const Var selected = SelectedAttention(tape, q, k, v, indices, block, scale,
                                           Tensor(), nullptr);
    const Var window = model::Attention(tape, q, k, v, scale, nsa.window_size);
    return model::Add(tape, model::Add(tape, compressed, selected), window);
  };
  return spec;
}

OperatorSpec Dsa(const model::ModelConfig& c, DType act, int64_t batch,
                 int64_t length) {
  const model::DsaConfig& dsa = c.dsa;
  const int64_t d = c.head_dim();
  OperatorSpec spec;
  spec.inputs = {{act, {batch, length, c.n_heads, d}},
                 {act, {batch, length, c.n_kv_heads, d}},
                 {act, {batch, length, c.n_kv_heads, d}},
                 {act, {batch, length, dsa.index_heads, dsa.index_dim}},
                 {act, {batch, length, dsa.index_dim}},
                 {DType::kF32, {batch, length, dsa.index_heads}}};
  spec.run = [dsa, scale = InverseRoot(d)](Tape& tape, const Inputs& in) {
    model::Indexer indexer;
    indexer.q = in[3];
    indexer.k = in[4];
    indexer.w = in[5];
    indexer.scale = InverseRoot(dsa.index_dim * dsa.index_heads);
    const Tensor indices = IndexerTopK(tape, indexer, dsa.top_k, Tensor());
    Tensor lse;
    const Var o = SelectedAttention(tape, in[0], in[1], in[2], indices, 1,
                                    scale, Tensor(), &lse);
    if (!tape.recording() || !tape.ok() || dsa.kl_weight == 0) return o;
    const Var loss = IndexerLoss(tape, indexer, indices,
                                 {in[0].value(), in[1].value(), lse, scale});
    return AttachLoss(tape, o, loss, static_cast<float>(dsa.kl_weight));
  };
  return spec;
}

absl::StatusOr<OperatorSpec> SpecOf(const model::ModelConfig& c,
                                    const std::string& mixer, DType act,
                                    int64_t batch, int64_t length) {
  if (mixer == "full" || mixer == "window") {
    return Softmax(c, act, batch, length, model::WindowOf(mixer, c, 0));
  }
  if (mixer == "deltanet") {
    return DeltaRule(c.deltanet, act, batch, length, false, false);
  }
  if (mixer == "gdn") return DeltaRule(c.gdn, act, batch, length, true, false);
  if (mixer == "kda") return DeltaRule(c.kda, act, batch, length, true, true);
  if (mixer == "deltaproduct") {
    return DeltaRule(c.deltaproduct, act, batch,
                     length * c.deltaproduct.num_householder,
                     c.deltaproduct.use_forget_gate, false);
  }
  auto linear = [&](const model::LinearMixerConfig& m, Decay decay) {
    return Linear(act, batch, length, m.n_heads, m.n_heads, m.d_k(), m.d_v(),
                  decay);
  };
  if (mixer == "linear_attention") {
    return linear(c.linear_attention, Decay::kNone);
  }
  if (mixer == "retnet") return linear(c.retnet, Decay::kConstant);
  if (mixer == "gla") return linear(c.gla, Decay::kPerChannel);
  if (mixer == "hgrn2") return linear(c.hgrn2, Decay::kPerChannel);
  if (mixer == "mamba2") {
    return Linear(act, batch, length, c.mamba2.n_heads, 1, c.mamba2.state_size,
                  c.mamba2.head_dim(), Decay::kPerHead);
  }
  if (mixer == "nsa") return Nsa(c, act, batch, length);
  if (mixer == "dsa" && c.dsa.mode == model::DsaConfig::kDeepSeek) {
    return Dsa(c, act, batch, length);
  }
  return InvalidArgument("no operator of its own is known for mixer '", mixer,
                         "': add it to bench/scaling/operator_case.cc");
}

}  // namespace

absl::StatusOr<std::unique_ptr<OperatorCase>> OperatorCase::Create(
    Context& ctx, Noise& noise, const model::ModelConfig& config,
    const std::string& mixer, int64_t batch, int64_t length, int sets) {
  const DType act = ctx.is_cuda() ? DType::kBF16 : DType::kF32;
  LT2_ASSIGN_OR_RETURN(OperatorSpec spec,
                       SpecOf(config, mixer, act, batch, length));
  auto made = std::unique_ptr<OperatorCase>(new OperatorCase(ctx));
  made->run_ = std::move(spec.run);
  for (int set = 0; set < sets; ++set) {
    std::vector<Tensor> inputs;
    for (const InputSpec& input : spec.inputs) {
      LT2_ASSIGN_OR_RETURN(
          const Tensor t,
          noise.Uniform(input.dtype, input.shape, input.low, input.high));
      inputs.push_back(t);
      if (set == 0) made->input_bytes_ += t.bytes();
    }
    made->sets_.push_back(inputs);
  }
  // The output is like v with the query's heads: known after a first call.
  LT2_RETURN_IF_ERROR(made->Forward(0, /*keep=*/true));
  const Tensor o = made->kept_[0];
  made->kept_.clear();
  made->output_bytes_ = o.bytes();
  LT2_ASSIGN_OR_RETURN(made->dout_, noise.Uniform(o.dtype(), o.shape(), -1, 1));
  return made;
}

absl::Status OperatorCase::Forward(int call, bool keep) {
  Tape tape(ctx_, Tape::kInference);
  Inputs inputs;
  for (const Tensor& t : sets_[call % sets_.size()]) {
    inputs.push_back(tape.Constant(t));
  }
  const Var o = run_(tape, inputs);
  LT2_RETURN_IF_ERROR(tape.status());
  if (keep) kept_ = {o.value()};
  return absl::OkStatus();
}

absl::Status OperatorCase::ForwardBackward(int call, bool keep) {
  Tape tape(ctx_, Tape::kRecord);
  Inputs inputs;
  for (const Tensor& t : sets_[call % sets_.size()]) {
    inputs.push_back(tape.Leaf(t));
  }
  const Var o = run_(tape, inputs);
  LT2_RETURN_IF_ERROR(tape.status());
  LT2_RETURN_IF_ERROR(tape.Backward(o, dout_));
  if (!keep) return absl::OkStatus();
  kept_ = {o.value()};
  for (int i = 0; i < 3; ++i) {
    if (!inputs[i].grad().defined()) {
      return absl::InternalError(
          absl::StrCat("input ", i, " received no gradient"));
    }
    kept_.push_back(inputs[i].grad());
  }
  return absl::OkStatus();
}

}  // namespace lt2::bench
