#include "model/mixers/linear_mixer.h"

#include <cmath>

namespace lt2::model {
namespace {

constexpr float kOutputNormEps = 1e-5f;
constexpr float kRetNetTheta = 10000.0f;

const LinearMixerConfig& ShapeOf(const ModelConfig& config,
                                 LinearMixer::Kind kind) {
  switch (kind) {
    case LinearMixer::kLinearAttention:
      return config.linear_attention;
    case LinearMixer::kRetNet:
      return config.retnet;
    case LinearMixer::kGla:
      return config.gla;
    case LinearMixer::kHgrn2:
      break;
  }
  return config.hgrn2;
}

}  // namespace

void LinearMixer::FeatureMap::Declare(const std::string& name, int64_t dim) {
  const float bound = 1.0f / std::sqrt(static_cast<float>(dim));
  auto layer = [&](const char* which, DeclaredParameter& weight,
                   DeclaredParameter& bias) {
    weight.Declare(name + which + ".weight", {dim, dim}, Init::kUniform, bound,
                   /*takes_decay=*/true);
    bias.Declare(name + which + ".bias", {dim}, Init::kUniform, bound);
  };
  layer(".layer1", weight1, bias1);
  layer(".layer2", weight2, bias2);
}

Var LinearMixer::FeatureMap::Apply(Tape& tape, const Var& x) const {
  return Multiply(tape, AddBias(tape, Linear(tape, x, weight1), bias1),
                  AddBias(tape, Linear(tape, x, weight2), bias2));
}

LinearMixer::LinearMixer(const ModelConfig& config, Kind kind)
    : kind_(kind), dim_(config.dim), shape_(ShapeOf(config, kind)) {
  const int64_t key_dim = shape_.key_dim, value_dim = shape_.value_dim();
  const bool hgrn2 = kind_ == kHgrn2;
  q_proj_.DeclareProjection("q_proj.weight", key_dim, dim_, dim_);
  k_proj_.DeclareProjection(hgrn2 ? "f_proj.weight" : "k_proj.weight", key_dim,
                            dim_, dim_);
  v_proj_.DeclareProjection(hgrn2 ? "i_proj.weight" : "v_proj.weight",
                            value_dim, dim_, dim_);
  o_proj_.DeclareProjection("o_proj.weight", dim_, value_dim, dim_);
  norm_.Declare(gated() ? "g_norm_swish_gate.weight"
                : hgrn2 ? "g_norm.weight"
                        : "norm.weight",
                {hgrn2 ? value_dim : shape_.d_v()}, Init::kOnes);
  if (maps_features()) {
    q_map_.Declare("feature_map_q", shape_.d_k());
    k_map_.Declare("feature_map_k", shape_.d_k());
  }
  if (gated()) {
    g_proj_.DeclareProjection("g_proj.weight", value_dim, dim_, dim_);
  }
  if (kind_ == kGla) {
    const int64_t rank = shape_.gate_low_rank_dim;
    gk_down_.DeclareProjection("gk_proj.0.weight", rank, dim_, dim_);
    gk_up_.DeclareProjection("gk_proj.1.weight", key_dim, rank, dim_);
    gk_bias_.Declare("gk_proj.1.bias", {key_dim}, Init::kZeros);
  }
}

std::vector<Parameter*> LinearMixer::parameters() {
  std::vector<Parameter*> all = {&q_proj_, &k_proj_, &v_proj_, &norm_,
                                 &o_proj_};
  for (DeclaredParameter* p :
       {&q_map_.weight1, &q_map_.bias1, &q_map_.weight2, &q_map_.bias2,
        &k_map_.weight1, &k_map_.bias1, &k_map_.weight2, &k_map_.bias2,
        &g_proj_, &gk_down_, &gk_up_, &gk_bias_}) {
    if (!p->name.empty()) all.push_back(p);
  }
  return all;
}

Var LinearMixer::ConstantDecay(Tape& tape) {
  if (!constant_decay_.defined()) {
    std::vector<float> g;
    for (int64_t h = 0; h < shape_.n_heads; ++h) {
      g.push_back(static_cast<float>(std::log1p(-std::exp2(-5.0 - double(h)))));
    }
    auto tensor = tape.ctx().FromHost<float>(g, {shape_.n_heads});
    if (!tensor.ok()) return tape.Fail(tensor.status());
    constant_decay_ = *std::move(tensor);
  }
  return tape.Constant(constant_decay_);
}

Var LinearMixer::Forward(Tape& tape, const Var& x, const MixerCall& call) {
  if (!tape.ok()) return Var();
  const int64_t batch = x.dim(0), seq = x.dim(1);
  const Shape keys({batch, seq, shape_.n_heads, shape_.d_k()});
  const Shape values({batch, seq, shape_.n_heads, shape_.d_v()});
  Var q = Reshape(tape, Linear(tape, x, q_proj_), keys);
  Var k = Reshape(tape, Linear(tape, x, k_proj_), keys);
  const Var v = Reshape(tape, Linear(tape, x, v_proj_), values);
  Var g;
  switch (kind_) {
    case kLinearAttention:
      if (maps_features()) {
        q = q_map_.Apply(tape, q);
        k = k_map_.Apply(tape, k);
      }
      break;
    case kRetNet:
      q = Rope(tape, q, kRetNetTheta, kernels::RopeLayout::kHalfSplit,
               call.position);
      k = Rope(tape, k, kRetNetTheta, kernels::RopeLayout::kHalfSplit,
               call.position);
      g = ConstantDecay(tape);
      break;
    case kGla: {
      const Var a = Linear(tape, Linear(tape, x, gk_down_), gk_up_);
      g = Reshape(tape,
                  LogSigmoid(tape, a, &gk_bias_,
                             static_cast<float>(shape_.gate_logit_normalizer)),
                  keys);
      break;
    }
    case kHgrn2: {
      q = Silu(tape, q);
      g = LogSigmoid(tape, k, nullptr, 1);
      // 1 - e^g = 1 - sigmoid(f) = sigmoid(-f), which does not cancel.
      if (!tape.ok()) return Var();
      k = Sigmoid(tape, k, 1.0f, -1.0f, k.value().dtype());
      break;
    }
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(shape_.d_k()));
  Var o = LinearAttention(tape, q, k, v, g, scale,
                          call.state ? &call.state->recurrent : nullptr);
  if (gated()) {
    const Var gate = Reshape(tape, Linear(tape, x, g_proj_), values);
    o = GatedRmsNorm(tape, o, gate, norm_, kOutputNormEps,
                     kernels::GateActivation::kSilu);
  } else if (kind_ == kLinearAttention) {
    o = RmsNorm(tape, o, norm_, kOutputNormEps);
  }
  o = Reshape(tape, o, {batch, seq, shape_.value_dim()});
  if (kind_ == kHgrn2) o = RmsNorm(tape, o, norm_, kOutputNormEps);
  return Linear(tape, o, o_proj_);
}

absl::Status LinearMixer::InitState(Context& ctx, int64_t batch, int64_t,
                                    int64_t, DType, MixerState* state) const {
  LT2_ASSIGN_OR_RETURN(state->recurrent,
                       ctx.Zeros(DType::kF32, {batch, shape_.n_heads,
                                               shape_.d_k(), shape_.d_v()}));
  return absl::OkStatus();
}

int64_t LinearMixer::ParameterCount() const {
  const int64_t key_dim = shape_.key_dim, value_dim = shape_.value_dim();
  int64_t n = 2 * (key_dim + value_dim) * dim_;
  n += kind_ == kHgrn2 ? value_dim : shape_.d_v();  // the norm
  if (maps_features()) n += 4 * (shape_.d_k() + 1) * shape_.d_k();
  if (gated()) n += value_dim * dim_;
  if (kind_ == kGla) n += shape_.gate_low_rank_dim * (dim_ + key_dim) + key_dim;
  return n;
}

int64_t LinearMixer::Flops(int64_t seq, int64_t) const {
  const int64_t key_dim = shape_.key_dim, value_dim = shape_.value_dim();
  int64_t matrices = 2 * (key_dim + value_dim) * dim_;
  if (maps_features()) matrices += 4 * key_dim * shape_.d_k();
  if (gated()) matrices += value_dim * dim_;
  if (kind_ == kGla) matrices += shape_.gate_low_rank_dim * (dim_ + key_dim);
  // The token recurrence: decay, rank-one update, S'q.
  const int64_t core =
      (kind_ == kLinearAttention ? 4 : 5) * shape_.d_k() * value_dim;
  return seq * (2 * matrices + core);
}

int64_t LinearMixer::StateBytes(int64_t, int64_t, DType) const {
  return 4 * shape_.d_k() * shape_.value_dim();
}

}  // namespace lt2::model
