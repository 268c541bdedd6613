#include "model/hf/ouro_config.h"

#include <set>

#include "absl/strings/str_join.h"
#include "kernels/core/json/json_reader.h"

namespace lt2::model {
namespace {

using nlohmann::json;

// Keys without a meaning for what is computed.
constexpr const char* kPassedOver[] = {"architectures",
                                       "auto_map",
                                       "attention_dropout",
                                       "bos_token_id",
                                       "eos_token_id",
                                       "pad_token_id",
                                       "unk_token_id",
                                       "chunk_size",
                                       "dtype",
                                       "torch_dtype",
                                       "use_cache",
                                       "initializer_range",
                                       "_name_or_path",
                                       "model_type",
                                       "max_position_embeddings",
                                       "output_attentions",
                                       "output_hidden_states",
                                       "return_dict",
                                       "transformers_version",
                                       "use_early_exit_gate"};

constexpr char kFull[] = "full_attention", kSliding[] = "sliding_attention";

// One window for each layer, as attention_pattern has it; "" if all are full.
std::string Windows(JsonReader& r, int64_t layers) {
  const bool use = r.Bool("use_sliding_window", false);
  const int64_t window = r.Int("sliding_window", 0, 1);
  const int64_t first =
      r.Int("max_window_layers", layers, 0, JsonReader::kMaxInt);
  std::vector<std::string> types = r.Strings("layer_types");
  if (!r.status().ok()) return "";
  if (types.empty()) {
    for (int64_t i = 0; i < layers; ++i) {
      types.push_back(use && window > 0 && i >= first ? kSliding : kFull);
    }
  }
  if (static_cast<int64_t>(types.size()) != layers) {
    r.Fail("layer_types", types.size(), " types for ", layers, " layers");
    return "";
  }
  std::vector<std::string> windows;
  bool any = false;
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] != kFull && types[i] != kSliding) {
      r.Fail("layer_types", "'", types[i], "' of layer ", i, " must be ", kFull,
             " or ", kSliding);
      return "";
    }
    const bool slides = types[i] == kSliding;
    if (slides && (!use || window == 0)) {
      r.Fail("layer_types", "layer ", i, " is ", kSliding,
             ", but use_sliding_window or sliding_window is not set");
      return "";
    }
    any |= slides;
    windows.push_back(slides ? absl::StrCat(window) : "None");
  }
  return any ? absl::StrJoin(windows, ",") : "";
}

double RopeTheta(JsonReader& r) {
  if (r.Has("rope_scaling")) {
    r.Fail("rope_scaling", "only null (plain rotary positions) is supported");
  }
  if (!r.Has("rope_parameters")) {
    r.Require({"rope_theta"});
    return r.Float("rope_theta", 0, 1, 1e12);
  }
  r.Float("rope_theta", 0, 1, 1e12);
  JsonReader p = r.Object("rope_parameters");
  p.Require({"rope_theta"});
  p.Enum("rope_type", "default", {"default"});
  return p.Float("rope_theta", 0, 1, 1e12);
}

// What keeps a configuration from Ouro's layout, or "".
std::string NotOuro(const ModelConfig& c) {
  if (!c.sandwich_norm) return "sandwich_norm is false";
  if (!c.loop_norm) return "loop_norm is false";
  if (!c.exit_gate) return "exit_gate is false";
  if (c.use_residual) return "use_residual is true";
  if (c.use_attn_gate) return "use_attn_gate is true";
  if (!c.use_ffn) return "use_ffn is false";
  if (!c.use_rope) return "use_rope is false";
  if (c.rope_layout != kernels::RopeLayout::kHalfSplit) {
    return "rope_layout is not half_split";
  }
  if (c.random_pattern()) return "its layer or attention pattern is random";
  const std::vector<std::string> types = c.LayerTypes();
  const std::vector<int64_t> windows =
      c.Windows().Windows(c.loop_count, c.pattern_seed, 0);
  for (size_t i = 0; i < types.size(); ++i) {
    const size_t layer = i % c.n_layers;
    if (types[i] != types[layer] || windows[i] != windows[layer]) {
      return absl::StrCat("layer ", layer, " changes between loops");
    }
  }
  return "";
}

}  // namespace

bool IsOuroConfig(const json& config) {
  if (!config.is_object()) return false;
  const json type = config.value("model_type", json());
  if (type.is_string()) return type == "ouro";
  const json classes = config.value("architectures", json());
  return classes.is_array() && !classes.empty() &&
         classes[0] == "OuroForCausalLM";
}

