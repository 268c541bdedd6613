#include "model/generation/snapshot.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "model/io/safetensors.h"

namespace lt2::model {
namespace {

constexpr char kFormat[] = "lt2.decode_state";
constexpr char kVersion[] = "1";
constexpr char kTokens[] = "tokens";

// One tensor of a state, and the part of it that is filled.
struct Part {
  std::string name;
  Tensor tensor;
  int64_t entries = 0;  // of dimension 1; all of it unless it grows

  std::vector<int64_t> shape() const {
    std::vector<int64_t> dims(tensor.shape().dims().begin(),
                              tensor.shape().dims().end());
    dims[1] = entries;
    return dims;
  }
  int64_t row_bytes() const {  // of what is filled, of one sequence
    return tensor.numel() == 0
               ? 0
               : tensor.bytes() / tensor.dim(0) / tensor.dim(1) * entries;
  }
  // What is filled of one sequence.
  Tensor Row(int64_t b) const {
    const int64_t n = tensor.dim(1);
    const Tensor flat =
        tensor.Reshape({tensor.dim(0) * n, tensor.numel() / tensor.dim(0) /
                                               std::max<int64_t>(n, 1)});
    return flat.Slice(b * n, b * n + entries);
  }
};

// The parts of a state that has taken in `position` tokens.
std::vector<Part> Parts(const LoopedModel& model, const DecodeState& state,
                        int64_t position) {
  const int64_t layers = model.config().n_layers;
  std::vector<Part> parts;
  std::set<const void*> seen;  // loops may share a cache: kept once
  for (int64_t pass = 0; pass < state.passes(); ++pass) {
    for (int64_t slot = 0; slot < state.slots(); ++slot) {
      for (const auto& [member, tensor] :
           state.state(pass, slot).named_tensors()) {
        if (tensor.numel() == 0 || !seen.insert(tensor.raw()).second) continue;
        Part part;
        part.name = absl::StrCat("pass.", pass, ".loop.", slot / layers,
                                 ".layer.", slot % layers, ".", member);
        part.tensor = tensor;
        part.entries = tensor.dim(1);
        if (member == "k_blocks" || member == "v_blocks") {
          part.entries =
              std::min(part.entries, position / model.config().nsa.block_size);
        } else if (member == "k_cache" || member == "v_cache" ||
                   member == "k_window" || member == "v_window" ||
                   member == "index_cache") {
          // A ring buffer is filled from its start, then all of it.
          part.entries = std::min(part.entries, position);
        }
        if (part.entries > 0) parts.push_back(std::move(part));
      }
    }
  }
  return parts;
}

absl::StatusOr<std::string> Metadata(const SafetensorsFile& file,
                                     const std::string& key) {
  const auto it = file.metadata().find(key);
  if (it == file.metadata().end()) {
    return InvalidArgument(file.source(), ": no '", key, "' in __metadata__: ",
                           "not a snapshot of a decode state");
  }
  return it->second;
}

absl::StatusOr<int64_t> IntMetadata(const SafetensorsFile& file,
                                    const std::string& key) {
  LT2_ASSIGN_OR_RETURN(const std::string text, Metadata(file, key));
  int64_t value = 0;
  if (!absl::SimpleAtoi(text, &value) || value < 0) {
    return InvalidArgument(file.source(), ": __metadata__ '", key, "' is '",
                           text, "', expected a number >= 0");
  }
  return value;
}

absl::StatusOr<SnapshotInfo> Info(const SafetensorsFile& file) {
  LT2_ASSIGN_OR_RETURN(const std::string format, Metadata(file, "format"));
  LT2_ASSIGN_OR_RETURN(const std::string version, Metadata(file, "version"));
  if (format != kFormat || version != kVersion) {
    return InvalidArgument(file.source(), ": format '", format, "' version '",
                           version, "', expected '", kFormat, "' version '",
                           kVersion, "'");
  }
  SnapshotInfo info;
  LT2_ASSIGN_OR_RETURN(info.identity.model_digest,
                       Metadata(file, "model_digest"));
  LT2_ASSIGN_OR_RETURN(info.identity.tokenizer_digest,
                       Metadata(file, "tokenizer_digest"));
  LT2_ASSIGN_OR_RETURN(info.batch, IntMetadata(file, "batch"));
  LT2_ASSIGN_OR_RETURN(info.loops, IntMetadata(file, "loops"));
  LT2_ASSIGN_OR_RETURN(info.passes, IntMetadata(file, "passes"));
  LT2_ASSIGN_OR_RETURN(info.position, IntMetadata(file, "position"));
  const SafetensorsInfo* tokens = file.Find(kTokens);
  if (tokens == nullptr || tokens->dtype != SafetensorsDType::kI32 ||
      tokens->shape.size() != 2 || tokens->shape[0] != info.batch ||
      tokens->shape[1] <= info.position) {
    return InvalidArgument(
        file.source(), ": expected 'tokens' I32[", info.batch, ", more than ",
        info.position, "], got ",
        tokens == nullptr ? "no such tensor" : tokens->ToString());
  }
  info.tokens = tokens->shape[1];
  return info;
}

// An error that tells what differs.
absl::Status Expect(const SafetensorsFile& file, absl::string_view what,
                    absl::string_view stored, absl::string_view expected) {
  if (stored == expected) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(file.source(), ": the snapshot's ", what, " is '", stored,
                   "', here it is '", expected, "'"));
}

// Names the first key that differs.
absl::Status ExpectConfig(const SafetensorsFile& file,
                          const ModelConfig& config) {
  LT2_ASSIGN_OR_RETURN(const std::string text, Metadata(file, "config"));
  const nlohmann::json expected = config.ToJson();
  if (text == expected.dump()) return absl::OkStatus();
  const nlohmann::json stored =
      nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  for (const auto& [key, value] : expected.items()) {
    const std::string theirs =
        stored.is_object() && stored.contains(key) ? stored[key].dump() : "";
    LT2_RETURN_IF_ERROR(
        Expect(file, absl::StrCat("model.", key), theirs, value.dump()));
  }
  return Expect(file, "config", text, expected.dump());
}

}  // namespace

