// Ouro's config.json (ByteDance/Ouro-*, paper.md 4.1) as a ModelConfig, and
// back.
//
// An Ouro is a LoopedModel with sandwich norms, the last norm after every loop,
// half-split rotary positions, an exit gate and no loop gates:
//
//   config.json             ModelConfig
//   hidden_size             dim
//   num_hidden_layers       n_layers
//   num_attention_heads     n_heads (head_dim, if there, is dim / n_heads)
//   num_key_value_heads     n_kv_heads
//   intermediate_size       ffn_hidden
//   total_ut_steps          loop_count
//   rms_norm_eps            norm_eps
//   rope_theta              rope_theta (also in rope_parameters)
//   tie_word_embeddings     weight_tying
//   layer_types             attention_pattern (with sliding_window)
//   early_exit_threshold    exit_rule "threshold" and exit_threshold; null:
//                           exit_rule "last"
//   early_exit_step         loops that run by default, less one
//
// A hybrid declares which layers have another mixer, and whatever else of ours
// it changes, under one key of its own; its values are ModelConfig's:
//
//   "lt2": {"layer_pattern": "interleaved:3:1:gdn:full", "gdn": {...}}
//
// where gdn's default is then the shape that takes over an attention's weights:
// as many channels, expand_v 1, no convolution over time (conv_size 1).
//
// Keys that say nothing about what is computed (architectures, ids of special
// tokens, transformers_version ...) are passed over. What this model cannot do
// (another activation, scaled rotary positions) and unknown keys are errors
// that name file and key.

#ifndef LT2_MODEL_HF_OURO_CONFIG_H_
#define LT2_MODEL_HF_OURO_CONFIG_H_

#include <string>

#include "kernels/core/tensor.h"
#include "model/config/config.h"
#include "nlohmann/json.hpp"

namespace lt2::model {

struct OuroConfig {
  ModelConfig model;
  int64_t loops = 0;  // by default; 0: all
};

// Whether a config.json says that it is Ouro's.
bool IsOuroConfig(const nlohmann::json& config);

// `file` names it in errors; `changes` are keys of ModelConfig over those of
// the file.
absl::StatusOr<OuroConfig> ReadOuroConfig(
    const nlohmann::json& config, const std::string& file,
    const nlohmann::json& changes = nlohmann::json::object());

// The config.json of a model in Ouro's layout, its tensors stored as `dtype`.
// InvalidArgument names what Ouro does not have.
absl::StatusOr<nlohmann::json> WriteOuroConfig(const ModelConfig& config,
                                               DType dtype);

}  // namespace lt2::model

#endif  // LT2_MODEL_HF_OURO_CONFIG_H_
