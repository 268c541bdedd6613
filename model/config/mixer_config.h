// Shapes of the token mixers: one object of the configuration for each, under
// the mixer's name ("gdn": {"key_dim": 192}). model/README.md has the table of
// keys, model/mixers the formulas.
//
// Softmax attention ("full", "window") has no object: its keys are the model's.

#ifndef LT2_MODEL_CONFIG_MIXER_CONFIG_H_
#define LT2_MODEL_CONFIG_MIXER_CONFIG_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "kernels/core/json/json_reader.h"
#include "nlohmann/json.hpp"

namespace lt2::model {

// Heads of a mixer with a matrix state [d_k, d_v] each.
struct HeadShape {
  int64_t n_heads = 0;  // default the model's n_heads
  int64_t key_dim = 0;  // of all heads; the default depends on the mixer
  double expand_v = 0;  // d_v / d_k; the default depends on the mixer

  int64_t d_k() const { return key_dim / n_heads; }
  int64_t d_v() const {
    return static_cast<int64_t>(expand_v * static_cast<double>(d_k()) + 0.5);
  }
};

// gdn, deltanet, kda.
struct DeltaRuleConfig : HeadShape {
  int64_t n_v_heads = 0;  // a multiple of n_heads; default n_heads
  int64_t conv_size = 4;
  bool allow_neg_eigval = false;  // write strength in (0,2) instead of (0,1)

  int64_t value_dim() const { return d_v() * n_v_heads; }
};

struct DeltaProductConfig : DeltaRuleConfig {
  int64_t num_householder = 2;  // steps of the delta rule per token
  bool use_forget_gate = true;
  bool use_output_gate = true;
};

// linear_attention, retnet, gla, hgrn2.
struct LinearMixerConfig : HeadShape {
  enum FeatureMap { kElementwiseProduct, kIdentity };
  FeatureMap feature_map = kElementwiseProduct;  // linear_attention
  int64_t gate_low_rank_dim = 16;                // gla
  int64_t gate_logit_normalizer = 16;            // gla

  int64_t value_dim() const { return d_v() * n_heads; }
};

struct Mamba2Config {
  int64_t n_heads = 0;  // default the model's n_heads
  int64_t state_size = 64;
  int64_t inner_dim = 0;  // of all heads; default 2 dim
  int64_t conv_size = 4;

  int64_t head_dim() const { return inner_dim / n_heads; }
};

struct NsaConfig {
  int64_t n_kv_heads = 1;     // divides the model's n_heads
  int64_t block_size = 64;    // tokens
  int64_t block_counts = 16;  // blocks that a query selects
  int64_t window_size = 512;  // keys, the token itself among them
};

struct DsaConfig {
  // kDeepSeek: ReLU indexer with learned head weights, trained by a KL loss.
  // kReleased: what LT2's released code does, a frozen random indexer.
  enum Mode { kDeepSeek, kReleased };
  Mode mode = kDeepSeek;
  int64_t top_k = 64;       // tokens that a query selects
  int64_t index_heads = 4;  // kReleased: default the model's n_heads
  int64_t index_dim = 32;   // kReleased: default 64
  // kDeepSeek.
  double kl_weight = 1;
  int64_t warmup_steps = 0;  // first training steps with dense attention
  // kReleased: the latent of keys and values; the value is its first part.
  int64_t latent_dim = 576;
  int64_t latent_value_dim = 512;
};

// The members of ModelConfig that belong to one mixer each.
struct MixerConfigs {
  DeltaRuleConfig gdn, deltanet, kda;
  DeltaProductConfig deltaproduct;
  LinearMixerConfig linear_attention, retnet, gla, hgrn2;
  Mamba2Config mamba2;
  NsaConfig nsa;
  DsaConfig dsa;

  // The delta rule's shape if the mixer of this name has one, else null.
  const DeltaRuleConfig* DeltaRuleOf(absl::string_view name) const;

  // Reads the objects; absent keys take defaults from the model's dim and
  // n_heads. Errors stay in the reader.
  void Read(JsonReader& model, int64_t dim, int64_t n_heads);
  void Write(nlohmann::json* model) const;
};

}  // namespace lt2::model

#endif  // LT2_MODEL_CONFIG_MIXER_CONFIG_H_
