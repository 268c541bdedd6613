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
  state->loops_ = loops > 0 ? loops : model.config().loop_count;
  state->windows_ = model.Windows(state->loops_, /*step=*/0);
  const int64_t layers = model.config().n_layers;
  const std::vector<std::string> types = model.config().LayerTypes();
  state->states_.resize(state->loops_ * layers);
  for (size_t slot = 0; slot < state->states_.size(); ++slot) {
    const int64_t layer = static_cast<int64_t>(slot) % layers;
    state->bounded_ |= types[layer] == "full" && state->windows_[slot] == 0;
    LT2_RETURN_IF_ERROR(model.mixer(layer).InitState(
        ctx, batch, capacity, state->windows_[slot], model.activation(),
        &state->states_[slot]));
  }
  LT2_ASSIGN_OR_RETURN(state->lengths_, ctx.Zeros(DType::kI32, {batch}));
  LT2_ASSIGN_OR_RETURN(state->next_lengths_, ctx.Zeros(DType::kI32, {batch}));
  return state;
}

int64_t DecodeState::bytes() const {
  int64_t sum = 0;
  for (const MixerState& s : states_) sum += s.bytes();
  return sum;
}

absl::Status DecodeState::Begin(Context& ctx, int64_t tokens) {
  if (bounded_ && position_ + tokens > capacity_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("sequence of ", position_ + tokens,
                     " tokens exceeds the state's capacity of ", capacity_));
  }
  LT2_RETURN_IF_ERROR(ctx.Copy(lengths_, &next_lengths_));
  return kernels::AdvanceLengths(ctx, tokens, &next_lengths_);
}

absl::Status DecodeState::End(Context& ctx, int64_t tokens) {
  position_ += tokens;
  return ctx.Copy(next_lengths_, &lengths_);
}

MixerCall DecodeState::Call(int64_t slot) {
  MixerCall call;
  call.window = windows_[slot];
  call.state = &states_[slot];
  call.position.host = position_;
  call.position.device = lengths_;
  call.lengths = lengths_;
  call.next_lengths = next_lengths_;
  return call;
}

}  // namespace lt2::model
