// Checkpoints: a folder that is complete or not there.
//
//   config.json            the whole configuration: model, data, training
//   model.safetensors      the parameters (f32, or bf16 when exported)
//   optimizer.safetensors  AdamW's moments, "m." and "v." + parameter name
//   state.json             step, data position, seed: what resuming needs
//
// An exported checkpoint, for use and not for resuming, has the first two only.
// Saving replaces the folder atomically (model/io/atomic_file.h), so a kill at
// any moment leaves the previous checkpoint or the new one.

#ifndef LT2_MODEL_TRAINING_CHECKPOINT_H_
#define LT2_MODEL_TRAINING_CHECKPOINT_H_

#include <string>

#include "model/looped/looped_model.h"
#include "model/training/optimizer.h"
#include "nlohmann/json.hpp"

namespace lt2::model {

// All that resuming needs.
absl::Status SaveCheckpoint(absl::string_view folder,
                            const nlohmann::json& config,
                            const LoopedModel& model,
                            const Optimizer& optimizer,
                            const nlohmann::json& state);

// Configuration and weights only, stored as `dtype`.
absl::Status ExportCheckpoint(absl::string_view folder,
                              const nlohmann::json& config,
                              const LoopedModel& model, DType dtype);

absl::StatusOr<nlohmann::json> LoadConfig(absl::string_view folder);

// Every parameter must be there with its shape, and nothing else.
absl::Status LoadWeights(absl::string_view folder, LoopedModel& model);

// Moments into `optimizer`; returns state.json.
absl::StatusOr<nlohmann::json> LoadTrainingState(absl::string_view folder,
                                                 const LoopedModel& model,
                                                 Optimizer& optimizer);

// A digest of config.json and the weights' bytes, to name a model in results.
absl::StatusOr<std::string> CheckpointDigest(absl::string_view folder);

}  // namespace lt2::model

#endif  // LT2_MODEL_TRAINING_CHECKPOINT_H_
