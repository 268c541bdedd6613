// Checks that the operators of this folder share.

#include <cmath>

#include "kernels/core/checks.h"
#include "kernels/sparse_attention/sparse_internal.h"

namespace lt2::kernels::sparse {

absl::Status CheckActivation(absl::string_view what, const Tensor& x, int rank,
                             absl::string_view shape) {
  LT2_RETURN_IF_ERROR(ExpectActivation(what, x));
  if (x.rank() == rank) return absl::OkStatus();
  return InvalidArgument(what, " is ", x.ToString(), ", must be ", shape);
}

absl::Status CheckBf16OnGpu(absl::string_view what, const Tensor& x) {
  if (x.device() == Device::kCPU || x.dtype() == DType::kBF16) {
    return absl::OkStatus();
  }
  return InvalidArgument(what, " on a GPU needs bf16, got ", x.ToString());
}

absl::Status CheckHeads(int64_t heads, int64_t kv_heads) {
  if (kv_heads > 0 ? heads % kv_heads == 0 : heads == 0) {
    return absl::OkStatus();
  }
  return InvalidArgument(heads, " query heads are not a multiple of ", kv_heads,
                         " key-value heads");
}

absl::Status CheckDim(absl::string_view what, const Tensor& x, int64_t most) {
  const int64_t dim = x.dim(-1);
  if (dim < 1) {
    return InvalidArgument(what, " is ", x.ToString(),
                           ", its last dimension must be >= 1");
  }
  if (x.device() == Device::kCPU || (dim % 8 == 0 && dim <= most)) {
    return absl::OkStatus();
  }
  return InvalidArgument("the last dimension of ", what, " is ", dim,
                         ", must be a multiple of 8 up to ", most, " on a GPU");
}

absl::Status CheckScale(absl::string_view what, float scale) {
  if (std::isfinite(scale) && scale > 0) return absl::OkStatus();
  return InvalidArgument(what, " is ", scale, ", must be finite and > 0");
}

absl::Status CheckBlockSize(int64_t block_size) {
  if (block_size >= 1) return absl::OkStatus();
  return InvalidArgument("block_size is ", block_size, ", must be >= 1");
}

absl::Status CheckLengths(const Tensor& lengths, const Tensor& like,
                          int64_t batch) {
  if (!lengths.defined()) return absl::OkStatus();
  return ExpectTensor("lengths", lengths, like.device(), DType::kI32, {batch});
}

absl::Status CheckLengthValues(const Tensor& lengths, int64_t limit) {
  if (!lengths.defined() || lengths.device() != Device::kCPU) {
    return absl::OkStatus();
  }
  const int32_t* n = lengths.data<int32_t>();
  for (int64_t b = 0; b < lengths.numel(); ++b) {
    if (n[b] < 0 || n[b] > limit) {
      return InvalidArgument("lengths[", b, "] is ", n[b], ", must be in [0, ",
                             limit, "]");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckIndexValues(const Tensor& indices, int64_t blocks) {
  if (!indices.defined() || indices.device() != Device::kCPU) {
    return absl::OkStatus();
  }
  const int32_t* index = indices.data<int32_t>();
  for (int64_t i = 0; i < indices.numel(); ++i) {
    if (index[i] < -1 || index[i] >= blocks) {
      return InvalidArgument("indices[", i, "] is ", index[i],
                             ", must be in [-1, ", blocks, ")");
    }
  }
  return absl::OkStatus();
}

}  // namespace lt2::kernels::sparse
