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
#include "model/config/mixer_config.h"
#include "model/config/pattern.h"
#include "nlohmann/json.hpp"

namespace lt2::model {

// Members of single mixers (gdn, nsa, ...) are in MixerConfigs.
struct ModelConfig : MixerConfigs {
  int64_t vocab_size = 0;
  int64_t dim = 256;
  int64_t n_layers = 4;
  int64_t n_heads = 4;
  int64_t n_kv_heads = 0;  // default n_heads

  std::string layer_pattern = "full";
  std::string attention_pattern = "0:1";
  int64_t default_sliding_window = 2048;
  uint64_t pattern_seed = 0;
  // Random patterns at inference: logits are the mean over this many draws.
  int64_t inference_ensemble_k = 5;

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

  // Looped models after Ouro (paper.md 4.3 to 4.8).
  bool sandwich_norm = false;  // a second norm behind each mixer and FFN
  bool loop_norm = false;      // the last norm after every loop
  bool exit_gate = false;      // a gate that says after which loop to leave
  // Whose state the logits are of, at inference: the last loop's, the one that
  // the gate chooses for each token, or the mean by the gate's probabilities.
  enum class ExitRule { kLast, kThreshold, kWeighted };
  ExitRule exit_rule = ExitRule::kLast;
  double exit_threshold = 1;
  // Decoding with one cache of keys and values for all loops of a layer.
  enum class CacheSharing { kNone, kFirst, kLast };
  CacheSharing cache_sharing = CacheSharing::kNone;

  int64_t head_dim() const { return dim / n_heads; }
  LayerPattern Layers() const;
  AttentionPattern Windows() const;
  // The mixer of each slot loop * n_layers + layer, at step 0; loops 0 means
  // loop_count.
  std::vector<std::string> LayerTypes(int64_t loops = 0) const;
  // True if mixers or masks are drawn anew for each step.
  bool random_pattern() const;
  // Forward passes of one inference: draws of a random pattern.
  int64_t inference_passes() const {
    return random_pattern() ? inference_ensemble_k : 1;
  }

  // `path` prefixes the keys in messages.
  static absl::StatusOr<ModelConfig> FromJson(const nlohmann::json& json,
                                              absl::string_view path);
  nlohmann::json ToJson() const;
};

// 2/3 of 4 dim, times the multiplier, rounded up to a multiple (paper.md 1.5).
int64_t FfnHidden(int64_t dim, double multiplier, int64_t multiple_of);

}  // namespace lt2::model

#endif  // LT2_MODEL_CONFIG_CONFIG_H_
