#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/embedding/embedding_internal.h"

namespace lt2::kernels {
namespace {

absl::Status CheckIds(absl::Span<const int32_t> ids, int64_t vocab) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocab) {
      return InvalidArgument("embedding: id ", ids[i], " at position ", i,
                             " is not in [0, ", vocab, ")");
    }
  }
  return absl::OkStatus();
}

absl::Span<const int32_t> Ids(const Tensor& t) {
  return {t.data<int32_t>(), static_cast<size_t>(t.numel())};
}

}  // namespace

absl::Status EmbeddingCpu(Context& ctx, const EmbeddingArgs& args,
                          Tensor* out) {
  const auto ids = Ids(args.ids);
  const int64_t dim = args.table.dim(1);
  LT2_RETURN_IF_ERROR(CheckIds(ids, args.table.dim(0)));
  if (out->numel() == 0) return absl::OkStatus();
  const float* table = args.table.data<float>();
  float* rows = out->data<float>();
  ctx.ParallelFor(ids.size(), 256, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::copy_n(table + ids[i] * dim, dim, rows + i * dim);
    }
  });
  return absl::OkStatus();
}

absl::Status EmbeddingGradCpu(Context& ctx, const EmbeddingGradArgs& args,
                              Tensor* dtable) {
  const auto ids = Ids(args.ids);
  const int64_t dim = args.dout.dim(1);
  LT2_RETURN_IF_ERROR(CheckIds(ids, args.vocab));
  LT2_RETURN_IF_ERROR(ctx.Zero(dtable));
  if (dim == 0 || ids.empty()) return absl::OkStatus();
  const float* dout = args.dout.data<float>();
  float* table = dtable->data<float>();
  // Columns are independent, so threads share them out; each adds its part of
  // the rows in order.
  ctx.ParallelFor(dim, 32, [&](int64_t begin, int64_t end) {
    for (size_t i = 0; i < ids.size(); ++i) {
      const float* from = dout + i * dim;
      float* to = table + ids[i] * dim;
      for (int64_t d = begin; d < end; ++d) to[d] += from[d];
    }
  });
  return absl::OkStatus();
}

}  // namespace lt2::kernels