absl::StatusOr<SnapshotInfo> ReadSnapshotInfo(absl::string_view path) {
  LT2_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  return Info(file);
}

absl::StatusOr<int64_t> SaveSnapshot(
    absl::string_view path, const SnapshotIdentity& identity,
    const LoopedModel& model, const DecodeState& state,
    const std::vector<std::vector<int32_t>>& tokens) {
  const int64_t n = static_cast<int64_t>(tokens.at(0).size());
  for (const auto& row : tokens) {
    if (static_cast<int64_t>(row.size()) != n || n <= state.position()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "a snapshot needs rows of one length above the state's position ",
          state.position(), ", got ", n, " and ", row.size(), " tokens"));
    }
  }
  Context& ctx = model.ctx();
  std::vector<std::vector<uint8_t>> buffers;
  std::vector<SafetensorsEntry> entries;
  auto add = [&](const std::string& name, DType dtype,
                 std::vector<int64_t> shape, std::vector<uint8_t> bytes) {
    buffers.push_back(std::move(bytes));
    SafetensorsEntry entry;
    entry.name = name;
    entry.dtype = ToSafetensorsDType(dtype);
    entry.shape = std::move(shape);
    // The heap memory of a vector stays where it is when the vector moves.
    entry.bytes = absl::MakeConstSpan(buffers.back());
    entries.push_back(std::move(entry));
  };
  std::vector<uint8_t> ids;
  for (const auto& row : tokens) {
    const auto* begin = reinterpret_cast<const uint8_t*>(row.data());
    ids.insert(ids.end(), begin, begin + row.size() * sizeof(int32_t));
  }
  add(kTokens, DType::kI32, {state.batch(), n}, std::move(ids));
  for (const Part& part : Parts(model, state, state.position())) {
    std::vector<uint8_t> bytes(part.row_bytes() * state.batch());
    for (int64_t b = 0; b < state.batch(); ++b) {
      LT2_RETURN_IF_ERROR(
          ctx.CopyToHost(part.Row(b), bytes.data() + b * part.row_bytes()));
    }
    add(part.name, part.tensor.dtype(), part.shape(), std::move(bytes));
  }
  const std::map<std::string, std::string> metadata = {
      {"format", kFormat},
      {"version", kVersion},
      {"model_digest", identity.model_digest},
      {"tokenizer_digest", identity.tokenizer_digest},
      {"config", model.config().ToJson().dump()},
      {"activation", Name(model.activation())},
      {"batch", absl::StrCat(state.batch())},
      {"loops", absl::StrCat(state.loops())},
      {"passes", absl::StrCat(state.passes())},
      {"position", absl::StrCat(state.position())}};
  LT2_RETURN_IF_ERROR(WriteSafetensors(ctx, path, entries, metadata));
  int64_t total = 0;
  for (const auto& buffer : buffers) {
    total += static_cast<int64_t>(buffer.size());
  }
  return total;
}

