#include "model/config/mixer_config.h"

#include <algorithm>
#include <cmath>

namespace lt2::model {
namespace {

using nlohmann::json;

constexpr int64_t kMaxExtent = int64_t{1} << 24;

// Reads the heads of `c`, whose members are the defaults.
void ReadHeads(JsonReader& reader, HeadShape* c) {
  c->n_heads = reader.Int("n_heads", c->n_heads, 1, 1024);
  c->key_dim = reader.Int("key_dim", c->key_dim, 1, kMaxExtent);
  c->expand_v = reader.Float("expand_v", c->expand_v, 1e-3, 64);
  if (!reader.status().ok()) return;
  if (c->key_dim % c->n_heads != 0) {
    reader.Fail("key_dim", c->key_dim, " is no multiple of n_heads ",
                c->n_heads);
  } else if (c->d_v() < 1 ||
             std::abs(c->expand_v * static_cast<double>(c->d_k()) -
                      static_cast<double>(c->d_v())) > 1e-9) {
    reader.Fail("expand_v", c->expand_v, " x d_k ", c->d_k(),
                " is not a positive integer");
  }
}

void ReadDeltaRule(JsonReader& reader, DeltaRuleConfig* c) {
  ReadHeads(reader, c);
  c->n_v_heads = reader.Int("n_v_heads", c->n_heads, 1, 1024);
  c->conv_size = reader.Int("conv_size", c->conv_size, 1, 8);
  c->allow_neg_eigval = reader.Bool("allow_neg_eigval", c->allow_neg_eigval);
  if (reader.status().ok() && c->n_v_heads % c->n_heads != 0) {
    reader.Fail("n_v_heads", c->n_v_heads, " is no multiple of n_heads ",
                c->n_heads);
  }
}

HeadShape Heads(int64_t n_heads, int64_t key_dim, double expand_v) {
  HeadShape heads;
  heads.n_heads = n_heads;
  heads.key_dim = key_dim;
  heads.expand_v = expand_v;
  return heads;
}

json WriteHeads(const HeadShape& c) {
  return {
      {"n_heads", c.n_heads}, {"key_dim", c.key_dim}, {"expand_v", c.expand_v}};
}

json WriteDeltaRule(const DeltaRuleConfig& c) {
  json out = WriteHeads(c);
  out.update({{"n_v_heads", c.n_v_heads},
              {"conv_size", c.conv_size},
              {"allow_neg_eigval", c.allow_neg_eigval}});
  return out;
}

void ReadDsa(JsonReader reader, int64_t n_heads, DsaConfig* c) {
  c->mode =
      reader.Enum<DsaConfig::Mode>("mode", c->mode,
                                   {{"deepseek", DsaConfig::kDeepSeek},
                                    {"lt2_released", DsaConfig::kReleased}});
  const bool released = c->mode == DsaConfig::kReleased;
  c->top_k = reader.Int("top_k", c->top_k, 1, kMaxExtent);
  c->index_heads =
      reader.Int("index_heads", released ? n_heads : c->index_heads, 1, 1024);
  c->index_dim = reader.Int("index_dim", released ? 64 : c->index_dim, 1, 1024);
  if (released) {
    c->latent_dim = reader.Int("latent_dim", c->latent_dim, 1, kMaxExtent);
    c->latent_value_dim =
        reader.Int("latent_value_dim",
                   std::min(c->latent_value_dim, c->latent_dim), 1, kMaxExtent);
    if (reader.status().ok() && c->latent_value_dim > c->latent_dim) {
      reader.Fail("latent_value_dim", c->latent_value_dim,
                  " is more than latent_dim ", c->latent_dim);
    }
  } else {
    c->kl_weight = reader.Float("kl_weight", c->kl_weight, 0, 1e6);
    c->warmup_steps = reader.Int("warmup_steps", c->warmup_steps, 0);
  }
}

json WriteDsa(const DsaConfig& c) {
  json out = {{"top_k", c.top_k},
              {"index_heads", c.index_heads},
              {"index_dim", c.index_dim}};
  if (c.mode == DsaConfig::kReleased) {
    out.update({{"mode", "lt2_released"},
                {"latent_dim", c.latent_dim},
                {"latent_value_dim", c.latent_value_dim}});
  } else {
    out.update({{"mode", "deepseek"},
                {"kl_weight", c.kl_weight},
                {"warmup_steps", c.warmup_steps}});
  }
  return out;
}

}  // namespace

const DeltaRuleConfig* MixerConfigs::DeltaRuleOf(absl::string_view name) const {
  if (name == "gdn") return &gdn;
  if (name == "deltanet") return &deltanet;
  if (name == "kda") return &kda;
  if (name == "deltaproduct") return &deltaproduct;
  return nullptr;
}

void MixerConfigs::Read(JsonReader& model, int64_t dim, int64_t n_heads) {
  static_cast<HeadShape&>(gdn) = Heads(n_heads, 3 * dim / 4, 2);
  static_cast<HeadShape&>(deltanet) = Heads(n_heads, dim, 1);
  static_cast<HeadShape&>(kda) = Heads(n_heads, dim, 1);
  static_cast<HeadShape&>(deltaproduct) = gdn;
  deltaproduct.allow_neg_eigval = true;
  struct Named {
    const char* name;
    DeltaRuleConfig* config;
  };
  for (const Named& n : {Named{"gdn", &gdn}, Named{"deltanet", &deltanet}}) {
    JsonReader reader = model.Object(n.name);
    ReadDeltaRule(reader, n.config);
  }
  {
    JsonReader reader = model.Object("kda");
    ReadDeltaRule(reader, &kda);
    if (reader.status().ok() && kda.n_v_heads != kda.n_heads) {
      reader.Fail("n_v_heads", kda.n_v_heads, " is not n_heads ", kda.n_heads,
                  ": a decay per channel needs as many");
    }
  }
  {
    JsonReader reader = model.Object("deltaproduct");
    ReadDeltaRule(reader, &deltaproduct);
    deltaproduct.num_householder =
        reader.Int("num_householder", deltaproduct.num_householder, 1, 16);
    deltaproduct.use_forget_gate =
        reader.Bool("use_forget_gate", deltaproduct.use_forget_gate);
    deltaproduct.use_output_gate =
        reader.Bool("use_output_gate", deltaproduct.use_output_gate);
  }

  static_cast<HeadShape&>(linear_attention) = Heads(n_heads, dim, 1);
  static_cast<HeadShape&>(retnet) = Heads(n_heads, dim, 2);
  // Half of dim, in whole heads.
  static_cast<HeadShape&>(gla) =
      Heads(n_heads, std::max<int64_t>(dim / 2 / n_heads, 1) * n_heads, 2);
  static_cast<HeadShape&>(hgrn2) = Heads(n_heads, dim, 1);
  {
    JsonReader reader = model.Object("linear_attention");
    ReadHeads(reader, &linear_attention);
    linear_attention.feature_map = reader.Enum<LinearMixerConfig::FeatureMap>(
        "feature_map", linear_attention.feature_map,
        {{"elementwise_product", LinearMixerConfig::kElementwiseProduct},
         {"identity", LinearMixerConfig::kIdentity}});
  }
  {
    JsonReader reader = model.Object("retnet");
    ReadHeads(reader, &retnet);
    if (reader.status().ok() && reader.Has("key_dim") &&
        retnet.d_k() % 2 != 0) {
      reader.Fail("key_dim", "heads of ", retnet.d_k(),
                  " are odd, which rope cannot rotate");
    }
  }
  {
    JsonReader reader = model.Object("gla");
    ReadHeads(reader, &gla);
    gla.gate_low_rank_dim =
        reader.Int("gate_low_rank_dim", gla.gate_low_rank_dim, 1, kMaxExtent);
    gla.gate_logit_normalizer =
        reader.Int("gate_logit_normalizer", gla.gate_logit_normalizer, 1, 4096);
  }
  {
    JsonReader reader = model.Object("hgrn2");
    hgrn2.n_heads = reader.Int("n_heads", hgrn2.n_heads, 1, 1024);
    if (reader.status().ok() && dim % hgrn2.n_heads != 0) {
      reader.Fail("n_heads", hgrn2.n_heads, " does not divide dim ", dim);
    }
  }
  {
    JsonReader reader = model.Object("mamba2");
    mamba2.n_heads = reader.Int("n_heads", n_heads, 1, 1024);
    mamba2.inner_dim = reader.Int("inner_dim", 2 * dim, 1, kMaxExtent);
    mamba2.state_size =
        reader.Int("state_size", mamba2.state_size, 1, kMaxExtent);
    mamba2.conv_size = reader.Int("conv_size", mamba2.conv_size, 1, 8);
    if (reader.status().ok() && mamba2.inner_dim % mamba2.n_heads != 0) {
      reader.Fail("inner_dim", mamba2.inner_dim, " is no multiple of n_heads ",
                  mamba2.n_heads);
    }
  }
  {
    JsonReader reader = model.Object("nsa");
    nsa.n_kv_heads = reader.Int("n_kv_heads", nsa.n_kv_heads, 1, 1024);
    nsa.block_size = reader.Int("block_size", nsa.block_size, 1, kMaxExtent);
    nsa.block_counts =
        reader.Int("block_counts", nsa.block_counts, 1, kMaxExtent);
    nsa.window_size = reader.Int("window_size", nsa.window_size, 1);
    if (reader.status().ok() && n_heads % nsa.n_kv_heads != 0) {
      reader.Fail("n_kv_heads", nsa.n_kv_heads, " does not divide n_heads ",
                  n_heads);
    }
  }
  ReadDsa(model.Object("dsa"), n_heads, &dsa);
}

void MixerConfigs::Write(json* model) const {
  (*model)["gdn"] = WriteDeltaRule(gdn);
  (*model)["deltanet"] = WriteDeltaRule(deltanet);
  (*model)["kda"] = WriteDeltaRule(kda);
  json& product = (*model)["deltaproduct"] = WriteDeltaRule(deltaproduct);
  product["num_householder"] = deltaproduct.num_householder;
  product["use_forget_gate"] = deltaproduct.use_forget_gate;
  product["use_output_gate"] = deltaproduct.use_output_gate;
  json& la = (*model)["linear_attention"] = WriteHeads(linear_attention);
  la["feature_map"] =
      linear_attention.feature_map == LinearMixerConfig::kElementwiseProduct
          ? "elementwise_product"
          : "identity";
  (*model)["retnet"] = WriteHeads(retnet);
  json& gated = (*model)["gla"] = WriteHeads(gla);
  gated["gate_low_rank_dim"] = gla.gate_low_rank_dim;
  gated["gate_logit_normalizer"] = gla.gate_logit_normalizer;
  (*model)["hgrn2"] = {{"n_heads", hgrn2.n_heads}};
  (*model)["mamba2"] = {{"n_heads", mamba2.n_heads},
                        {"inner_dim", mamba2.inner_dim},
                        {"state_size", mamba2.state_size},
                        {"conv_size", mamba2.conv_size}};
  (*model)["nsa"] = {{"n_kv_heads", nsa.n_kv_heads},
                     {"block_size", nsa.block_size},
                     {"block_counts", nsa.block_counts},
                     {"window_size", nsa.window_size}};
  (*model)["dsa"] = WriteDsa(dsa);
}

}  // namespace lt2::model
