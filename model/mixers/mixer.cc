#include "model/mixers/mixer.h"

#include <cmath>

namespace lt2::model {

std::vector<std::pair<std::string, Tensor>> MixerState::named_tensors() const {
  const std::vector<std::pair<std::string, Tensor>> all = {
      {"k_cache", k_cache},        {"v_cache", v_cache},
      {"recurrent", recurrent},    {"q_conv", q_conv},
      {"k_conv", k_conv},          {"v_conv", v_conv},
      {"k_window", k_window},      {"v_window", v_window},
      {"k_blocks", k_blocks},      {"v_blocks", v_blocks},
      {"index_cache", index_cache}};
  std::vector<std::pair<std::string, Tensor>> defined;
  for (const auto& entry : all) {
    if (entry.second.defined()) defined.push_back(entry);
  }
  return defined;
}

std::vector<Tensor> MixerState::tensors() const {
  std::vector<Tensor> defined;
  for (const auto& entry : named_tensors()) defined.push_back(entry.second);
  return defined;
}

int64_t MixerState::bytes() const {
  int64_t sum = 0;
  for (const Tensor& t : tensors()) sum += t.bytes();
  return sum;
}

int64_t Mixer::DecodeBytes(int64_t tokens, int64_t window,
                           DType activation) const {
  const int64_t fixed = StateBytes(0, window, activation);
  const int64_t entry = StateBytes(1, window, activation) - fixed;
  return fixed + StateBytes(tokens, window, activation) + entry;
}

bool Mixer::Grows(int64_t window) const {
  constexpr int64_t kLong = int64_t{1} << 32;
  return StateBytes(2 * kLong, window, DType::kF32) >
         StateBytes(kLong, window, DType::kF32);
}

Parameter RowsOf(const Parameter& parameter, int64_t begin, int64_t end) {
  Parameter rows = parameter;
  rows.value = parameter.value.Slice(begin, end);
  rows.compute = parameter.compute.Slice(begin, end);
  if (parameter.grad.defined()) rows.grad = parameter.grad.Slice(begin, end);
  return rows;
}

void DeclaredParameter::Declare(std::string parameter_name,
                                const Shape& parameter_shape, Init how,
                                float how_scale, bool takes_decay) {
  name = std::move(parameter_name);
  shape = parameter_shape;
  init = how;
  scale = how_scale;
  decay = takes_decay;
}

void DeclaredParameter::DeclareProjection(std::string parameter_name,
                                          int64_t out, int64_t in,
                                          int64_t model_dim) {
  Declare(std::move(parameter_name), {out, in}, Init::kTruncatedNormal,
          1.0f / std::sqrt(static_cast<float>(model_dim)), true);
}

}  // namespace lt2::model
