#include "model/looped/accounting.h"

#include "model/mixers/mixer.h"

namespace lt2::model {

absl::StatusOr<ModelCost> Cost(const ModelConfig& config, int64_t seq,
                               int64_t loops, DType activation) {
  if (loops == 0) loops = config.loop_count;
  const int64_t dim = config.dim;
  const std::vector<std::string> types = config.LayerTypes();
  const std::vector<int64_t> windows =
      config.Windows().Windows(loops, config.pattern_seed, 0);
  ModelCost cost;
  const int64_t table = config.vocab_size * dim;
  cost.embedding_parameters = config.weight_tying ? table : 2 * table;
  cost.parameters = cost.embedding_parameters + dim;  // final norm
  if (config.use_residual) cost.parameters += config.loop_count * dim;
  const int64_t ffn = config.use_ffn ? 3 * dim * config.ffn_hidden : 0;
  for (int64_t i = 0; i < config.n_layers; ++i) {
    LT2_ASSIGN_OR_RETURN(auto mixer, CreateMixer(types[i], config));
    cost.parameters += mixer->ParameterCount() + dim + ffn;
    if (config.use_ffn) cost.parameters += dim;  // its norm
    for (int64_t loop = 0; loop < loops; ++loop) {
      const int64_t window =
          WindowOf(types[i], config, windows[loop * config.n_layers + i]);
      cost.flops += mixer->Flops(seq, window) + 2 * ffn * seq;
      cost.state_bytes += mixer->StateBytes(seq, window, activation);
    }
  }
  cost.flops += 2 * table * seq;
  return cost;
}

}  // namespace lt2::model
