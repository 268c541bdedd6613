#include "kernels/gemm/gemm.h"

#include "kernels/gemm/gemm_internal.h"

namespace lt2::kernels {

absl::StatusOr<GemmShape> GemmSupports(const GemmArgs& args, const Tensor& c) {
  const Tensor& a = args.a;
  const Tensor& b = args.b;
  auto error = [&](absl::string_view what) {
    return InvalidArgument("gemm: ", what, ": a ", a.ToString(),
                           args.transpose_a ? " transposed" : "", ", b ",
                           b.ToString(), args.transpose_b ? " transposed" : "",
                           ", c ", c.ToString());
  };
  if (!a.defined() || !b.defined() || !c.defined()) {
    return error("undefined tensor");
  }
  if (a.rank() < 1 || b.rank() < 1 || c.rank() < 1) return error("rank 0");
  if (a.device() != b.device() || a.device() != c.device()) {
    return error("tensors on different devices");
  }
  if (a.dtype() != b.dtype()) return error("a and b differ in type");
  if (a.dtype() != DType::kF32 &&
      (a.dtype() != DType::kBF16 || a.device() == Device::kCPU)) {
    return error("type of a must be f32, or bf16 on the GPU");
  }
  if (c.dtype() != DType::kF32 && c.dtype() != a.dtype()) {
    return error("type of c must be f32 or that of a");
  }
  if (args.accumulate && c.dtype() != DType::kF32) {
    return error("accumulation needs an f32 c");
  }
  GemmShape shape;
  shape.m = args.transpose_a ? a.dim(-1) : a.rows();
  shape.k = args.transpose_a ? a.rows() : a.dim(-1);
  shape.n = args.transpose_b ? b.rows() : b.dim(-1);
  if ((args.transpose_b ? b.dim(-1) : b.rows()) != shape.k) {
    return error("inner extents differ");
  }
  if (c.rows() != shape.m || c.dim(-1) != shape.n) {
    return error(absl::StrCat("c must be [", shape.m, ", ", shape.n, "]"));
  }
  constexpr int64_t kLimit = int64_t{1} << 31;
  if (shape.m >= kLimit || shape.n >= kLimit || shape.k >= kLimit) {
    return error("extent of 2^31 or more");
  }
  return shape;
}

absl::Status Gemm(Context& ctx, const GemmArgs& args, Tensor* c) {
  LT2_ASSIGN_OR_RETURN(const GemmShape shape, GemmSupports(args, *c));
  if (args.a.device() != ctx.device()) {
    return InvalidArgument("gemm: tensors on ", Name(args.a.device()),
                           ", context on ", Name(ctx.device()));
  }
  if (shape.m == 0 || shape.n == 0) return absl::OkStatus();
  if (shape.k == 0) {
    return args.accumulate ? absl::OkStatus() : ctx.Zero(c);
  }
  ctx.CountFlops(2 * shape.m * shape.n * shape.k);
  LT2_DISPATCH(ctx, GemmCpu(ctx, args, shape, c),
               GemmCuda(ctx, args, shape, c));
}

}  // namespace lt2::kernels
