#include "kernels/core/tensor.h"

#include <algorithm>

#include "absl/strings/str_join.h"

namespace lt2 {

Shape::Shape(absl::Span<const int64_t> dims)
    : rank_(static_cast<int>(dims.size())) {
  LT2_CHECK(rank_ <= kMaxRank, "rank ", rank_);
  for (int64_t d : dims) LT2_CHECK(d >= 0, "negative extent ", d);
  std::copy(dims.begin(), dims.end(), dims_);
}

int64_t Shape::dim(int i) const {
  if (i < 0) i += rank_;
  LT2_CHECK(i >= 0 && i < rank_, "dimension ", i, " of ", ToString());
  return dims_[i];
}

int64_t Shape::numel() const {
  int64_t n = 1;
  for (int64_t d : dims()) n *= d;
  return n;
}

std::string Shape::ToString() const {
  return absl::StrCat("[", absl::StrJoin(dims(), ", "), "]");
}

void* Tensor::raw() const {
  LT2_CHECK(defined(), "undefined tensor");
  return static_cast<char*>(buffer_->data()) + offset_;
}

Tensor Tensor::Reshape(const Shape& shape) const {
  LT2_CHECK(shape.numel() == numel(), shape_.ToString(), " to ",
            shape.ToString());
  Tensor result = *this;
  result.shape_ = shape;
  return result;
}

Tensor Tensor::Slice(int64_t begin, int64_t end) const {
  LT2_CHECK(rank() >= 1 && 0 <= begin && begin <= end && end <= dim(0), "[",
            begin, ", ", end, ") of ", shape_.ToString());
  std::vector<int64_t> dims(shape_.dims().begin(), shape_.dims().end());
  const int64_t row_bytes = dims[0] == 0 ? 0 : bytes() / dims[0];
  dims[0] = end - begin;
  Tensor result = *this;
  result.shape_ = Shape(dims);
  result.offset_ += begin * row_bytes;
  return result;
}

int64_t Tensor::rows() const {
  LT2_CHECK(rank() >= 1);
  int64_t n = 1;
  for (int i = 0; i + 1 < rank(); ++i) n *= dim(i);
  return n;
}

std::string Tensor::ToString() const {
  if (!defined()) return "undefined";
  return absl::StrCat(Name(dtype_), shape_.ToString(), "@", Name(device_));
}

absl::Status ExpectTensor(absl::string_view what, const Tensor& tensor,
                          Device device, DType dtype, const Shape& shape) {
  if (tensor.defined() && tensor.device() == device &&
      tensor.dtype() == dtype && tensor.shape() == shape) {
    return absl::OkStatus();
  }
  return InvalidArgument(what, ": expected ", Name(dtype), shape.ToString(),
                         "@", Name(device), ", got ", tensor.ToString());
}

}  // namespace lt2
