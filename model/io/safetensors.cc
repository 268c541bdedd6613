#include "model/io/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <tuple>

#include "absl/cleanup/cleanup.h"
#include "kernels/core/json/strict_json.h"
#include "model/io/safetensors_header.h"

namespace lt2::model {
namespace {

static_assert(std::endian::native == std::endian::little,
              "data is copied as it is stored");

constexpr int64_t kLengthBytes = 8;

absl::Status OpenError(absl::string_view doing, absl::string_view path) {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot ", doing, " '", path,
                                                 "' (errno ", errno, ")"));
}

float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1Fu;
  const uint32_t fraction = half & 0x3FFu;
  if (exponent == 0) {  // zero and subnormals: fraction * 2^-24
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign == 0 ? magnitude : -magnitude;
  }
  const uint32_t rebiased = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | (rebiased << 23) | (fraction << 13));
}

bool IsFloat(SafetensorsDType dtype) {
  return dtype == SafetensorsDType::kF32 || dtype == SafetensorsDType::kBF16 ||
         dtype == SafetensorsDType::kF16;
}

// Element i of floats that may lie at any address.
float FloatAt(SafetensorsDType dtype, const uint8_t* data, int64_t i) {
  if (dtype == SafetensorsDType::kF32) {
    float value;
    std::memcpy(&value, data + 4 * i, sizeof(value));
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, data + 2 * i, sizeof(bits));
  return dtype == SafetensorsDType::kBF16 ? ToFloat(BFloat16{bits})
                                          : HalfToFloat(bits);
}

template <typename T, typename Convert>
absl::StatusOr<Tensor> LoadConverted(Context& ctx, const SafetensorsInfo& info,
                                     const uint8_t* data, const Shape& shape,
                                     Convert convert) {
  std::vector<T> values(shape.numel());
  for (int64_t i = 0; i < shape.numel(); ++i) {
    values[i] = convert(FloatAt(info.dtype, data, i));
  }
  return ctx.FromHost<T>(values, shape);
}

}  // namespace