absl::StatusOr<std::vector<std::vector<int32_t>>> LoadSnapshot(
    absl::string_view path, const SnapshotIdentity& identity,
    const LoopedModel& model, DecodeState* state) {
  Context& ctx = model.ctx();
  LT2_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  LT2_ASSIGN_OR_RETURN(const SnapshotInfo info, Info(file));
  LT2_RETURN_IF_ERROR(ExpectConfig(file, model.config()));
  LT2_RETURN_IF_ERROR(Expect(file, "model digest", info.identity.model_digest,
                             identity.model_digest));
  LT2_RETURN_IF_ERROR(Expect(file, "tokenizer digest",
                             info.identity.tokenizer_digest,
                             identity.tokenizer_digest));
  LT2_ASSIGN_OR_RETURN(const std::string activation,
                       Metadata(file, "activation"));
  LT2_RETURN_IF_ERROR(
      Expect(file, "activation type", activation, Name(model.activation())));
  auto expect_int = [&](absl::string_view what, int64_t stored, int64_t here) {
    return Expect(file, what, absl::StrCat(stored), absl::StrCat(here));
  };
  LT2_RETURN_IF_ERROR(expect_int("batch", info.batch, state->batch()));
  LT2_RETURN_IF_ERROR(
      expect_int("number of loops", info.loops, state->loops()));
  LT2_RETURN_IF_ERROR(
      expect_int("number of passes", info.passes, state->passes()));
  if (info.tokens > state->capacity()) {
    return absl::ResourceExhaustedError(
        absl::StrCat(file.source(), ": the snapshot has ", info.tokens,
                     " tokens, the state's capacity is ", state->capacity()));
  }

  const std::vector<Part> parts = Parts(model, *state, info.position);
  for (const Part& part : parts) {
    const SafetensorsInfo* stored = file.Find(part.name);
    const SafetensorsDType dtype = ToSafetensorsDType(part.tensor.dtype());
    if (stored == nullptr || stored->dtype != dtype ||
        stored->shape != part.shape()) {
      const std::vector<int64_t> dims = part.shape();
      return InvalidArgument(
          file.source(), ": expected '", part.name, "' ", Name(dtype),
          Shape(dims).ToString(), ", got ",
          stored == nullptr ? "no such tensor" : stored->ToString());
    }
  }
  if (file.tensors().size() != parts.size() + 1) {
    return InvalidArgument(file.source(), ": ", file.tensors().size(),
                           " tensors, the state has ", parts.size() + 1);
  }
  for (const Part& part : parts) {
    LT2_ASSIGN_OR_RETURN(const absl::Span<const uint8_t> bytes,
                         file.Data(part.name));
    for (int64_t b = 0; b < state->batch(); ++b) {
      Tensor row = part.Row(b);
      LT2_RETURN_IF_ERROR(
          ctx.CopyFromHost(bytes.data() + b * part.row_bytes(), &row));
    }
  }
  std::vector<std::vector<int32_t>> tokens(info.batch,
                                           std::vector<int32_t>(info.tokens));
  LT2_ASSIGN_OR_RETURN(const absl::Span<const uint8_t> ids, file.Data(kTokens));
  const int64_t row_bytes = info.tokens * static_cast<int64_t>(sizeof(int32_t));
  for (int64_t b = 0; b < info.batch; ++b) {
    std::memcpy(tokens[b].data(), ids.data() + b * row_bytes, row_bytes);
    for (int32_t id : tokens[b]) {
      if (id < 0 || id >= model.config().vocab_size) {
        return InvalidArgument(file.source(), ": token ", id,
                               ", the model's vocabulary has ",
                               model.config().vocab_size);
      }
    }
  }
  LT2_RETURN_IF_ERROR(state->SetPosition(ctx, info.position));
  return tokens;
}

}  // namespace lt2::model
