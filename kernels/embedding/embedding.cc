#include "kernels/embedding/embedding.h"

#include "kernels/embedding/embedding_internal.h"

namespace lt2::kernels {
namespace {

absl::Status CheckPair(absl::string_view op, const Tensor& ids,
                       absl::string_view name, const Tensor& rows) {
  if (!ids.defined() || ids.dtype() != DType::kI32 || ids.rank() != 1) {
    return InvalidArgument(op, ": ids must be i32 [n], got ", ids.ToString());
  }
  if (!rows.defined() || rows.rank() != 2) {
    return InvalidArgument(op, ": ", name, " must have rank 2, got ",
                           rows.ToString());
  }
  if (rows.dtype() != DType::kF32 &&
      (rows.dtype() != DType::kBF16 || rows.device() == Device::kCPU)) {
    return InvalidArgument(op, ": ", name,
                           " must be f32, or bf16 on the GPU, got ",
                           rows.ToString());
  }
  if (ids.device() != rows.device()) {
    return InvalidArgument(op, ": ids ", ids.ToString(), " and ", name, " ",
                           rows.ToString(), " on different devices");
  }
  return absl::OkStatus();
}

absl::Status CheckDevice(absl::string_view op, const Context& ctx,
                         const Tensor& t) {
  if (t.device() == ctx.device()) return absl::OkStatus();
  return InvalidArgument(op, ": ", t.ToString(), " in a context on ",
                         Name(ctx.device()));
}

}  // namespace

absl::Status EmbeddingSupports(const EmbeddingArgs& args) {
  return CheckPair("embedding", args.ids, "table", args.table);
}

absl::Status Embedding(Context& ctx, const EmbeddingArgs& args, Tensor* out) {
  LT2_RETURN_IF_ERROR(EmbeddingSupports(args));
  LT2_RETURN_IF_ERROR(CheckDevice("embedding", ctx, args.table));
  LT2_RETURN_IF_ERROR(ctx.Prepare("embedding out", args.table.dtype(),
                                  {args.ids.dim(0), args.table.dim(1)}, out));
  LT2_DISPATCH(ctx, EmbeddingCpu(ctx, args, out),
               EmbeddingCuda(ctx, args, out));
}

absl::Status EmbeddingGradSupports(const EmbeddingGradArgs& args) {
  LT2_RETURN_IF_ERROR(
      CheckPair("embedding gradient", args.ids, "dout", args.dout));
  if (args.ids.dim(0) != args.dout.dim(0)) {
    return InvalidArgument("embedding gradient: ", args.ids.dim(0),
                           " ids but dout ", args.dout.ToString());
  }
  constexpr int64_t kLimit = int64_t{1} << 31;
  if (args.vocab < 0 || args.vocab >= kLimit || args.ids.dim(0) >= kLimit) {
    return InvalidArgument("embedding gradient: vocab ", args.vocab, ", ",
                           args.ids.dim(0), " ids: must be in [0, 2^31)");
  }
  return absl::OkStatus();
}

absl::Status EmbeddingGrad(Context& ctx, const EmbeddingGradArgs& args,
                           Tensor* dtable) {
  LT2_RETURN_IF_ERROR(EmbeddingGradSupports(args));
  LT2_RETURN_IF_ERROR(CheckDevice("embedding gradient", ctx, args.dout));
  LT2_RETURN_IF_ERROR(ctx.Prepare("embedding dtable", DType::kF32,
                                  {args.vocab, args.dout.dim(1)}, dtable));
  LT2_DISPATCH(ctx, EmbeddingGradCpu(ctx, args, dtable),
               EmbeddingGradCuda(ctx, args, dtable));
}

}  // namespace lt2::kernels
