#include "tools/description/description.h"

#include "absl/strings/ascii.h"

namespace lt2::tools {
namespace {

bool Grows(const model::SlotKind& kind) { return kind.growth_bytes > 0; }

// The first free letter of the type's name, else of the alphabet.
std::string Symbols(const std::vector<model::SlotKind>& kinds) {
  std::string symbols;
  for (const model::SlotKind& kind : kinds) {
    char chosen = '?';
    for (char c : kind.type + "abcdefghijklmnopqrstuvwxyz") {
      if (!absl::ascii_isalpha(c)) continue;
      c = Grows(kind) ? absl::ascii_toupper(c) : absl::ascii_tolower(c);
      if (symbols.find(c) != std::string::npos) continue;
      chosen = c;
      break;
    }
    symbols.push_back(chosen);
  }
  return symbols;
}

}  // namespace

absl::StatusOr<Description> Describe(const NamedConfig& model,
                                     const DescribeOptions& options) {
  Description d;
  d.model = model;
  d.options = options;
  if (d.options.loops == 0) d.options.loops = model.config.loop_count;
  const auto& [length, batch, loops, activation] = d.options;
  LT2_ASSIGN_OR_RETURN(d.cost,
                       model::Cost(model.config, length, loops, activation));
  LT2_ASSIGN_OR_RETURN(
      d.decode, model::CostOfDecoding(model.config, length, loops, activation));
  LT2_ASSIGN_OR_RETURN(
      d.slots, model::MapSlots(model.config, length, loops, activation));
  d.symbols = Symbols(d.slots.kinds);
  return d;
}

nlohmann::json ToJson(const Description& d) {
  const int64_t length = d.options.length;
  const double tokens = static_cast<double>(length);
  const double passes = static_cast<double>(d.cost.passes);
  nlohmann::json json = {
      {"name", d.model.name},
      {"model", d.model.config.ToJson()},
      {"loops", d.options.loops},
      {"length", length},
      {"batch", d.options.batch},
      {"activation", d.options.activation == DType::kBF16 ? "bf16" : "f32"},
      {"passes", d.cost.passes},
      {"parameters",
       {{"total", d.cost.parameters},
        {"embedding", d.cost.embedding_parameters},
        {"mixers", d.cost.mixer_parameters},
        {"ffn", d.cost.ffn_parameters},
        {"norms_and_gates", d.cost.norm_parameters},
        {"without_embedding",
         d.cost.parameters - d.cost.embedding_parameters}}},
      {"flops_per_token",
       {{"prefill", d.cost.flops_per_token(length)},
        {"training", 3 * d.cost.flops_per_token(length) / passes},
        {"decode", d.decode.flops}}},
      {"decode_bytes_per_token",
       {{"weights", static_cast<double>(d.decode.weight_bytes) /
                        static_cast<double>(d.options.batch)},
        {"states", d.decode.state_bytes},
        {"total", d.decode.bytes_per_token(d.options.batch)}}},
      {"state_bytes",
       {{"fixed", d.cost.fixed_state_bytes},
        {"per_token", d.cost.growth_bytes},
        {"at_length", d.cost.state_bytes}}},
      {"kinds", nlohmann::json::array()},
      {"slots", nlohmann::json::array()},
  };
  for (size_t i = 0; i < d.slots.kinds.size(); ++i) {
    const model::SlotKind& kind = d.slots.kinds[i];
    json["kinds"].push_back(
        {{"symbol", std::string(1, d.symbols[i])},
         {"mixer", kind.type},
         {"window", kind.window},
         {"slots", kind.slots},
         {"layers", kind.layers},
         {"parameters", kind.parameters},
         {"flops_per_token", static_cast<double>(kind.flops) / tokens},
         {"state_bytes",
          {{"fixed", kind.fixed_state_bytes},
           {"per_token", kind.growth_bytes},
           {"at_length", kind.state_bytes}}}});
  }
  // One string of symbols for each loop.
  const size_t layers = static_cast<size_t>(d.model.config.n_layers);
  for (size_t slot = 0; slot < d.slots.kind.size(); ++slot) {
    if (slot % layers == 0) json["slots"].push_back("");
    std::string row = json["slots"].back().get<std::string>();
    row.push_back(d.symbols[d.slots.kind[slot]]);
    json["slots"].back() = row;
  }
  return json;
}

}  // namespace lt2::tools
