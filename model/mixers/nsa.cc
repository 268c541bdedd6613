#include "model/mixers/nsa.h"

#include <algorithm>
#include <cmath>

#include "kernels/sparse_attention/block_compress.h"
#include "model/autograd/sparse_ops.h"
#include "model/mixers/kv_cache.h"

namespace lt2::model {

Nsa::Nsa(const ModelConfig& config)
    : dim_(config.dim),
      heads_(config.n_heads),
      head_dim_(config.head_dim()),
      shape_(config.nsa),
      use_gate_(config.use_attn_gate),
      use_rope_(config.use_rope),
      theta_(static_cast<float>(config.rope_theta)) {
  const int64_t query = heads_ * head_dim_, key = shape_.n_kv_heads * head_dim_;
  q_proj_.DeclareProjection("q_proj.weight", query, dim_, dim_);
  k_proj_.DeclareProjection("k_proj.weight", key, dim_, dim_);
  v_proj_.DeclareProjection("v_proj.weight", key, dim_, dim_);
  g_proj_.DeclareProjection("g_proj.weight", 3 * heads_, dim_, dim_);
  o_proj_.DeclareProjection("o_proj.weight", dim_, query, dim_);
  if (use_gate_) {
    wg_.Declare("wg.weight", {query, dim_}, Init::kZeros, 0,
                /*takes_decay=*/true);
  }
}

std::vector<Parameter*> Nsa::parameters() {
  std::vector<Parameter*> all = {&q_proj_, &k_proj_, &v_proj_, &g_proj_,
                                 &o_proj_};
  if (use_gate_) all.push_back(&wg_);
  return all;
}

Nsa::Branches Nsa::Attend(Tape& tape, const Var& q, const Var& k, const Var& v,
                          const MixerCall& call) const {
  if (!tape.ok()) return {};
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim_));
  const int64_t block = shape_.block_size, tokens = q.dim(1);
  // Keys and values of all tokens, and of their complete blocks.
  Var all_k = k, all_v = v, kc, vc;
  Tensor lengths;
  Branches o;
  if (call.state == nullptr) {
    kc = BlockMean(tape, k, block);
    vc = BlockMean(tape, v, block);
    o.window = Attention(tape, q, k, v, scale, shape_.window_size);
  } else {
    MixerState& state = *call.state;
    lengths = call.next_lengths;
    auto append = [&](const Tensor& x, Tensor* cache,
                      Tensor* blocks) -> absl::Status {
      LT2_RETURN_IF_ERROR(AppendTokens(tape.ctx(), x, call, cache));
      return kernels::BlockMeanAppend(tape.ctx(),
                                      {*cache, lengths, tokens, block}, blocks);
    };
    absl::Status appended = append(k.value(), &state.k_cache, &state.k_blocks);
    appended.Update(append(v.value(), &state.v_cache, &state.v_blocks));
    if (!appended.ok()) {
      tape.Fail(appended);
      return {};
    }
    all_k = tape.Constant(state.k_cache);
    all_v = tape.Constant(state.v_cache);
    kc = tape.Constant(state.k_blocks);
    vc = tape.Constant(state.v_blocks);
    o.window = RingAttention(tape, q, k, v, scale, shape_.window_size, call,
                             &state.k_window, &state.v_window);
  }
  Tensor lse;
  o.compressed =
      CompressedAttention(tape, q, kc, vc, tokens, block, scale, lengths, &lse);
  const Tensor indices = SelectBlocks(tape, q, kc, lse, tokens, block,
                                      shape_.block_counts, scale, lengths);
  o.selected = SelectedAttention(tape, q, all_k, all_v, indices, block, scale,
                                 lengths, nullptr);
  return o;
}

