#include "kernels/activation/activation_internal.h"
#include "kernels/activation/map.h"
#include "kernels/core/vector_math.h"

namespace lt2::kernels {

absl::Status SiluCpu(Context& ctx, const SiluArgs& args, const Tensor& y) {
  Map(ctx, y.numel(),
      [x = args.x.data<float>(), out = y.data<float>()](int64_t i) {
        out[i] = x[i] * ::lt2::Sigmoid(x[i]);
      });
  return absl::OkStatus();
}

absl::Status SiluGradCpu(Context& ctx, const SiluGradArgs& args,
                         const Tensor& dx) {
  Map(ctx, dx.numel(),
      [x = args.x.data<float>(), dy = args.dy.data<float>(),
       out = dx.data<float>()](int64_t i) {
        const float s = ::lt2::Sigmoid(x[i]);
        out[i] = dy[i] * (s * (1.0f + x[i] * (1.0f - s)));
      });
  return absl::OkStatus();
}

absl::Status SigmoidCpu(Context& ctx, const SigmoidArgs& args,
                        const Tensor& y) {
  Map(ctx, y.numel(),
      [x = args.x.data<float>(), out = y.data<float>(), scale = args.scale,
       slope = args.slope](int64_t i) {
        out[i] = scale * ::lt2::Sigmoid(slope * x[i]);
      });
  return absl::OkStatus();
}

absl::Status SigmoidGradCpu(Context& ctx, const SigmoidGradArgs& args,
                            const Tensor& dx) {
  Map(ctx, dx.numel(),
      [x = args.x.data<float>(), dy = args.dy.data<float>(),
       out = dx.data<float>(), scale = args.scale * args.slope,
       slope = args.slope](int64_t i) {
        const float s = ::lt2::Sigmoid(slope * x[i]);
        out[i] = dy[i] * scale * (s * (1.0f - s));
      });
  return absl::OkStatus();
}

absl::Status AddCpu(Context& ctx, const AddArgs& args, const Tensor& y) {
  Map(ctx, y.numel(),
      [a = args.a.data<float>(), b = args.b.data<float>(),
       out = y.data<float>()](int64_t i) { out[i] = a[i] + b[i]; });
  return absl::OkStatus();
}

absl::Status CastCpu(Context& ctx, const CastArgs& args, const Tensor& y) {
  if (args.out == DType::kF32) {
    Map(ctx, y.numel(),
        [x = args.x.data<BFloat16>(), out = y.data<float>()](int64_t i) {
          out[i] = ToFloat(x[i]);
        });
  } else {
    Map(ctx, y.numel(),
        [x = args.x.data<float>(), out = y.data<BFloat16>()](int64_t i) {
          out[i] = ToBFloat16(x[i]);
        });
  }
  return absl::OkStatus();
}

}  // namespace lt2::kernels
