#include "model/looped/accounting.h"

#include <algorithm>
#include <set>
#include <utility>

#include "model/looped/layer_mixers.h"
#include "model/mixers/mixer.h"

namespace lt2::model {
namespace {

// Bytes per token that the state gains far from the start. Compressed caches
// grow once in a block of tokens: the mean over many.
double Growth(const Mixer& mixer, int64_t window, DType activation) {
  constexpr int64_t kLong = int64_t{1} << 32;
  const int64_t gained = mixer.StateBytes(2 * kLong, window, activation) -
                         mixer.StateBytes(kLong, window, activation);
  return static_cast<double>(gained) / static_cast<double>(kLong);
}

// What is left without that growth: recurrent states, the cache of a full
// window. (Exact if the block of a compressed cache is a power of two.)
int64_t FixedBytes(const Mixer& mixer, int64_t window, DType activation) {
  constexpr int64_t kLong = int64_t{1} << 32;
  return std::max<int64_t>(0,
                           2 * mixer.StateBytes(kLong, window, activation) -
                               mixer.StateBytes(2 * kLong, window, activation));
}

// Bytes of a mixer's weights as a forward pass reads them.
int64_t WeightBytes(Mixer& mixer, DType activation) {
  int64_t bytes = 0;
  for (const Parameter* p : mixer.parameters()) {
    // Every parameter of a mixer is declared.
    const Shape& shape = static_cast<const DeclaredParameter*>(p)->shape;
    const DType type = shape.rank() == 2 ? activation : DType::kF32;
    bytes += shape.numel() * static_cast<int64_t>(ByteSize(type));
  }
  return bytes;
}

// A configuration's mixers, unallocated, and what runs at each slot.
class Plan {
 public:
  static absl::StatusOr<Plan> Create(const ModelConfig& config, int64_t loops) {
    Plan plan(config, loops > 0 ? loops : config.loop_count);
    for (int64_t i = 0; i < config.n_layers; ++i) {
      LT2_ASSIGN_OR_RETURN(LayerMixers mixers,
                           LayerMixers::Create(config, config.Layers(), i));
      plan.layers_.push_back(std::move(mixers));
    }
    return plan;
  }

  // Calls visit(slot, type, mixer, window) for each slot of a pass.
  template <typename Visit>
  void ForEach(int64_t pass, const Visit& visit) const {
    const uint64_t seed = config_.pattern_seed;
    const auto types = config_.Layers().Types(loops_, seed, pass);
    const auto windows = config_.Windows().Windows(loops_, seed, pass);
    for (size_t slot = 0; slot < types.size(); ++slot) {
      visit(slot, types[slot],
            *layers_[slot % config_.n_layers].Find(types[slot]),
            WindowOf(types[slot], config_, windows[slot]));
    }
  }

  int64_t loops() const { return loops_; }
  const std::vector<LayerMixers>& layers() const { return layers_; }

 private:
  Plan(const ModelConfig& config, int64_t loops)
      : config_(config), loops_(loops) {}

  const ModelConfig& config_;
  const int64_t loops_;
  std::vector<LayerMixers> layers_;
};

// Norms of a block.
int64_t BlockNorms(const ModelConfig& config) {
  return (config.use_ffn ? 2 : 1) * (config.sandwich_norm ? 2 : 1);
}

// Weights that an inference reads to decide after which loop to leave.
int64_t ExitWeights(const ModelConfig& config) {
  return config.exit_rule != ModelConfig::ExitRule::kLast ? config.dim : 0;
}

// Tells which slots of a pass have a state of their own (cache_sharing).
class Owners {
 public:
  explicit Owners(const ModelConfig& config)
      : sharing_(config.cache_sharing != ModelConfig::CacheSharing::kNone) {}
  bool Owns(const Mixer& mixer, int64_t window) {
    return !sharing_ || !mixer.SharesCache() ||
           seen_.insert({&mixer, window}).second;
  }

