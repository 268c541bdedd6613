// Small models for tests: every mixer and pattern at a size where a whole
// forward pass takes milliseconds.

#ifndef LT2_MODEL_LOOPED_TEST_MODELS_H_
#define LT2_MODEL_LOOPED_TEST_MODELS_H_

#include <string>
#include <vector>

#include "kernels/core/philox.h"
#include "kernels/core/testing.h"
#include "model/looped/looped_model.h"

namespace lt2::model {

struct TestModel {
  std::string name;
  nlohmann::json json;
};

// The kinds of model that tests run through: every mixer of the registry, and
// variants. `dim` 32 suits the CPU; a GPU needs 64 (heads of 32: multiples of
// 16).
inline std::vector<TestModel> TestModels(int64_t dim) {
  const nlohmann::json base = {
      {"vocab_size", 29},
      {"dim", dim},
      {"n_layers", 2},
      {"n_heads", 2},
      {"loop_count", 3},
      {"multiple_of", 16},
      {"gdn", {{"key_dim", dim}, {"expand_v", 2}}},
      {"deltaproduct", {{"key_dim", dim}, {"expand_v", 1}}},
      {"mamba2", {{"state_size", 16}}},
      {"nsa", {{"block_size", 4}, {"block_counts", 4}, {"window_size", 5}}},
      {"dsa", {{"top_k", 6}, {"index_heads", 2}, {"index_dim", 16}}},
      {"default_sliding_window", 5}};
  auto with = [&](nlohmann::json changes) {
    nlohmann::json json = base;
    json.update(changes);
    return json;
  };
  std::vector<TestModel> models = {
      {"full", with({{"layer_pattern", "full"}})},
      {"grouped_gated", with({{"layer_pattern", "full"},
                              {"n_kv_heads", 1},
                              {"use_attn_gate", true},
                              {"rope_layout", "half_split"},
                              {"weight_tying", false}})},
      {"window", with({{"layer_pattern", "window"}})},
      {"coarse_to_fine", with({{"attention_pattern", "full->SWA=7->SWA=3"}})},
      {"gdn", with({{"layer_pattern", "gdn"}})},
      {"gdn_negative", with({{"layer_pattern", "gdn"},
                             {"gdn",
                              {{"key_dim", dim},
                               {"expand_v", 1},
                               {"n_heads", 2},
                               {"n_v_heads", 4},
                               {"allow_neg_eigval", true}}}})},
      {"deltanet", with({{"layer_pattern", "deltanet"}})},
      {"full_gdn", with({{"layer_pattern", "interleaved:1:1:gdn:full"},
                         {"use_ffn", false},
                         {"use_residual", false}})},
      {"kda_negative",
       with({{"layer_pattern", "kda"},
             {"kda", {{"expand_v", 1.5}, {"allow_neg_eigval", true}}}})},
      {"deltaproduct_ungated", with({{"layer_pattern", "deltaproduct"},
                                     {"deltaproduct",
                                      {{"key_dim", dim},
                                       {"expand_v", 1},
                                       {"num_householder", 3},
                                       {"use_forget_gate", false},
                                       {"use_output_gate", false}}}})},
      {"linear_attention_identity",
       with({{"layer_pattern", "linear_attention"},
             {"linear_attention", {{"feature_map", "identity"}}}})},
      {"nsa_gated", with({{"layer_pattern", "nsa"},
                          {"use_attn_gate", true},
                          {"nsa",
                           {{"n_kv_heads", 2},
                            {"block_size", 3},
                            {"block_counts", 4},
                            {"window_size", 3}}}})},
      {"dsa_warmup", with({{"layer_pattern", "dsa"},
                           {"use_attn_gate", true},
                           {"n_kv_heads", 1},
                           {"dsa",
                            {{"top_k", 5},
                             {"index_heads", 3},
                             {"index_dim", 8},
                             {"kl_weight", 0.5},
                             {"warmup_steps", 4}}}})},
      {"dsa_released", with({{"layer_pattern", "dsa"},
                             {"use_attn_gate", true},
                             {"dsa",
                              {{"mode", "lt2_released"},
                               {"top_k", 6},
                               {"index_dim", 16},
                               {"latent_dim", 48},
                               {"latent_value_dim", 32}}}})},
      {"ouro", with({{"n_kv_heads", 1},
                     {"rope_layout", "half_split"},
                     {"rope_theta", 1e6},
                     {"weight_tying", false},
                     {"use_residual", false},
                     {"sandwich_norm", true},
                     {"loop_norm", true},
                     {"exit_gate", true},
                     {"exit_rule", "weighted"}})},
      {"by_loop",
       with({{"layer_pattern", "full,gdn -> window -> gdn,deltanet"}})},
  };
  // No mixer is left out: whoever is not above gets a model of its own.
  for (const std::string& name : MixerNames()) {
    bool there = false;
    for (const TestModel& model : models) there |= model.name == name;
    if (!there) models.push_back({name, with({{"layer_pattern", name}})});
  }
  return models;
}

// A model whose loop gates and attention gates are not at their zero start.
inline std::unique_ptr<LoopedModel> MakeModel(
    Context& ctx, const nlohmann::json& json, bool training,
    absl::optional<DType> activation = absl::nullopt) {
  const auto config = ModelConfig::FromJson(json, "model");
  LT2_CHECK(config.ok(), config.status().ToString());
  auto model = LoopedModel::Create(ctx, *config, 5, training, activation);
  LT2_CHECK(model.ok(), model.status().ToString());
  for (Parameter* p : (*model)->parameters()) {
    if (p->name.find("residual_weight") == std::string::npos &&
        p->name.find("wg.weight") == std::string::npos) {
      continue;
    }
    const Tensor moved = testing::ToTensor(
        ctx, DType::kF32, p->value.shape(),
        testing::Uniform(p->name.size(), p->value.numel(), -0.3, 0.3));
    LT2_CHECK_OK(ctx.Copy(moved, &p->value));
    if (p->compute.dtype() == DType::kBF16) {
      const Tensor rounded = testing::ToTensor(
          ctx, DType::kBF16, p->value.shape(), testing::ToDoubles(ctx, moved));
      LT2_CHECK_OK(ctx.Copy(rounded, &p->compute));
    }
  }
  return std::move(model).value();
}

// Puts the weights of one model into another of the same configuration, maybe
// on another device.
inline void CopyWeights(const LoopedModel& from, const LoopedModel& to) {
  for (size_t i = 0; i < from.parameters().size(); ++i) {
    const Parameter* a = from.parameters()[i];
    Parameter* b = to.parameters()[i];
    const std::vector<double> values = testing::ToDoubles(from.ctx(), a->value);
    for (Tensor t : {b->value, b->compute}) {
      const Tensor host =
          testing::ToTensor(to.ctx(), t.dtype(), t.shape(), values);
      LT2_CHECK_OK(to.ctx().Copy(host, &t));
    }
  }
}

// Moves each weight by a rounding error: by up to `unit` of itself.
inline void RoundWeights(const LoopedModel& model, double unit, uint64_t seed) {
  Philox rng(seed, 1);
  for (const Parameter* p : model.parameters()) {
    std::vector<double> values = testing::ToDoubles(model.ctx(), p->value);
    for (double& x : values) x *= 1 + unit * (2 * rng.Uniform() - 1);
    for (Tensor t : {p->value, p->compute}) {
      const Tensor moved =
          testing::ToTensor(model.ctx(), t.dtype(), t.shape(), values);
      LT2_CHECK_OK(model.ctx().Copy(moved, &t));
    }
  }
}

// Uniform token ids [batch, seq].
inline Tensor RandomIds(Context& ctx, int64_t batch, int64_t seq, int64_t vocab,
                        uint64_t seed) {
  Philox rng(seed, 0);
  std::vector<double> ids;
  for (int64_t i = 0; i < batch * seq; ++i) ids.push_back(rng.Below(vocab));
  return testing::ToTensor(ctx, DType::kI32, {batch, seq}, ids);
}

// Logits as doubles; aborts on an error.
inline std::vector<double> LogitsOf(LoopedModel& model, const Tensor& ids,
                                    const ForwardOptions& options = {}) {
  Tape tape(model.ctx(), Tape::kInference);
  const Var logits = model.Logits(tape, ids, options);
  LT2_CHECK(tape.ok(), tape.status().ToString());
  return testing::ToDoubles(model.ctx(), logits.value());
}

}  // namespace lt2::model

#endif  // LT2_MODEL_LOOPED_TEST_MODELS_H_
