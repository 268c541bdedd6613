#include "model/mixers/delta_net.h"

#include <cmath>

namespace lt2::model {
namespace {

// The normalisation inside the mixer has an epsilon of its own (paper.md 1.5).
constexpr float kOutputNormEps = 1e-5f;

const DeltaRuleConfig& ShapeOf(const ModelConfig& config, DeltaNet::Kind kind) {
  switch (kind) {
    case DeltaNet::kPlain:
      return config.deltanet;
    case DeltaNet::kGated:
      return config.gdn;
    case DeltaNet::kKda:
      return config.kda;
    case DeltaNet::kProduct:
      break;
  }
  return config.deltaproduct;
}

}  // namespace

DeltaNet::DeltaNet(const ModelConfig& config, Kind kind)
    : dim_(config.dim),
      shape_(ShapeOf(config, kind)),
      steps_(kind == kProduct ? config.deltaproduct.num_householder : 1),
      decay_(kind == kKda     ? kPerChannel
             : kind == kGated ? kPerHead
             : kind == kProduct && config.deltaproduct.use_forget_gate
                 ? kPerHead
                 : kNoDecay),
      gate_(kind == kKda     ? kLowRankSigmoid
            : kind == kGated ? kSilu
            : kind == kProduct && config.deltaproduct.use_output_gate
                ? kSilu
                : kNoGate) {
  const int64_t key_dim = shape_.key_dim, value_dim = shape_.value_dim();
  const int64_t heads = shape_.n_v_heads;
  auto project = [&](DeclaredParameter& p, const char* name, int64_t out) {
    p.DeclareProjection(name, out, dim_, dim_);
  };
  project(q_proj_, "q_proj.weight", key_dim);
  project(k_proj_, "k_proj.weight", steps_ * key_dim);
  project(v_proj_, "v_proj.weight", steps_ * value_dim);
  project(b_proj_, "b_proj.weight", steps_ * heads);
  o_proj_.DeclareProjection("o_proj.weight", dim_, value_dim, dim_);
  const float bound = 1.0f / std::sqrt(static_cast<float>(shape_.conv_size));
  auto conv = [&](DeclaredParameter& p, const char* name, int64_t channels) {
    p.Declare(name, {channels, 1, shape_.conv_size}, Init::kUniform, bound);
  };
  conv(q_conv_, "q_conv1d.weight", key_dim);
  conv(k_conv_, "k_conv1d.weight", steps_ * key_dim);
  conv(v_conv_, "v_conv1d.weight", steps_ * value_dim);
  o_norm_.Declare("o_norm.weight", {shape_.d_v()}, Init::kOnes);
  if (decay_ == kPerHead) {
    project(a_proj_, "a_proj.weight", heads);
    a_log_.Declare("A_log", {heads}, Init::kLogUniform16);
    dt_bias_.Declare("dt_bias", {heads}, Init::kInverseSoftplus);
  } else if (decay_ == kPerChannel) {
    project(f_down_, "f_proj.0.weight", shape_.d_v());
    f_up_.DeclareProjection("f_proj.1.weight", key_dim, shape_.d_v(), dim_);
    a_log_.Declare("A_log", {heads}, Init::kLogUniform1To16);
    dt_bias_.Declare("dt_bias", {key_dim}, Init::kInverseSoftplus);
  }
  if (gate_ == kSilu) {
    project(g_proj_, "g_proj.weight", value_dim);
  } else if (gate_ == kLowRankSigmoid) {
    project(g_down_, "g_proj.0.weight", shape_.d_v());
    g_up_.DeclareProjection("g_proj.1.weight", value_dim, shape_.d_v(), dim_);
    g_bias_.Declare("g_proj.1.bias", {value_dim}, Init::kZeros);
  }
}

std::vector<Parameter*> DeltaNet::parameters() {
  std::vector<Parameter*> all = {&q_proj_, &k_proj_, &v_proj_,
                                 &b_proj_, &q_conv_, &k_conv_,
                                 &v_conv_, &o_norm_, &o_proj_};
  for (DeclaredParameter* p : {&a_proj_, &f_down_, &f_up_, &a_log_, &dt_bias_,
                               &g_proj_, &g_down_, &g_up_, &g_bias_}) {
    if (!p->name.empty()) all.push_back(p);
  }
  return all;
}

Var DeltaNet::DecayOf(Tape& tape, const Var& x) const {
  if (decay_ == kNoDecay) return Var();
  if (decay_ == kPerHead) {
    return DecayGate(tape, Linear(tape, x, a_proj_), a_log_, dt_bias_);
  }
  const Var a = Linear(tape, Linear(tape, x, f_down_), f_up_);
  return Reshape(tape, DecayGate(tape, a, a_log_, dt_bias_),
                 {x.dim(0), x.dim(1), shape_.n_heads, shape_.d_k()});
}

Var DeltaNet::NormAndGate(Tape& tape, const Var& o, const Var& x) const {
  if (gate_ == kNoGate) return RmsNorm(tape, o, o_norm_, kOutputNormEps);
  Var gate;
  if (gate_ == kSilu) {
    gate = Linear(tape, x, g_proj_);
  } else {
    gate =
        AddBias(tape, Linear(tape, Linear(tape, x, g_down_), g_up_), g_bias_);
  }
  if (!tape.ok()) return Var();
  return GatedRmsNorm(tape, o, Reshape(tape, gate, o.shape()), o_norm_,
                      kOutputNormEps,
                      gate_ == kSilu ? kernels::GateActivation::kSilu
                                     : kernels::GateActivation::kSigmoid);
}

Var DeltaNet::Forward(Tape& tape, const Var& x, const MixerCall& call) {
  if (!tape.ok()) return Var();
  const int64_t batch = x.dim(0), seq = x.dim(1);
  MixerState* state = call.state;
  // Heads of `steps` tokens for each token of x.
  auto branch = [&](const Parameter& proj, const Parameter& conv,
                    Tensor* conv_state, int64_t steps, int64_t heads,
                    int64_t head_dim) {
    const Var y = ShortConv(tape, Linear(tape, x, proj), conv, conv_state);
    return Reshape(tape, y, {batch, seq * steps, heads, head_dim});
  };
  Var q =
      L2Norm(tape, branch(q_proj_, q_conv_, state ? &state->q_conv : nullptr, 1,
                          shape_.n_heads, shape_.d_k()));
  const Var k =
      L2Norm(tape, branch(k_proj_, k_conv_, state ? &state->k_conv : nullptr,
                          steps_, shape_.n_heads, shape_.d_k()));
  const Var v = branch(v_proj_, v_conv_, state ? &state->v_conv : nullptr,
                       steps_, shape_.n_v_heads, shape_.d_v());
  Var beta = WriteStrength(tape, Linear(tape, x, b_proj_),
                           shape_.allow_neg_eigval ? 2.0f : 1.0f);
  Var g = DecayOf(tape, x);
  if (steps_ > 1) {
    beta = Reshape(tape, beta, {batch, seq * steps_, shape_.n_v_heads});
    q = Interleave(tape, q, steps_, steps_ - 1);
    if (g.defined()) g = Interleave(tape, g, steps_, 0);
  }
  call.Observe("k", k);
  call.Observe("beta", beta);
  call.Observe("g", g);
  const float scale = 1.0f / std::sqrt(static_cast<float>(shape_.d_k()));
  Var o = DeltaRule(tape, q, k, v, beta, g, scale,
                    state ? &state->recurrent : nullptr);
  if (steps_ > 1) o = TakeEvery(tape, o, steps_, steps_ - 1);
  o = NormAndGate(tape, o, x);
  return Linear(tape, Reshape(tape, o, {batch, seq, shape_.value_dim()}),
                o_proj_);
}

absl::Status DeltaNet::InitState(Context& ctx, int64_t batch, int64_t, int64_t,
                                 DType activation, MixerState* state) const {
  const int64_t tail = shape_.conv_size - 1;
  auto conv = [&](int64_t channels) {
    return ctx.Zeros(activation, {batch, tail, channels});
  };
  LT2_ASSIGN_OR_RETURN(state->q_conv, conv(shape_.key_dim));
  LT2_ASSIGN_OR_RETURN(state->k_conv, conv(steps_ * shape_.key_dim));
  LT2_ASSIGN_OR_RETURN(state->v_conv, conv(steps_ * shape_.value_dim()));
  LT2_ASSIGN_OR_RETURN(state->recurrent,
                       ctx.Zeros(DType::kF32, {batch, shape_.n_v_heads,
                                               shape_.d_k(), shape_.d_v()}));
  return absl::OkStatus();
}

int64_t DeltaNet::MatrixWeights() const {
  const int64_t key_dim = shape_.key_dim, value_dim = shape_.value_dim();
  const int64_t heads = shape_.n_v_heads;
  int64_t n = (key_dim + value_dim) * dim_ +                  // q, o
              steps_ * (key_dim + value_dim + heads) * dim_;  // k, v, beta
  if (decay_ == kPerHead) n += heads * dim_;
  if (decay_ == kPerChannel) n += shape_.d_v() * (dim_ + key_dim);
  if (gate_ == kSilu) n += value_dim * dim_;
  if (gate_ == kLowRankSigmoid) n += shape_.d_v() * (dim_ + value_dim);
  return n;
}

int64_t DeltaNet::ParameterCount() const {
  const int64_t key_dim = shape_.key_dim, value_dim = shape_.value_dim();
  int64_t n = MatrixWeights() + shape_.d_v();
  n += shape_.conv_size * (key_dim + steps_ * (key_dim + value_dim));
  if (decay_ == kPerHead) n += 2 * shape_.n_v_heads;
  if (decay_ == kPerChannel) n += shape_.n_v_heads + key_dim;
  if (gate_ == kLowRankSigmoid) n += value_dim;
  return n;
}

int64_t DeltaNet::Flops(int64_t seq, int64_t) const {
  // The token recurrence: decay, S'k, rank-one update, S'q.
  const int64_t core = (decay_ == kNoDecay ? 6 : 7) * shape_.d_k() *
                       shape_.d_v() * shape_.n_v_heads;
  return seq * (2 * MatrixWeights() + steps_ * core);
}

int64_t DeltaNet::StateBytes(int64_t, int64_t, DType activation) const {
  const int64_t recurrent = 4 * shape_.n_v_heads * shape_.d_k() * shape_.d_v();
  const int64_t channels =
      shape_.key_dim + steps_ * (shape_.key_dim + shape_.value_dim());
  return recurrent + (shape_.conv_size - 1) * channels *
                         static_cast<int64_t>(ByteSize(activation));
}

}  // namespace lt2::model
