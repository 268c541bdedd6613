#include "model/config/config.h"

#include "kernels/core/json/json_reader.h"

namespace lt2::model {
namespace {

constexpr int64_t kMaxExtent = int64_t{1} << 24;

using ExitRule = ModelConfig::ExitRule;
using CacheSharing = ModelConfig::CacheSharing;

const std::vector<std::pair<std::string, ExitRule>>& ExitRules() {
  static const auto& names = *new std::vector<std::pair<std::string, ExitRule>>{
      {"last", ExitRule::kLast},
      {"threshold", ExitRule::kThreshold},
      {"weighted", ExitRule::kWeighted}};
  return names;
}

const std::vector<std::pair<std::string, CacheSharing>>& CacheSharings() {
  static const auto& names =
      *new std::vector<std::pair<std::string, CacheSharing>>{
          {"none", CacheSharing::kNone},
          {"first", CacheSharing::kFirst},
          {"last", CacheSharing::kLast}};
  return names;
}

template <typename E>
std::string NameOf(E value,
                   const std::vector<std::pair<std::string, E>>& names) {
  for (const auto& [name, v] : names) {
    if (v == value) return name;
  }
  return "";
}

// Written only where they are not the default, so that configurations from
// before these keys stay what they were.
void WriteOuroKeys(const ModelConfig& c, nlohmann::json* out) {
  if (c.sandwich_norm) (*out)["sandwich_norm"] = true;
  if (c.loop_norm) (*out)["loop_norm"] = true;
  if (c.exit_gate) (*out)["exit_gate"] = true;
  if (c.exit_rule != ExitRule::kLast) {
    (*out)["exit_rule"] = NameOf(c.exit_rule, ExitRules());
  }
  if (c.exit_threshold != 1) (*out)["exit_threshold"] = c.exit_threshold;
  if (c.cache_sharing != CacheSharing::kNone) {
    (*out)["cache_sharing"] = NameOf(c.cache_sharing, CacheSharings());
  }
}

}  // namespace

int64_t FfnHidden(int64_t dim, double multiplier, int64_t multiple_of) {
  int64_t hidden = 2 * (4 * dim) / 3;
  hidden = static_cast<int64_t>(static_cast<double>(hidden) * multiplier);
  return (hidden + multiple_of - 1) / multiple_of * multiple_of;
}

absl::StatusOr<ModelConfig> ModelConfig::FromJson(const nlohmann::json& json,
                                                  absl::string_view path) {
  JsonReader r(json, path);
  ModelConfig c;
  r.Require({"vocab_size"});
  c.vocab_size = r.Int("vocab_size", 1, 1, kMaxExtent);
  c.dim = r.Int("dim", c.dim, 1, kMaxExtent);
  c.n_layers = r.Int("n_layers", c.n_layers, 1, 1024);
  c.n_heads = r.Int("n_heads", c.n_heads, 1, 1024);
  c.n_kv_heads = r.Int("n_kv_heads", c.n_heads, 1, 1024);
  c.layer_pattern = r.String("layer_pattern", c.layer_pattern);
  c.attention_pattern = r.String("attention_pattern", c.attention_pattern);
  c.default_sliding_window =
      r.Int("default_sliding_window", c.default_sliding_window, 1);
  c.pattern_seed = static_cast<uint64_t>(r.Int("pattern_seed", 0, 0));
  c.inference_ensemble_k =
      r.Int("inference_ensemble_k", c.inference_ensemble_k, 1, 1024);
  c.loop_count = r.Int("loop_count", c.loop_count, 1, 1024);
  c.use_residual = r.Bool("use_residual", c.use_residual);
  c.use_attn_gate = r.Bool("use_attn_gate", c.use_attn_gate);
  c.use_ffn = r.Bool("use_ffn", c.use_ffn);
  c.multiple_of = r.Int("multiple_of", c.multiple_of, 1, kMaxExtent);
  c.ffn_dim_multiplier =
      r.Float("ffn_dim_multiplier", c.ffn_dim_multiplier, 1e-3, 64);
  c.ffn_hidden =
      r.Int("ffn_hidden", FfnHidden(c.dim, c.ffn_dim_multiplier, c.multiple_of),
            1, kMaxExtent);
  c.norm_eps = r.Float("norm_eps", c.norm_eps, 0, 1);
  c.use_rope = r.Bool("use_rope", c.use_rope);
  c.rope_theta = r.Float("rope_theta", c.rope_theta, 1, 1e12);
  c.rope_layout = r.Enum<kernels::RopeLayout>(
      "rope_layout", c.rope_layout,
      {{"interleaved", kernels::RopeLayout::kInterleaved},
       {"half_split", kernels::RopeLayout::kHalfSplit}});
  c.weight_tying = r.Bool("weight_tying", c.weight_tying);
  c.sandwich_norm = r.Bool("sandwich_norm", c.sandwich_norm);
  c.loop_norm = r.Bool("loop_norm", c.loop_norm);
  c.exit_gate = r.Bool("exit_gate", c.exit_gate);
  c.exit_rule = r.Enum<ExitRule>("exit_rule", c.exit_rule, ExitRules());
  c.exit_threshold = r.Float("exit_threshold", c.exit_threshold, 0, 1e6);
  c.cache_sharing =
      r.Enum<CacheSharing>("cache_sharing", c.cache_sharing, CacheSharings());
  if (r.status().ok() && c.dim % c.n_heads != 0) {
    r.Fail("n_heads", absl::StrCat(c.n_heads, " does not divide dim ", c.dim));
  }
  if (r.status().ok()) c.Read(r, c.dim, c.n_heads);
  LT2_RETURN_IF_ERROR(r.Finish());

  auto fail = [&](absl::string_view key, const std::string& message) {
    return InvalidArgument(r.PathOf(key), ": ", message);
  };
  if (c.n_heads % c.n_kv_heads != 0) {
    return fail(
        "n_kv_heads",
        absl::StrCat(c.n_kv_heads, " does not divide n_heads ", c.n_heads));
  }
  if (c.use_rope && c.head_dim() % 2 != 0) {
    return fail("dim", absl::StrCat("head dimension ", c.head_dim(),
                                    " is odd, which rope cannot rotate"));
  }
  if (c.exit_rule != ExitRule::kLast && !c.exit_gate) {
    return fail("exit_rule",
                absl::StrCat("'", NameOf(c.exit_rule, ExitRules()),
                             "' needs the gate: set exit_gate to true"));
  }
  const auto layers =
      LayerPattern::Parse(c.layer_pattern, c.n_layers, c.loop_count);
  if (!layers.ok()) {
    return fail("layer_pattern", std::string(layers.status().message()));
  }
  const auto windows = AttentionPattern::Parse(
      c.attention_pattern, c.n_layers, c.loop_count, c.default_sliding_window);
  if (!windows.ok()) {
    return fail("attention_pattern", std::string(windows.status().message()));
  }
  return c;
}

nlohmann::json ModelConfig::ToJson() const {
  nlohmann::json out = {
      {"vocab_size", vocab_size},
      {"dim", dim},
      {"n_layers", n_layers},
      {"n_heads", n_heads},
      {"n_kv_heads", n_kv_heads},
      {"layer_pattern", layer_pattern},
      {"attention_pattern", attention_pattern},
      {"default_sliding_window", default_sliding_window},
      {"pattern_seed", pattern_seed},
      {"inference_ensemble_k", inference_ensemble_k},
      {"loop_count", loop_count},
      {"use_residual", use_residual},
      {"use_attn_gate", use_attn_gate},
      {"use_ffn", use_ffn},
      {"ffn_hidden", ffn_hidden},
      {"multiple_of", multiple_of},
      {"ffn_dim_multiplier", ffn_dim_multiplier},
      {"norm_eps", norm_eps},
      {"use_rope", use_rope},
      {"rope_theta", rope_theta},
      {"rope_layout", rope_layout == kernels::RopeLayout::kInterleaved
                          ? "interleaved"
                          : "half_split"},
      {"weight_tying", weight_tying},
  };
  WriteOuroKeys(*this, &out);
  Write(&out);
  return out;
}

LayerPattern ModelConfig::Layers() const {
  // FromJson has checked it.
  return LayerPattern::Parse(layer_pattern, n_layers, loop_count).value();
}

AttentionPattern ModelConfig::Windows() const {
  return AttentionPattern::Parse(attention_pattern, n_layers, loop_count,
                                 default_sliding_window)
      .value();
}

std::vector<std::string> ModelConfig::LayerTypes(int64_t loops) const {
  return Layers().Types(loops > 0 ? loops : loop_count, pattern_seed, 0);
}

bool ModelConfig::random_pattern() const {
  return Layers().random() || Windows().random();
}

}  // namespace lt2::model