Var Nsa::Forward(Tape& tape, const Var& x, const MixerCall& call) {
  if (!tape.ok()) return Var();
  const int64_t batch = x.dim(0), seq = x.dim(1);
  auto project = [&](const Parameter& w, int64_t heads) {
    return Reshape(tape, Linear(tape, x, w), {batch, seq, heads, head_dim_});
  };
  Var q = project(q_proj_, heads_);
  Var k = project(k_proj_, shape_.n_kv_heads);
  const Var v = project(v_proj_, shape_.n_kv_heads);
  if (use_rope_) {
    constexpr auto kLayout = kernels::RopeLayout::kHalfSplit;
    q = Rope(tape, q, theta_, kLayout, call.position);
    k = Rope(tape, k, theta_, kLayout, call.position);
  }
  const Branches branches = Attend(tape, q, k, v, call);
  // The three gates of a head stand side by side.
  const Var gates =
      Reshape(tape, WriteStrength(tape, Linear(tape, x, g_proj_), 1),
              {batch, seq * heads_ * 3, 1});
  auto gated = [&](const Var& o, int64_t slot) {
    return ScaleRows(tape, o, TakeEvery(tape, gates, 3, slot));
  };
  Var o =
      Add(tape,
          Add(tape, gated(branches.compressed, 0), gated(branches.selected, 1)),
          gated(branches.window, 2));
  o = Reshape(tape, o, {batch, seq, heads_ * head_dim_});
  if (use_gate_) o = SigmoidGate(tape, o, Linear(tape, x, wg_));
  return Linear(tape, o, o_proj_);
}

absl::Status Nsa::InitState(Context& ctx, int64_t batch, int64_t capacity,
                            int64_t, DType activation,
                            MixerState* state) const {
  auto zeros = [&](int64_t tokens) {
    return ctx.Zeros(activation, {batch, tokens, shape_.n_kv_heads, head_dim_});
  };
  const int64_t blocks = capacity / shape_.block_size;
  const int64_t window = std::min(capacity, shape_.window_size);
  LT2_ASSIGN_OR_RETURN(state->k_cache, zeros(capacity));
  LT2_ASSIGN_OR_RETURN(state->v_cache, zeros(capacity));
  LT2_ASSIGN_OR_RETURN(state->k_blocks, zeros(blocks));
  LT2_ASSIGN_OR_RETURN(state->v_blocks, zeros(blocks));
  LT2_ASSIGN_OR_RETURN(state->k_window, zeros(window));
  LT2_ASSIGN_OR_RETURN(state->v_window, zeros(window));
  return absl::OkStatus();
}

int64_t Nsa::ParameterCount() const {
  const int64_t query = heads_ * head_dim_, key = shape_.n_kv_heads * head_dim_;
  return ((use_gate_ ? 3 : 2) * query + 2 * key + 3 * heads_) * dim_;
}

int64_t Nsa::Flops(int64_t seq, int64_t) const {
  const int64_t b = shape_.block_size;
  // Query t sees (t + 1) / b complete blocks: the sum over all of them.
  const int64_t whole = seq / b;
  const int64_t block_pairs =
      b * (whole * (whole - 1) / 2) + whole * (seq - whole * b + 1);
  // Attention costs q.k and p v for each pair; the choice of blocks q.k.
  const int64_t pairs = 6 * block_pairs +
                        4 * CausalPairs(seq, shape_.block_counts * b) +
                        4 * CausalPairs(seq, shape_.window_size);
  return 2 * ParameterCount() * seq + heads_ * head_dim_ * pairs;
}

int64_t Nsa::EntryBytes(DType activation) const {
  return 2 * shape_.n_kv_heads * head_dim_ *
         static_cast<int64_t>(ByteSize(activation));
}

int64_t Nsa::StateBytes(int64_t tokens, int64_t, DType activation) const {
  return EntryBytes(activation) * (tokens + tokens / shape_.block_size +
                                   std::min(tokens, shape_.window_size));
}

int64_t Nsa::DecodeBytes(int64_t tokens, int64_t, DType activation) const {
  const int64_t selected = shape_.block_counts * shape_.block_size;
  const int64_t read = tokens / shape_.block_size + std::min(tokens, selected) +
                       std::min(tokens, shape_.window_size);
  return EntryBytes(activation) * (read + 2);  // the cache and the ring
}

}  // namespace lt2::model
