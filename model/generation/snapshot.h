// Snapshots: a DecodeState in a file, to go on from later.
//
// A model with linear-time mixers has read a document of any length into a
// state of fixed size; a snapshot keeps it. A safetensors file:
//
//   __metadata__   format "lt2.decode_state", version "1", model_digest,
//                  tokenizer_digest, config (the ModelConfig as JSON),
//                  activation, batch, loops, passes, position
//   "tokens"       I32 [batch, n]: every token of the sequences; the state has
//                  taken in the first `position` of them
//   "pass.P.loop.T.layer.L.MEMBER"
//                  the members of MixerState, of every slot. What grows with
//                  the sequence (caches, windows, means of blocks) is cut to
//                  the entries that are filled
//
// Bits are kept, so going on from a snapshot gives the same bits as going on
// without it, on the same kind of device. The capacity may differ; on a GPU the
// attention over a cache splits its work by the capacity
// (kernels/attention/decode_cuda.cu), so there the bits want the same capacity
// too. Loading wants the same weights, configuration, tokenizer, type of
// activations, loops and batch; anything else, and any file that is not exactly
// such a snapshot, is an error that says what differs.

#ifndef LT2_MODEL_GENERATION_SNAPSHOT_H_
#define LT2_MODEL_GENERATION_SNAPSHOT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "model/looped/looped_model.h"

namespace lt2::model {

// What the numbers of a state belong to, by the names that the caller gives.
struct SnapshotIdentity {
  std::string model_digest;      // CheckpointDigest, for example
  std::string tokenizer_digest;  // Tokenizer::digest
};

// What a file's header says.
struct SnapshotInfo {
  SnapshotIdentity identity;
  int64_t batch = 0, loops = 0, passes = 0, position = 0, tokens = 0;
};
absl::StatusOr<SnapshotInfo> ReadSnapshotInfo(absl::string_view path);

// Returns the bytes of the file. All rows of `tokens` must be equally long, and
// longer than the state's position.
absl::StatusOr<int64_t> SaveSnapshot(
    absl::string_view path, const SnapshotIdentity& identity,
    const LoopedModel& model, const DecodeState& state,
    const std::vector<std::vector<int32_t>>& tokens);

// Fills a state that has taken in nothing; returns the tokens. After an error
// the state is of no use.
absl::StatusOr<std::vector<std::vector<int32_t>>> LoadSnapshot(
    absl::string_view path, const SnapshotIdentity& identity,
    const LoopedModel& model, DecodeState* state);

}  // namespace lt2::model

#endif  // LT2_MODEL_GENERATION_SNAPSHOT_H_