 private:
  const bool sharing_;
  std::set<std::pair<const Mixer*, int64_t>> seen_;
};

int64_t FfnParameters(const ModelConfig& config) {
  return config.use_ffn ? 3 * config.dim * config.ffn_hidden : 0;
}

}  // namespace

absl::StatusOr<ModelCost> Cost(const ModelConfig& config, int64_t seq,
                               int64_t loops, DType activation) {
  LT2_ASSIGN_OR_RETURN(const Plan plan, Plan::Create(config, loops));
  const int64_t dim = config.dim, ffn = FfnParameters(config);
  const int64_t table = config.vocab_size * dim;
  ModelCost cost;
  cost.embedding_parameters = config.weight_tying ? table : 2 * table;
  cost.ffn_parameters = config.n_layers * ffn;
  cost.norm_parameters = (1 + config.n_layers * BlockNorms(config)) * dim;
  if (config.use_residual) cost.norm_parameters += config.loop_count * dim;
  if (config.exit_gate) cost.norm_parameters += dim + 1;
  for (const LayerMixers& layer : plan.layers()) {
    for (size_t i = 0; i < layer.mixers.size(); ++i) {
      if (layer.owner[i] != i) continue;
      cost.mixer_parameters += layer.mixers[i]->ParameterCount();
    }
  }
  cost.parameters = cost.embedding_parameters + cost.mixer_parameters +
                    cost.ffn_parameters + cost.norm_parameters;
  cost.passes = config.inference_passes();
  for (int64_t pass = 0; pass < cost.passes; ++pass) {
    Owners owners(config);
    cost.flops += 2 * plan.loops() * ExitWeights(config) * seq;
    plan.ForEach(pass, [&](size_t, const std::string&, const Mixer& mixer,
                           int64_t window) {
      cost.flops += mixer.Flops(seq, window) + 2 * ffn * seq;
      if (!owners.Owns(mixer, window)) return;
      cost.state_bytes += mixer.StateBytes(seq, window, activation);
      cost.fixed_state_bytes += FixedBytes(mixer, window, activation);
      cost.growth_bytes += Growth(mixer, window, activation);
    });
    cost.flops += 2 * table * seq;
  }
  return cost;
}

absl::StatusOr<DecodeCost> CostOfDecoding(const ModelConfig& config,
                                          int64_t tokens, int64_t loops,
                                          DType activation) {
  LT2_ASSIGN_OR_RETURN(const Plan plan, Plan::Create(config, loops));
  const int64_t dim = config.dim, ffn = FfnParameters(config);
  const int64_t table = config.vocab_size * dim;
  const int64_t width = static_cast<int64_t>(ByteSize(activation));
  DecodeCost cost;
  for (int64_t pass = 0; pass < config.inference_passes(); ++pass) {
    plan.ForEach(
        pass, [&](size_t, const std::string&, Mixer& mixer, int64_t window) {
          cost.flops += mixer.Flops(tokens, window) -
                        mixer.Flops(tokens - 1, window) + 2 * ffn;
          cost.weight_bytes += WeightBytes(mixer, activation) + width * ffn +
                               4 * BlockNorms(config) * dim;
          cost.state_bytes += mixer.DecodeBytes(tokens, window, activation);
        });
    cost.flops += 2 * table;
    const int64_t norms = config.loop_norm ? plan.loops() : 1;
    const int64_t exit = plan.loops() * ExitWeights(config);
    cost.flops += 2 * exit;
    cost.weight_bytes += width * (table + exit) + 4 * norms * dim;
    if (config.use_residual) cost.weight_bytes += 4 * plan.loops() * dim;
  }
  return cost;
}

absl::StatusOr<SlotMap> MapSlots(const ModelConfig& config, int64_t seq,
                                 int64_t loops, DType activation) {
  LT2_ASSIGN_OR_RETURN(const Plan plan, Plan::Create(config, loops));
  SlotMap map;
  std::vector<std::vector<bool>> has_layer;  // by kind
  plan.ForEach(0, [&](size_t slot, const std::string& type, const Mixer& mixer,
                      int64_t window) {
    auto kind = std::find_if(map.kinds.begin(), map.kinds.end(),
                             [&](const SlotKind& k) {
                               return k.type == type && k.window == window;
                             });
    if (kind == map.kinds.end()) {
      SlotKind added;
      added.type = type;
      added.window = window;
      added.parameters = mixer.ParameterCount();
      added.flops = mixer.Flops(seq, window);
      added.state_bytes = mixer.StateBytes(seq, window, activation);
      added.fixed_state_bytes = FixedBytes(mixer, window, activation);
      added.growth_bytes = Growth(mixer, window, activation);
      map.kinds.push_back(added);
      has_layer.emplace_back(config.n_layers);
      kind = map.kinds.end() - 1;
    }
    const size_t index = kind - map.kinds.begin();
    ++kind->slots;
    has_layer[index][slot % config.n_layers] = true;
    map.kind.push_back(index);
  });
  for (size_t i = 0; i < map.kinds.size(); ++i) {
    map.kinds[i].layers =
        std::count(has_layer[i].begin(), has_layer[i].end(), true);
  }
  return map;
}

}  // namespace lt2::model