SafetensorsDType ToSafetensorsDType(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return SafetensorsDType::kF32;
    case DType::kBF16:
      return SafetensorsDType::kBF16;
    case DType::kI32:
      return SafetensorsDType::kI32;
    case DType::kI64:
      return SafetensorsDType::kI64;
    case DType::kU8:
      return SafetensorsDType::kU8;
  }
  LT2_CHECK(false, "dtype ", static_cast<int>(dtype));
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(
    absl::string_view path_view) {
  const std::string path(path_view);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return OpenError("open", path);
  const auto closer = absl::MakeCleanup([fd] { close(fd); });
  struct stat info;
  if (fstat(fd, &info) != 0) return OpenError("inspect", path);
  if (!S_ISREG(info.st_mode)) {
    return InvalidArgument("'", path, "' is not a file");
  }
  SafetensorsFile file;
  file.source_ = path;
  const size_t size = static_cast<size_t>(info.st_size);
  if (size == 0) {  // which mmap refuses
    LT2_RETURN_IF_ERROR(file.Index(""));
    return file;
  }
  void* mapped = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (mapped == MAP_FAILED) return OpenError("map", path);
  file.keep_alive_ = std::shared_ptr<const void>(
      mapped, [mapped, size](const void*) { munmap(mapped, size); });
  LT2_RETURN_IF_ERROR(
      file.Index(absl::string_view(static_cast<const char*>(mapped), size)));
  return file;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Parse(
    absl::string_view bytes, absl::string_view source) {
  SafetensorsFile file;
  file.source_ = std::string(source);
  auto copy = std::make_shared<const std::string>(bytes);
  file.keep_alive_ = copy;
  LT2_RETURN_IF_ERROR(file.Index(*copy));
  return file;
}

absl::Status SafetensorsFile::Index(absl::string_view bytes) {
  const int64_t size = static_cast<int64_t>(bytes.size());
  if (size < kLengthBytes) {
    return absl::DataLossError(
        absl::StrCat(source_, ": ", size,
                     " bytes; a safetensors file has at least ", kLengthBytes));
  }
  uint64_t length;
  std::memcpy(&length, bytes.data(), sizeof(length));
  if (length > static_cast<uint64_t>(kMaxHeaderBytes)) {
    return InvalidArgument(source_, ": a header of ", length,
                           " bytes, at most ", kMaxHeaderBytes,
                           " are read (is this a safetensors file?)");
  }
  if (static_cast<int64_t>(length) > size - kLengthBytes) {
    return absl::DataLossError(absl::StrCat(
        source_, ": a header of ", length, " bytes, but only ",
        size - kLengthBytes, " bytes follow its length: truncated?"));
  }
  LT2_ASSIGN_OR_RETURN(internal::SafetensorsHeader header,
                       internal::ParseSafetensorsHeader(
                           bytes.substr(kLengthBytes, length), source_));
  data_ = bytes.substr(kLengthBytes + length);
  metadata_ = std::move(header.metadata);
  tensors_ = std::move(header.tensors);

  // The header may list tensors in any order; the data has no gaps.
  std::stable_sort(tensors_.begin(), tensors_.end(),
                   [](const SafetensorsInfo& a, const SafetensorsInfo& b) {
                     return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
                   });
  const int64_t data_size = static_cast<int64_t>(data_.size());
  int64_t position = 0;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const SafetensorsInfo& info = tensors_[i];
    if (info.begin != position) {
      return InvalidArgument(
          source_, ": tensor ", info.ToString(), " starts at byte ", info.begin,
          " of the data, ",
          info.begin < position ? "inside" : "past the end of",
          " the tensor before it, which ends at ", position);
    }
    if (info.end > data_size) {
      return absl::DataLossError(absl::StrCat(
          source_, ": tensor ", info.ToString(), " ends at byte ", info.end,
          " of the data, but there are ", data_size, ": truncated?"));
    }
    position = info.end;
    by_name_.emplace(info.name, i);
  }
  if (position != data_size) {
    return InvalidArgument(source_, ": ", data_size - position,
                           " bytes after the last tensor, which ends at ",
                           position, " of ", data_size);
  }
  return absl::OkStatus();
}

const SafetensorsInfo* SafetensorsFile::Find(absl::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

absl::StatusOr<absl::Span<const uint8_t>> SafetensorsFile::Data(
    absl::string_view name) const {
  const SafetensorsInfo* info = Find(name);
  if (info == nullptr) {
    return absl::NotFoundError(absl::StrCat(
        source_, ": no tensor ", Quoted(name), " among ", tensors_.size()));
  }
  return absl::Span<const uint8_t>(
      reinterpret_cast<const uint8_t*>(data_.data()) + info->begin,
      info->end - info->begin);
}

absl::StatusOr<Tensor> SafetensorsFile::Load(Context& ctx,
                                             absl::string_view name,
                                             DType wanted) const {
  LT2_ASSIGN_OR_RETURN(const absl::Span<const uint8_t> bytes, Data(name));
  const SafetensorsInfo& info = *Find(name);
  if (info.shape.size() > Shape::kMaxRank) {
    return InvalidArgument(source_, ": tensor ", info.ToString(), " has rank ",
                           info.shape.size(), ", at most ", Shape::kMaxRank,
                           " can be loaded");
  }
  const Shape shape(info.shape);
  if (ToSafetensorsDType(wanted) == info.dtype) {
    LT2_ASSIGN_OR_RETURN(Tensor tensor, ctx.Empty(wanted, shape));
    LT2_RETURN_IF_ERROR(ctx.CopyFromHost(bytes.data(), &tensor));
    return tensor;
  }
  if (IsFloat(info.dtype) && wanted == DType::kF32) {
    return LoadConverted<float>(ctx, info, bytes.data(), shape,
                                [](float x) { return x; });
  }
  if (IsFloat(info.dtype) && wanted == DType::kBF16) {
    return LoadConverted<BFloat16>(ctx, info, bytes.data(), shape, ToBFloat16);
  }
  return InvalidArgument(source_, ": tensor ", info.ToString(),
                         " cannot be loaded as ", lt2::Name(wanted));
}

}  // namespace lt2::model
