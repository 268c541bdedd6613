// ModelConfig: everything that defines a looped model, read strictly from JSON.
//
// Key names are those of the LT2 training code (paper.md 1.5 to 1.7). An
// unknown key, a wrong type or an impossible shape is an error that names the
// key's path, e.g. "model.n_heads: 3 does not divide dim 256".

#ifndef LT2_MODEL_CONFIG_CONFIG_H_
#define LT2_MODEL_CONFIG_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/core/status.h"
#include "kernels/rope/rope.h"
#include "model/config/pattern.h"
#include "nlohmann/json.hpp"

namespace lt2::model {

// A delta-rule mixer's shape. Zero stands for the paper's default, which
// ModelConfig::FromJson fills in.
struct DeltaRuleConfig {
  int64_t n_heads = 0;    // of q and k; default the model's n_heads
  int64_t n_v_heads = 0;  // a multiple of n_heads; default n_heads
  int64_t key_dim = 0;    // of all heads; default 3/4 dim (gdn), dim (deltanet)
  double expand_v = 0;    // d_v / d_k; default 2 (gdn), 1 (deltanet)
  int64_t conv_size = 4;
  bool allow_neg_eigval = false;  // write strength in (0,2) instead of (0,1)

  int64_t d_k() const { return key_dim / n_heads; }
  int64_t d_v() const {
    return static_cast<int64_t>(expand_v * static_cast<double>(d_k()) + 0.5);
  }
  int64_t value_dim() const { return d_v() * n_v_heads; }
};

struct ModelConfig {
  int64_t vocab_size = 0;
  int64_t dim = 256;
  int64_t n_layers = 4;
  int64_t n_heads = 4;
  int64_t n_kv_heads = 0;  // default n_heads

  std::string layer_pattern = "full";
  std::string attention_pattern = "0:1";
  int64_t default_sliding_window = 2048;
  uint64_t pattern_seed = 0;

  int64_t loop_count = 4;
  bool use_residual = true;    // the loop gate rho
  bool use_attn_gate = false;  // the output gate of softmax attention

  bool use_ffn = true;     // false: mixers only
  int64_t ffn_hidden = 0;  // default by the rule of FfnHidden
  int64_t multiple_of = 256;
  double ffn_dim_multiplier = 1.0;

  double norm_eps = 1e-6;
  bool use_rope = true;
  double rope_theta = 10000;
  kernels::RopeLayout rope_layout = kernels::RopeLayout::kInterleaved;
  bool weight_tying = true;

  DeltaRuleConfig gdn;
  DeltaRuleConfig deltanet;

  int64_t head_dim() const { return dim / n_heads; }
  // The mixer of each layer.
  std::vector<std::string> LayerTypes() const;
  AttentionPattern Windows() const;

  // `path` prefixes the keys in messages.
  static absl::StatusOr<ModelConfig> FromJson(const nlohmann::json& json,
                                              absl::string_view path);
  nlohmann::json ToJson() const;
};

// 2/3 of 4 dim, times the multiplier, rounded up to a multiple (paper.md 1.5).
int64_t FfnHidden(int64_t dim, double multiplier, int64_t multiple_of);

}  // namespace lt2::model

#endif  // LT2_MODEL_CONFIG_CONFIG_H_