absl::StatusOr<OuroConfig> ReadOuroConfig(const json& config,
                                          const std::string& file,
                                          const json& changes) {
  // null is "not set" there.
  json set = json::object();
  for (const auto& [key, value] : config.items()) {
    if (!value.is_null()) set[key] = value;
  }
  constexpr int64_t kMost = int64_t{1} << 24;
  JsonReader r(set, absl::StrCat(file, ": config"));
  // The class's own defaults are another model's: these must be there.
  r.Require({"vocab_size", "hidden_size", "intermediate_size",
             "num_hidden_layers", "num_attention_heads", "total_ut_steps",
             "rms_norm_eps"});
  const int64_t layers = r.Int("num_hidden_layers", 1, 1, 1024);
  const int64_t heads = r.Int("num_attention_heads", 1, 1, 1024);
  const int64_t dim = r.Int("hidden_size", 1, 1, kMost);
  const int64_t loops = r.Int("total_ut_steps", 1, 1, 1024);
  json model = {
      {"vocab_size", r.Int("vocab_size", 1, 1, kMost)},
      {"dim", dim},
      {"n_layers", layers},
      {"n_heads", heads},
      {"n_kv_heads", r.Int("num_key_value_heads", heads, 1, 1024)},
      {"ffn_hidden", r.Int("intermediate_size", 1, 1, kMost)},
      {"loop_count", loops},
      {"norm_eps", r.Float("rms_norm_eps", 0, 0, 1)},
      {"rope_theta", RopeTheta(r)},
      {"rope_layout", "half_split"},
      {"weight_tying", r.Bool("tie_word_embeddings", false)},
      {"use_residual", false},
      {"sandwich_norm", true},
      {"loop_norm", true},
      {"exit_gate", true},
      {"gdn", {{"key_dim", dim}, {"expand_v", 1}, {"conv_size", 1}}},
  };
  const int64_t head_dim = r.Int("head_dim", dim / heads, 1, kMost);
  if (r.status().ok() && head_dim * heads != dim) {
    r.Fail("head_dim", head_dim, " times ", heads, " heads is not hidden_size ",
           dim, "; heads of another width are not supported");
  }
  r.Enum("hidden_act", "silu", {"silu"});
  if (r.Bool("attention_bias", false)) {
    r.Fail("attention_bias", "projections with a bias are not supported");
  }
  if (r.Bool("mlp_bias", false)) {
    r.Fail("mlp_bias", "projections with a bias are not supported");
  }
  const std::string windows = Windows(r, layers);
  if (!windows.empty()) model["attention_pattern"] = windows;
  const bool leaves = !config.contains("early_exit_threshold") ||
                      !config["early_exit_threshold"].is_null();
  if (leaves) {
    model["exit_rule"] = "threshold";
    model["exit_threshold"] = r.Float("early_exit_threshold", 1, 0, 1e6);
  }
  OuroConfig result;
  if (r.Has("early_exit_step")) {
    result.loops = r.Int("early_exit_step", 0, 0, loops - 1) + 1;
  }
  r.Has("lt2");  // its keys are ModelConfig's to check
  for (const char* key : kPassedOver) r.Has(key);
  const absl::Status finished = r.Finish();
  if (!finished.ok()) {
    return Annotate(finished, "not an Ouro that this program can run");
  }
  for (const json& more : {set.value("lt2", json::object()), changes}) {
    if (!more.is_object()) {
      return InvalidArgument(file, ": lt2: expected an object of model keys, ",
                             "got ", more.dump());
    }
    model.merge_patch(more);
  }
  LT2_ASSIGN_OR_RETURN(result.model,
                       ModelConfig::FromJson(model, file + ": as our model"));
  return result;
}

absl::StatusOr<json> WriteOuroConfig(const ModelConfig& c, DType dtype) {
  const std::string problem = NotOuro(c);
  if (!problem.empty()) {
    return InvalidArgument("this model has no Ouro layout: ", problem,
                           "; export it in our own layout");
  }
  json out = {{"model_type", "ouro"},
              {"architectures", {"OuroForCausalLM"}},
              {"vocab_size", c.vocab_size},
              {"hidden_size", c.dim},
              {"intermediate_size", c.ffn_hidden},
              {"num_hidden_layers", c.n_layers},
              {"num_attention_heads", c.n_heads},
              {"num_key_value_heads", c.n_kv_heads},
              {"head_dim", c.head_dim()},
              {"hidden_act", "silu"},
              {"total_ut_steps", c.loop_count},
              {"rms_norm_eps", c.norm_eps},
              {"rope_theta", c.rope_theta},
              {"rope_scaling", nullptr},
              {"tie_word_embeddings", c.weight_tying},
              {"attention_dropout", 0.0},
              {"torch_dtype", dtype == DType::kBF16 ? "bfloat16" : "float32"}};
  using ExitRule = ModelConfig::ExitRule;
  out["early_exit_threshold"] = nullptr;
  if (c.exit_rule == ExitRule::kThreshold) {
    out["early_exit_threshold"] = c.exit_threshold;
  }

  const std::vector<std::string> types = c.LayerTypes(1);
  const std::vector<int64_t> windows =
      c.Windows().Windows(1, c.pattern_seed, 0);
  json lt2 = json::object(), layer_types = json::array();
  const json ours = c.ToJson();
  int64_t window = 0;
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const int64_t w = types[i] == "window" ? c.default_sliding_window
                      : types[i] == "full" ? windows[i]
                                           : 0;
    if (types[i] != "full" && types[i] != "window") {
      lt2["layer_pattern"] = absl::StrJoin(types, ",");
      if (ours.contains(types[i])) lt2[types[i]] = ours[types[i]];
    }
    layer_types.push_back(w > 0 ? kSliding : kFull);
    if (w == 0) continue;
    if (window > 0 && w != window) {
      return InvalidArgument("this model has no Ouro layout: windows of ",
                             window, " and of ", w, " keys, Ouro's are all ",
                             "alike; export it in our own layout");
    }
    window = w;
  }
  out["layer_types"] = layer_types;
  out["use_sliding_window"] = window > 0;
  out["sliding_window"] = window > 0 ? json(window) : json();
  for (const char* key : {"exit_rule", "cache_sharing"}) {
    if (ours.contains(key) && ours[key] != "threshold") lt2[key] = ours[key];
  }
  if (lt2.contains("layer_pattern")) {
    for (const std::string& type : types) {
      if (type == "window") {
        lt2["default_sliding_window"] = c.default_sliding_window;
      }
    }
  }
  if (!lt2.empty()) out["lt2"] = lt2;
  return out;
}

}  // namespace lt2::model
