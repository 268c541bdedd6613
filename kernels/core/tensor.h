// Tensor: a contiguous row-major array on the CPU or on a CUDA device.
//
// A Tensor is a handle: copying it shares the elements, as does Reshape and
// Slice. Rank is at most 5. An undefined Tensor (the default) stands for an
// absent optional argument. Tensors are allocated by a Context (context.h).
//
// Conventions of this repository:
//   sequences            [batch, seq, heads, dim]
//   recurrent states     [batch, heads, d_k, d_v], f32
//   log decays           [batch, seq, heads], f32, <= 0
//
// Thread-compatible: the handle is a value; the elements have no lock.

#ifndef LT2_KERNELS_CORE_TENSOR_H_
#define LT2_KERNELS_CORE_TENSOR_H_

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

#include "absl/types/span.h"
#include "kernels/core/dtype.h"
#include "kernels/core/status.h"

namespace lt2 {

enum class Device : uint8_t { kCPU, kCUDA };

constexpr const char* Name(Device device) {
  return device == Device::kCPU ? "cpu" : "cuda";
}

// Extents of a tensor, outermost first.
class Shape {
 public:
  static constexpr int kMaxRank = 5;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims)
      : Shape(absl::Span<const int64_t>(dims.begin(), dims.size())) {}
  explicit Shape(absl::Span<const int64_t> dims);

  int rank() const { return rank_; }
  // Negative indexes count from the end.
  int64_t dim(int i) const;
  int64_t numel() const;
  absl::Span<const int64_t> dims() const { return {dims_, size_t(rank_)}; }
  std::string ToString() const;  // "[2, 37, 4, 64]"

  friend bool operator==(const Shape& a, const Shape& b) {
    return a.dims() == b.dims();
  }
  friend bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }

 private:
  int rank_ = 0;
  int64_t dims_[kMaxRank] = {};
};

// Memory shared by tensors; released to its arena with the last of them.
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual void* data() const = 0;
};

class Tensor {
 public:
  Tensor() = default;
  Tensor(std::shared_ptr<Buffer> buffer, Device device, DType dtype,
         const Shape& shape)
      : buffer_(std::move(buffer)),
        device_(device),
        dtype_(dtype),
        shape_(shape) {}

  bool defined() const { return buffer_ != nullptr; }
  Device device() const { return device_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t dim(int i) const { return shape_.dim(i); }
  int64_t numel() const { return shape_.numel(); }
  int64_t bytes() const {
    return numel() * static_cast<int64_t>(ByteSize(dtype_));
  }

  // First element, whatever the type.
  void* raw() const;
  // First element; T must be the element type.
  template <typename T>
  T* data() const {
    LT2_CHECK(DTypeOf<T>::value == dtype_, "tensor is ", Name(dtype_));
    return static_cast<T*>(raw());
  }

  // The same elements under another shape of equal size.
  Tensor Reshape(const Shape& shape) const;
  // Elements [begin, end) of the outermost dimension.
  Tensor Slice(int64_t begin, int64_t end) const;
  // The product of all dimensions but the last: rows of a [rows, dim] matrix.
  int64_t rows() const;

  // "bf16[2, 37, 64]@cuda"
  std::string ToString() const;

 private:
  std::shared_ptr<Buffer> buffer_;
  int64_t offset_ = 0;  // bytes
  Device device_ = Device::kCPU;
  DType dtype_ = DType::kF32;
  Shape shape_;
};

// An error naming `what` unless `tensor` is defined and has this type, device
// and shape.
absl::Status ExpectTensor(absl::string_view what, const Tensor& tensor,
                          Device device, DType dtype, const Shape& shape);

}  // namespace lt2

#endif  // LT2_KERNELS_CORE_TENSOR_H_
