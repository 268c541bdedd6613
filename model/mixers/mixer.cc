#include "model/mixers/mixer.h"

#include <cmath>

namespace lt2::model {

std::vector<Tensor> MixerState::tensors() const {
  std::vector<Tensor> defined;
  for (const Tensor& t :
       {k_cache, v_cache, recurrent, q_conv, k_conv, v_conv}) {
    if (t.defined()) defined.push_back(t);
  }
  return defined;
}

int64_t MixerState::bytes() const {
  int64_t sum = 0;
  for (const Tensor& t : tensors()) sum += t.bytes();
  return sum;
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
