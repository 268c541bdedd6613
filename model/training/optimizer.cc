#include "model/training/optimizer.h"

#include <cmath>

namespace lt2::model {

absl::StatusOr<std::unique_ptr<Optimizer>> Optimizer::Create(
    Context& ctx, const std::vector<Parameter*>& parameters,
    const OptimizerConfig& config) {
  auto self = std::unique_ptr<Optimizer>(new Optimizer(ctx));
  self->config_ = config;
  self->options_.beta1 = static_cast<float>(config.beta1);
  self->options_.beta2 = static_cast<float>(config.beta2);
  self->options_.eps = static_cast<float>(config.eps);
  self->options_.max_grad_norm = static_cast<float>(config.clip);

  constexpr int64_t kAlign = 64;  // elements, so that rows stay aligned
  int64_t total = 0;
  std::vector<int64_t> begins;
  for (const Parameter* p : parameters) {
    begins.push_back(total);
    total += (p->value.numel() + kAlign - 1) / kAlign * kAlign;
  }
  LT2_ASSIGN_OR_RETURN(self->gradient_buffer_, ctx.Zeros(DType::kF32, {total}));
  for (size_t i = 0; i < parameters.size(); ++i) {
    Parameter* p = parameters[i];
    p->grad =
        self->gradient_buffer_.Slice(begins[i], begins[i] + p->value.numel())
            .Reshape(p->value.shape());
    self->gradients_.push_back(p->grad);
    kernels::AdamWParameter a;
    a.value = p->value;
    a.grad = p->grad;
    LT2_ASSIGN_OR_RETURN(a.m, ctx.Zeros(DType::kF32, p->value.shape()));
    LT2_ASSIGN_OR_RETURN(a.v, ctx.Zeros(DType::kF32, p->value.shape()));
    if (p->compute.dtype() == DType::kBF16) a.compute = p->compute;
    a.weight_decay = !p->frozen && (p->decay || config.decay_everything)
                         ? static_cast<float>(config.weight_decay)
                         : 0.0f;
    self->parameters_.push_back(a);
  }
  LT2_ASSIGN_OR_RETURN(self->schedule_, ctx.Zeros(DType::kF32, {3}));
  LT2_ASSIGN_OR_RETURN(self->norm_, ctx.Zeros(DType::kF32, {1}));
  return self;
}

absl::Status Optimizer::SetStep(double lr, int64_t number) {
  const double t = static_cast<double>(number);
  const float values[3] = {static_cast<float>(lr),
                           static_cast<float>(1 - std::pow(config_.beta1, t)),
                           static_cast<float>(1 - std::pow(config_.beta2, t))};
  return ctx_.CopyFromHost(values, &schedule_);
}

absl::Status Optimizer::ZeroGradients() { return ctx_.Zero(&gradient_buffer_); }

absl::Status Optimizer::Step() {
  LT2_RETURN_IF_ERROR(kernels::GlobalNorm(ctx_, gradients_, &norm_));
  return kernels::AdamWStep(ctx_, parameters_, options_, schedule_, norm_);
}

}  // namespace lt2::model
