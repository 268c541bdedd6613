// The safetensors format (github.com/huggingface/safetensors): reader, writer.
//
//   8 bytes   N, the header's length, little-endian
//   N bytes   a JSON object: name -> {"dtype", "shape", "data_offsets"}, and
//             optionally "__metadata__" -> {string: string}; may be padded
//             with spaces
//   the rest  the tensors' elements, row-major, little-endian, back to back
//
// The reader checks everything before it hands out a byte: the header's length
// against the file's and a cap of 100 MB; no duplicate or unknown keys; known
// types; shapes and offsets that are integers, fit and agree; data without gaps
// or overlap up to the end of the file; names in UTF-8. A truncated file is
// DataLoss, anything else wrong InvalidArgument; messages name file, tensor
// and values. Memory is proportional to the header, not to what it claims.
//
// All types of the format but those below one byte are kept, as is a rank of up
// to 32; what a Tensor cannot hold is an error only when that tensor is loaded.
// A file is memory-mapped: replacing it by rename is safe, truncating it in
// place while it is open is not.

#ifndef LT2_MODEL_IO_SAFETENSORS_H_
#define LT2_MODEL_IO_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/core/context.h"

namespace lt2::model {

enum class SafetensorsDType : uint8_t {
  kBool,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kI64,
  kU64,
  kF64,
  kC64,
};

// "F32" and 4.
const char* Name(SafetensorsDType dtype);
int64_t ByteSize(SafetensorsDType dtype);
SafetensorsDType ToSafetensorsDType(DType dtype);

struct SafetensorsInfo {
  std::string name;
  SafetensorsDType dtype = SafetensorsDType::kF32;
  std::vector<int64_t> shape;
  int64_t begin = 0;  // bytes from the start of the data
  int64_t end = 0;

  std::string ToString() const;  // "'blocks.0.wq' F32[64, 64]"
};

class SafetensorsFile {
 public:
  static constexpr int64_t kMaxHeaderBytes = 100'000'000;
  static constexpr int kMaxRank = 32;

  static absl::StatusOr<SafetensorsFile> Open(absl::string_view path);
  // A copy of `bytes`; `source` names them in errors.
  static absl::StatusOr<SafetensorsFile> Parse(
      absl::string_view bytes, absl::string_view source = "safetensors");

  // In the order of their data.
  const std::vector<SafetensorsInfo>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const {
    return metadata_;
  }
  const std::string& source() const { return source_; }

  // nullptr if there is no such tensor.
  const SafetensorsInfo* Find(absl::string_view name) const;
  // The elements as stored; valid while a copy of this object lives. They may
  // start at any address: the format does not align them.
  absl::StatusOr<absl::Span<const uint8_t>> Data(absl::string_view name) const;
  // The elements on ctx's device. F32, BF16 and F16 convert to kF32 and kBF16
  // (round to nearest even); I32, I64 and U8 load only as themselves.
  absl::StatusOr<Tensor> Load(Context& ctx, absl::string_view name,
                              DType wanted) const;

 private:
  SafetensorsFile() = default;
  absl::Status Index(absl::string_view bytes);

  std::string source_;
  std::shared_ptr<const void> keep_alive_;
  absl::string_view data_;
  std::vector<SafetensorsInfo> tensors_;
  absl::flat_hash_map<std::string, size_t> by_name_;
  std::map<std::string, std::string> metadata_;
};

// One tensor to write: either `tensor`, or dtype, shape and bytes.
struct SafetensorsEntry {
  std::string name;
  Tensor tensor;
  SafetensorsDType dtype = SafetensorsDType::kF32;
  std::vector<int64_t> shape;
  absl::Span<const uint8_t> bytes;
};

// Writes atomically, in the order given; the same input gives the same bytes.
// Tensors are copied from the device one at a time. The header is padded so
// that the data starts at a multiple of 8.
absl::Status WriteSafetensors(
    Context& ctx, absl::string_view path,
    absl::Span<const SafetensorsEntry> entries,
    const std::map<std::string, std::string>& metadata = {});

}  // namespace lt2::model

#endif  // LT2_MODEL_IO_SAFETENSORS_H_
