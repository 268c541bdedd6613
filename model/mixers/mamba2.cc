#include "model/mixers/mamba2.h"

#include <cmath>

namespace lt2::model {
namespace {

constexpr float kOutputNormEps = 1e-5f;

}  // namespace

Mamba2::Mamba2(const ModelConfig& config)
    : dim_(config.dim), shape_(config.mamba2) {
  const int64_t inner = shape_.inner_dim, heads = shape_.n_heads;
  const int64_t mixed = inner + 2 * shape_.state_size;  // x, B, C
  const float bound = 1.0f / std::sqrt(static_cast<float>(shape_.conv_size));
  in_proj_.DeclareProjection("in_proj.weight", inner + mixed + heads, dim_,
                             dim_);
  conv_.Declare("conv1d.weight", {mixed, 1, shape_.conv_size}, Init::kUniform,
                bound);
  conv_bias_.Declare("conv1d.bias", {mixed}, Init::kUniform, bound);
  dt_bias_.Declare("dt_bias", {heads}, Init::kInverseSoftplus);
  a_log_.Declare("A_log", {heads}, Init::kLogUniform16);
  d_.Declare("D", {heads}, Init::kOnes);
  norm_.Declare("norm.weight", {inner}, Init::kOnes);
  out_proj_.DeclareProjection("out_proj.weight", dim_, inner, dim_);
}

std::vector<Parameter*> Mamba2::parameters() {
  return {&in_proj_, &conv_, &conv_bias_, &dt_bias_,
          &a_log_,   &d_,    &norm_,      &out_proj_};
}

void Mamba2::TakeRows() {
  const int64_t inner = shape_.inner_dim, n = shape_.state_size;
  z_proj_ = RowsOf(in_proj_, 0, inner);
  auto take = [&](Branch& branch, int64_t begin, int64_t end) {
    branch.proj = RowsOf(in_proj_, inner + begin, inner + end);
    branch.conv = RowsOf(conv_, begin, end);
    branch.bias = RowsOf(conv_bias_, begin, end);
  };
  take(x_, 0, inner);
  take(b_, inner, inner + n);
  take(c_, inner + n, inner + 2 * n);
  const int64_t dt = 2 * inner + 2 * n;
  dt_proj_ = RowsOf(in_proj_, dt, dt + shape_.n_heads);
}

Var Mamba2::Forward(Tape& tape, const Var& x, const MixerCall& call) {
  if (!tape.ok()) return Var();
  TakeRows();
  const int64_t batch = x.dim(0), seq = x.dim(1);
  const int64_t heads = shape_.n_heads, inner = shape_.inner_dim;
  MixerState* state = call.state;
  auto convolved = [&](const Branch& branch, Tensor* conv_state) {
    return ShortConv(tape, Linear(tape, x, branch.proj), branch.conv,
                     conv_state, &branch.bias);
  };
  const Var u = convolved(x_, state ? &state->v_conv : nullptr);
  const Var b = convolved(b_, state ? &state->k_conv : nullptr);
  const Var c = convolved(c_, state ? &state->q_conv : nullptr);
  const Var a = Linear(tape, x, dt_proj_);
  const Var dt = Softplus(tape, a, &dt_bias_, 1, 1);
  const Var g = DecayGate(tape, a, a_log_, dt_bias_);
  const Var v = ScaleRows(
      tape, Reshape(tape, u, {batch, seq, heads, shape_.head_dim()}), dt);
  const Shape keys({batch, seq, 1, shape_.state_size});
  Var o = LinearAttention(tape, Reshape(tape, c, keys), Reshape(tape, b, keys),
                          v, g, 1.0f, state ? &state->recurrent : nullptr);
  o = ScaledAdd(tape, Reshape(tape, o, {batch, seq, inner}), u, d_);
  o = SwiGlu(tape, Linear(tape, x, z_proj_), o);
  return Linear(tape, RmsNorm(tape, o, norm_, kOutputNormEps), out_proj_);
}

absl::Status Mamba2::InitState(Context& ctx, int64_t batch, int64_t, int64_t,
                               DType activation, MixerState* state) const {
  const int64_t tail = shape_.conv_size - 1, n = shape_.state_size;
  LT2_ASSIGN_OR_RETURN(state->q_conv, ctx.Zeros(activation, {batch, tail, n}));
  LT2_ASSIGN_OR_RETURN(state->k_conv, ctx.Zeros(activation, {batch, tail, n}));
  LT2_ASSIGN_OR_RETURN(state->v_conv,
                       ctx.Zeros(activation, {batch, tail, shape_.inner_dim}));
  LT2_ASSIGN_OR_RETURN(
      state->recurrent,
      ctx.Zeros(DType::kF32, {batch, shape_.n_heads, n, shape_.head_dim()}));
  return absl::OkStatus();
}

int64_t Mamba2::MatrixWeights() const {
  const int64_t inner = shape_.inner_dim;
  return (3 * inner + 2 * shape_.state_size + shape_.n_heads) * dim_;
}

int64_t Mamba2::ParameterCount() const {
  const int64_t inner = shape_.inner_dim;
  const int64_t mixed = inner + 2 * shape_.state_size;
  return MatrixWeights() + (shape_.conv_size + 1) * mixed + 3 * shape_.n_heads +
         inner;
}

int64_t Mamba2::Flops(int64_t seq, int64_t) const {
  // The token recurrence: decay, rank-one update, S'C.
  return seq * (2 * MatrixWeights() + 5 * shape_.state_size * shape_.inner_dim);
}

int64_t Mamba2::StateBytes(int64_t, int64_t, DType activation) const {
  const int64_t n = shape_.state_size;
  return 4 * n * shape_.inner_dim +
         (shape_.conv_size - 1) * (shape_.inner_dim + 2 * n) *
             static_cast<int64_t>(ByteSize(activation));
}

}  // namespace lt2::model
