#include "model/mixers/delta_net.h"

#include <cmath>

namespace lt2::model {
namespace {

// The normalisation inside the mixer has an epsilon of its own (paper.md 1.5).
constexpr float kOutputNormEps = 1e-5f;

}  // namespace

DeltaNet::DeltaNet(const ModelConfig& config, Kind kind)
    : kind_(kind),
      dim_(config.dim),
      shape_(kind == kGated ? config.gdn : config.deltanet) {
  const int64_t key_dim = shape_.key_dim, value_dim = shape_.value_dim();
  q_proj_.DeclareProjection("q_proj.weight", key_dim, dim_, dim_);
  k_proj_.DeclareProjection("k_proj.weight", key_dim, dim_, dim_);
  v_proj_.DeclareProjection("v_proj.weight", value_dim, dim_, dim_);
  b_proj_.DeclareProjection("b_proj.weight", shape_.n_v_heads, dim_, dim_);
  o_proj_.DeclareProjection("o_proj.weight", dim_, value_dim, dim_);
  const float bound = 1.0f / std::sqrt(static_cast<float>(shape_.conv_size));
  auto conv = [&](DeclaredParameter& p, const char* name, int64_t channels) {
    p.Declare(name, {channels, 1, shape_.conv_size}, Init::kUniform, bound);
  };
  conv(q_conv_, "q_conv1d.weight", key_dim);
  conv(k_conv_, "k_conv1d.weight", key_dim);
  conv(v_conv_, "v_conv1d.weight", value_dim);
  o_norm_.Declare("o_norm.weight", {shape_.d_v()}, Init::kOnes);
  if (kind_ == kGated) {
    a_proj_.DeclareProjection("a_proj.weight", shape_.n_v_heads, dim_, dim_);
    g_proj_.DeclareProjection("g_proj.weight", value_dim, dim_, dim_);
    a_log_.Declare("A_log", {shape_.n_v_heads}, Init::kLogUniform16);
    dt_bias_.Declare("dt_bias", {shape_.n_v_heads}, Init::kInverseSoftplus);
  }
}

std::vector<Parameter*> DeltaNet::parameters() {
  std::vector<Parameter*> all = {&q_proj_, &k_proj_, &v_proj_,
                                 &b_proj_, &q_conv_, &k_conv_,
                                 &v_conv_, &o_norm_, &o_proj_};
  if (kind_ == kGated) {
    all.insert(all.end(), {&a_proj_, &a_log_, &dt_bias_, &g_proj_});
  }
  return all;
}

Var DeltaNet::Forward(Tape& tape, const Var& x, const MixerCall& call) {
  if (!tape.ok()) return Var();
  const int64_t batch = x.dim(0), seq = x.dim(1);
  MixerState* state = call.state;
  auto branch = [&](const Parameter& proj, const Parameter& conv,
                    Tensor* conv_state, int64_t heads, int64_t head_dim) {
    const Var y = ShortConv(tape, Linear(tape, x, proj), conv, conv_state);
    return Reshape(tape, y, {batch, seq, heads, head_dim});
  };
  const Var q =
      L2Norm(tape, branch(q_proj_, q_conv_, state ? &state->q_conv : nullptr,
                          shape_.n_heads, shape_.d_k()));
  const Var k =
      L2Norm(tape, branch(k_proj_, k_conv_, state ? &state->k_conv : nullptr,
                          shape_.n_heads, shape_.d_k()));
  const Var v = branch(v_proj_, v_conv_, state ? &state->v_conv : nullptr,
                       shape_.n_v_heads, shape_.d_v());
  const Var beta = WriteStrength(tape, Linear(tape, x, b_proj_),
                                 shape_.allow_neg_eigval ? 2.0f : 1.0f);
  Var g;
  if (kind_ == kGated) {
    g = DecayGate(tape, Linear(tape, x, a_proj_), a_log_, dt_bias_);
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(shape_.d_k()));
  Var o = DeltaRule(tape, q, k, v, beta, g, scale,
                    state ? &state->recurrent : nullptr);
  if (kind_ == kGated) {
    const Var gate = Reshape(tape, Linear(tape, x, g_proj_),
                             {batch, seq, shape_.n_v_heads, shape_.d_v()});
    o = GatedRmsNorm(tape, o, gate, o_norm_, kOutputNormEps,
                     kernels::GateActivation::kSilu);
  } else {
    o = RmsNorm(tape, o, o_norm_, kOutputNormEps);
  }
  return Linear(tape, Reshape(tape, o, {batch, seq, shape_.value_dim()}),
                o_proj_);
}

absl::Status DeltaNet::InitState(Context& ctx, int64_t batch, int64_t, int64_t,
                                 DType activation, MixerState* state) const {
  const int64_t tail = shape_.conv_size - 1;
  const Shape keys({batch, tail, shape_.key_dim});
  const Shape values({batch, tail, shape_.value_dim()});
  LT2_ASSIGN_OR_RETURN(state->q_conv, ctx.Zeros(activation, keys));
  LT2_ASSIGN_OR_RETURN(state->k_conv, ctx.Zeros(activation, keys));
  LT2_ASSIGN_OR_RETURN(state->v_conv, ctx.Zeros(activation, values));
  LT2_ASSIGN_OR_RETURN(state->recurrent,
                       ctx.Zeros(DType::kF32, {batch, shape_.n_v_heads,
                                               shape_.d_k(), shape_.d_v()}));
  return absl::OkStatus();
}

int64_t DeltaNet::ParameterCount() const {
  const int64_t key_dim = shape_.key_dim, value_dim = shape_.value_dim();
  const int64_t heads = shape_.n_v_heads;
  int64_t n = 2 * key_dim * dim_ + 2 * value_dim * dim_ + heads * dim_;
  n += shape_.conv_size * (2 * key_dim + value_dim) + shape_.d_v();
  if (kind_ == kGated) n += value_dim * dim_ + heads * dim_ + 2 * heads;
  return n;
}

int64_t DeltaNet::Flops(int64_t seq, int64_t) const {
  const int64_t key_dim = shape_.key_dim, value_dim = shape_.value_dim();
  const int64_t heads = shape_.n_v_heads;
  int64_t matrices = 2 * key_dim * dim_ + 2 * value_dim * dim_ + heads * dim_;
  if (kind_ == kGated) matrices += value_dim * dim_ + heads * dim_;
  // The token recurrence: decay, S'k, rank-one update, S'q.
  const int64_t core =
      (kind_ == kGated ? 7 : 6) * shape_.d_k() * shape_.d_v() * heads;
  return seq * (2 * matrices + core);
}

int64_t DeltaNet::StateBytes(int64_t, int64_t, DType activation) const {
  const int64_t recurrent = 4 * shape_.n_v_heads * shape_.d_k() * shape_.d_v();
  const int64_t tail =
      (shape_.conv_size - 1) * (2 * shape_.key_dim + shape_.value_dim());
  return recurrent + tail * static_cast<int64_t>(ByteSize(activation));
}

}  // namespace lt2::model
