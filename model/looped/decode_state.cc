#include "kernels/attention/attention.h"
#include "model/looped/looped_model.h"

namespace lt2::model {

absl::StatusOr<std::unique_ptr<DecodeState>> DecodeState::Create(
    const LoopedModel& model, int64_t batch, int64_t capacity, int64_t loops) {
  if (batch < 1 || capacity < 1 || loops < 0) {
    return InvalidArgument("a decode state needs batch, capacity >= 1 and ",
                           "loops >= 0, got ", batch, ", ", capacity, ", ",
                           loops);
  }
  Context& ctx = model.ctx();
  auto state = std::unique_ptr<DecodeState>(new DecodeState());
  state->batch_ = batch;
  state->capacity_ = capacity;
  state->loops_ = loops > 0 ? loops : model.default_loops();
  state->passes_ = model.config().inference_passes();
  state->n_slots_ = state->loops_ * model.config().n_layers;
  for (int64_t pass = 0; pass < state->passes_; ++pass) {
    for (const LoopedModel::Slot& slot : model.Slots(state->loops_, pass)) {
      state->slots_.push_back(slot);
    }
  }
  state->states_.resize(state->slots_.size());
  using CacheSharing = ModelConfig::CacheSharing;
  const CacheSharing sharing = model.config().cache_sharing;
  for (size_t i = 0; i < state->slots_.size(); ++i) {
    const LoopedModel::Slot& slot = state->slots_[i];
    state->bounded_ |= slot.mixer->Grows(slot.window);
    size_t owner = i;
    if (sharing != CacheSharing::kNone && slot.mixer->SharesCache()) {
      // The same layer in the earlier loops of the same pass.
      const size_t layers = model.config().n_layers;
      const size_t first = i / state->n_slots_ * state->n_slots_;
      for (size_t j = first + (i - first) % layers; j < i; j += layers) {
        if (state->slots_[j].mixer == slot.mixer &&
            state->slots_[j].window == slot.window) {
          owner = j;
          break;
        }
      }
    }
    state->owner_.push_back(owner);
    state->append_.push_back(owner == i || sharing == CacheSharing::kLast);
    if (owner != i) {
      state->shares_ = true;
      state->states_[i] = state->states_[owner];  // tensors are handles
      continue;
    }
    LT2_RETURN_IF_ERROR(slot.mixer->InitState(ctx, batch, capacity, slot.window,
                                              model.activation(),
                                              &state->states_[i]));
  }
  LT2_ASSIGN_OR_RETURN(state->lengths_, ctx.Zeros(DType::kI32, {batch}));
  LT2_ASSIGN_OR_RETURN(state->next_lengths_, ctx.Zeros(DType::kI32, {batch}));
  return state;
}

int64_t DecodeState::bytes() const {
  int64_t sum = 0;
  for (size_t i = 0; i < states_.size(); ++i) {
    if (owner_[i] == i) sum += states_[i].bytes();
  }
  return sum;
}

absl::Status DecodeState::CheckRoom(int64_t tokens) const {
  if (bounded_ && position_ + tokens > capacity_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("sequence of ", position_ + tokens,
                     " tokens exceeds the state's capacity of ", capacity_));
  }
  return absl::OkStatus();
}

absl::Status DecodeState::SetPosition(Context& ctx, int64_t position) {
  LT2_CHECK(position >= 0 && (!bounded_ || position <= capacity_), "position ",
            position, ", capacity ", capacity_);
  const std::vector<int32_t> lengths(batch_, static_cast<int32_t>(position));
  LT2_RETURN_IF_ERROR(ctx.CopyFromHost(lengths.data(), &lengths_));
  position_ = position;
  return absl::OkStatus();
}

absl::Status DecodeState::Begin(Context& ctx, int64_t tokens) {
  if (shares_ && position_ > 0 && tokens != 1) {
    return absl::FailedPreconditionError(absl::StrCat(
        "with cache_sharing a prompt is one piece, then tokens come one at a "
        "time; got ",
        tokens, " tokens at position ", position_,
        "; set cache_sharing to \"none\" for prompts in pieces"));
  }
  LT2_RETURN_IF_ERROR(CheckRoom(tokens));
  LT2_RETURN_IF_ERROR(ctx.Copy(lengths_, &next_lengths_));
  return kernels::AdvanceLengths(ctx, tokens, &next_lengths_);
}

absl::Status DecodeState::End(Context& ctx, int64_t tokens) {
  position_ += tokens;
  return ctx.Copy(next_lengths_, &lengths_);
}

MixerCall DecodeState::Call(int64_t pass, int64_t slot) {
  const int64_t i = pass * n_slots_ + slot;
  MixerCall call;
  call.window = slots_[i].window;
  call.state = &states_[i];
  call.append = append_[i];
  call.position.host = position_;
  call.position.device = lengths_;
  call.lengths = lengths_;
  call.next_lengths = next_lengths_;
  return call;
}

Mixer* DecodeState::mixer(int64_t pass, int64_t slot) const {
  return slots_[pass * n_slots_ + slot].mixer;
}

}  // namespace lt2::model
