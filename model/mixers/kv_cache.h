// Caches of keys and values, for the mixers with a softmax.
//
// A cache [batch, capacity, kv_heads, head_dim] holds the sequence from its
// start, or, as a ring buffer, the last `capacity` tokens of a window.

#ifndef LT2_MODEL_MIXERS_KV_CACHE_H_
#define LT2_MODEL_MIXERS_KV_CACHE_H_

#include "model/mixers/mixer.h"

namespace lt2::model {

// Pairs (query, key) of a causal sequence if a query sees `most` keys.
int64_t CausalPairs(int64_t seq, int64_t most);

// Writes the tokens x [batch, n, heads, dim] behind those of a cache that holds
// the whole sequence.
absl::Status AppendTokens(Context& ctx, const Tensor& x, const MixerCall& call,
                          Tensor* cache);

// Attention of new tokens over themselves and the tokens of a ring buffer
// (window 0: that holds them all), which then takes them in.
Var RingAttention(Tape& tape, const Var& q, const Var& k, const Var& v,
                  float scale, int64_t window, const MixerCall& call,
                  Tensor* k_cache, Tensor* v_cache);

}  // namespace lt2::model

#endif  // LT2_MODEL_MIXERS_KV_CACHE_H_
