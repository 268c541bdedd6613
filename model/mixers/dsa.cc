#include "model/mixers/dsa.h"

#include <algorithm>
#include <cmath>

#include "kernels/attention/attention.h"
#include "model/mixers/kv_cache.h"

namespace lt2::model {
namespace {

constexpr float kIndexNormEps = 1e-6f;

}  // namespace

Dsa::Dsa(const ModelConfig& config)
    : dim_(config.dim),
      heads_(config.n_heads),
      shape_(config.dsa),
      kv_heads_(released() ? 1 : config.n_kv_heads),
      key_dim_(released() ? shape_.latent_dim : config.head_dim()),
      value_dim_(released() ? shape_.latent_value_dim : config.head_dim()),
      use_gate_(config.use_attn_gate),
      use_rope_(config.use_rope && !released()),
      theta_(static_cast<float>(config.rope_theta)),
      layout_(config.rope_layout) {
  auto project = [&](DeclaredParameter& p, const char* name, int64_t out) {
    p.DeclareProjection(name, out, dim_, dim_);
  };
  project(q_proj_, released() ? "q_proj.weight" : "wq.weight",
          heads_ * key_dim_);
  project(k_proj_, released() ? "kv_proj.weight" : "wk.weight",
          kv_heads_ * key_dim_);
  if (!released()) project(v_proj_, "wv.weight", kv_heads_ * value_dim_);
  o_proj_.DeclareProjection(released() ? "o_proj.weight" : "wo.weight", dim_,
                            heads_ * value_dim_, dim_);
  if (use_gate_) {
    wg_.Declare("wg.weight", {heads_ * value_dim_, dim_}, Init::kZeros, 0,
                /*takes_decay=*/true);
  }
  project(index_q_, "indexer.wq.weight", shape_.index_heads * shape_.index_dim);
  project(index_k_, "indexer.wk.weight", shape_.index_dim);
  if (released()) {
    index_q_.frozen = index_k_.frozen = true;
  } else {
    index_norm_.Declare("indexer.k_norm.weight", {shape_.index_dim},
                        Init::kOnes);
    project(index_weights_, "indexer.weights_proj.weight", shape_.index_heads);
  }
}

std::vector<Parameter*> Dsa::parameters() {
  std::vector<Parameter*> all;
  for (DeclaredParameter* p :
       {&q_proj_, &k_proj_, &v_proj_, &o_proj_, &wg_, &index_q_, &index_k_,
        &index_norm_, &index_weights_}) {
    if (!p->name.empty()) all.push_back(p);
  }
  return all;
}

int64_t Dsa::Phase(uint64_t step) const {
  return !released() && step > 0 &&
         step <= static_cast<uint64_t>(shape_.warmup_steps);
}

Dsa::Heads Dsa::Project(Tape& tape, const Var& x, const Position& position) {
  const int64_t batch = x.dim(0), seq = x.dim(1);
  auto project = [&](const Parameter& w, int64_t heads, int64_t dim) {
    return Reshape(tape, Linear(tape, x, w), {batch, seq, heads, dim});
  };
  Heads heads;
  heads.q = project(q_proj_, heads_, key_dim_);
  heads.k = project(k_proj_, kv_heads_, key_dim_);
  if (released()) {
    latent_value_ = RowsOf(k_proj_, 0, value_dim_);
    heads.v = project(latent_value_, 1, value_dim_);
  } else {
    heads.v = project(v_proj_, kv_heads_, value_dim_);
  }
  if (use_rope_) {
    heads.q = Rope(tape, heads.q, theta_, layout_, position);
    heads.k = Rope(tape, heads.k, theta_, layout_, position);
  }
  return heads;
}

Indexer Dsa::IndexerOf(Tape& tape, const Var& x,
                       const Position& position) const {
  const int64_t batch = x.dim(0), seq = x.dim(1);
  const int64_t heads = shape_.index_heads, dim = shape_.index_dim;
  const Var u = tape.Constant(x.value());
  Indexer indexer;
  indexer.relu = !released();
  indexer.scale = 1.0f / std::sqrt(static_cast<float>(dim));
  indexer.q =
      Reshape(tape, Linear(tape, u, index_q_), {batch, seq, heads, dim});
  Var k = Linear(tape, u, index_k_);
  if (!released()) {
    // relu(a x) = a relu(x) for a > 0: the weights' scale joins this one.
    indexer.scale /= std::sqrt(static_cast<float>(heads));
    k = RmsNorm(tape, k, index_norm_, kIndexNormEps);
    indexer.w = LinearF32(tape, u, index_weights_);
  }
  k = Reshape(tape, k, {batch, seq, 1, dim});
  if (use_rope_) {
    indexer.q = Rope(tape, indexer.q, theta_, layout_, position);
    k = Rope(tape, k, theta_, layout_, position);
  }
  indexer.k = Reshape(tape, k, {batch, seq, dim});
  return indexer;
}

// Gathering tokens costs several times what reading all of them in order does.
bool Dsa::SelectsAll(const Heads& heads, float scale) const {
  return heads.q.dim(1) <= shape_.top_k &&
         kernels::AttentionSupports(
             {heads.q.value(), heads.k.value(), heads.v.value(), scale})
             .ok();
}

Var Dsa::Attend(Tape& tape, const Var& x, const Heads& heads,
                const MixerCall& call) const {
  if (!tape.ok()) return Var();
  call.Observe("selected_q", heads.q);
  call.Observe("selected_k", heads.k);
  const float scale = 1.0f / std::sqrt(static_cast<float>(key_dim_));
  Indexer indexer;
  if (released()) {
    // Never trained: nothing of it is remembered for the backward pass.
    Tape frozen(tape.ctx(), Tape::kInference);
    indexer = IndexerOf(frozen, x, call.position);
    if (!frozen.ok()) return tape.Fail(frozen.status());
  } else {
    indexer = IndexerOf(tape, x, call.position);
  }
  if (!tape.ok()) return Var();
  if (call.state != nullptr) {
    MixerState& state = *call.state;
    const Tensor& k = indexer.k.value();
    absl::Status appended =
        AppendTokens(tape.ctx(), heads.k.value(), call, &state.k_cache);
    appended.Update(
        AppendTokens(tape.ctx(), heads.v.value(), call, &state.v_cache));
    appended.Update(AppendTokens(tape.ctx(),
                                 k.Reshape({k.dim(0), k.dim(1), 1, k.dim(2)}),
                                 call, &state.index_cache));
    if (!appended.ok()) return tape.Fail(appended);
    const Tensor& keys = state.index_cache;
    indexer.k =
        tape.Constant(keys.Reshape({keys.dim(0), keys.dim(1), keys.dim(3)}));
    const Tensor indices =
        IndexerTopK(tape, indexer, shape_.top_k, call.next_lengths);
    return SelectedAttention(tape, heads.q, tape.Constant(state.k_cache),
                             tape.Constant(state.v_cache), indices, 1, scale,
                             call.next_lengths, nullptr);
  }
  Tensor indices, lse;
  Var o;
  if (Phase(call.step) == 1 || SelectsAll(heads, scale)) {
    o = Attention(tape, heads.q, heads.k, heads.v, scale, 0, &lse);
  } else {
    indices = IndexerTopK(tape, indexer, shape_.top_k, Tensor());
    o = SelectedAttention(tape, heads.q, heads.k, heads.v, indices, 1, scale,
                          Tensor(), &lse);
  }
  if (released() || shape_.kl_weight == 0 || !tape.recording() || !tape.ok()) {
    return o;
  }
  const Var loss = IndexerLoss(tape, indexer, indices,
                               {heads.q.value(), heads.k.value(), lse, scale});
  return AttachLoss(tape, o, loss, static_cast<float>(shape_.kl_weight));
}

Var Dsa::Forward(Tape& tape, const Var& x, const MixerCall& call) {
  if (!tape.ok()) return Var();
  Var o = Attend(tape, x, Project(tape, x, call.position), call);
  o = Reshape(tape, o, {x.dim(0), x.dim(1), heads_ * value_dim_});
  if (use_gate_) o = SigmoidGate(tape, o, Linear(tape, x, wg_));
  return Linear(tape, o, o_proj_);
}

absl::Status Dsa::InitState(Context& ctx, int64_t batch, int64_t capacity,
                            int64_t, DType activation,
                            MixerState* state) const {
  auto zeros = [&](int64_t heads, int64_t dim) {
    return ctx.Zeros(activation, {batch, capacity, heads, dim});
  };
  LT2_ASSIGN_OR_RETURN(state->k_cache, zeros(kv_heads_, key_dim_));
  LT2_ASSIGN_OR_RETURN(state->v_cache, zeros(kv_heads_, value_dim_));
  LT2_ASSIGN_OR_RETURN(state->index_cache, zeros(1, shape_.index_dim));
  return absl::OkStatus();
}

int64_t Dsa::MatrixWeights() const {
  int64_t out = heads_ * key_dim_ + kv_heads_ * key_dim_;
  if (!released()) out += kv_heads_ * value_dim_ + shape_.index_heads;
  out += (use_gate_ ? 2 : 1) * heads_ * value_dim_;
  out += (shape_.index_heads + 1) * shape_.index_dim;
  return out * dim_;
}

int64_t Dsa::ParameterCount() const {
  return MatrixWeights() + (released() ? 0 : shape_.index_dim);
}

int64_t Dsa::Flops(int64_t seq, int64_t) const {
  // The released value multiplies rows of k_proj once more.
  const int64_t matrices =
      MatrixWeights() + (released() ? value_dim_ * dim_ : 0);
  const int64_t scores =
      2 * shape_.index_heads * (shape_.index_dim + 1) * CausalPairs(seq, seq);
  return 2 * matrices * seq + scores +
         2 * heads_ * (key_dim_ + value_dim_) * CausalPairs(seq, shape_.top_k);
}

int64_t Dsa::StateBytes(int64_t tokens, int64_t, DType activation) const {
  return tokens * (kv_heads_ * (key_dim_ + value_dim_) + shape_.index_dim) *
         static_cast<int64_t>(ByteSize(activation));
}

int64_t Dsa::DecodeBytes(int64_t tokens, int64_t window,
                         DType activation) const {
  const int64_t entry = kv_heads_ * (key_dim_ + value_dim_);
  const int64_t read =
      tokens * shape_.index_dim + std::min(tokens, shape_.top_k) * entry;
  return read * static_cast<int64_t>(ByteSize(activation)) +
         StateBytes(1, window, activation);
}

}  // namespace lt2::model
