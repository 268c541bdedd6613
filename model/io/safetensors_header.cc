#include "model/io/safetensors_header.h"

#include <limits>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_join.h"
#include "kernels/core/json/strict_json.h"

namespace lt2::model {
namespace {

struct DTypeRow {
  SafetensorsDType dtype;
  const char* name;
  int64_t bytes;
};

// In the order of the enumeration.
constexpr DTypeRow kDTypes[] = {
    {SafetensorsDType::kBool, "BOOL", 1},
    {SafetensorsDType::kU8, "U8", 1},
    {SafetensorsDType::kI8, "I8", 1},
    {SafetensorsDType::kF8E5M2, "F8_E5M2", 1},
    {SafetensorsDType::kF8E4M3, "F8_E4M3", 1},
    {SafetensorsDType::kF8E8M0, "F8_E8M0", 1},
    {SafetensorsDType::kI16, "I16", 2},
    {SafetensorsDType::kU16, "U16", 2},
    {SafetensorsDType::kF16, "F16", 2},
    {SafetensorsDType::kBF16, "BF16", 2},
    {SafetensorsDType::kI32, "I32", 4},
    {SafetensorsDType::kU32, "U32", 4},
    {SafetensorsDType::kF32, "F32", 4},
    {SafetensorsDType::kI64, "I64", 8},
    {SafetensorsDType::kU64, "U64", 8},
    {SafetensorsDType::kF64, "F64", 8},
    {SafetensorsDType::kC64, "C64", 8},
};

}  // namespace

const char* Name(SafetensorsDType dtype) {
  return kDTypes[static_cast<int>(dtype)].name;
}

int64_t ByteSize(SafetensorsDType dtype) {
  return kDTypes[static_cast<int>(dtype)].bytes;
}

std::string SafetensorsInfo::ToString() const {
  return absl::StrCat(Quoted(name), " ", lt2::model::Name(dtype), "[",
                      absl::StrJoin(shape, ", "), "]");
}

namespace internal {
namespace {

using nlohmann::json;

// The reader's place in the header. kTensor and below belong to one tensor.
enum class Place {
  kStart,     // before the outermost {
  kTop,       // in it: names of tensors
  kMetadata,  // in "__metadata__"
  kTensor,    // in a tensor's description
  kShape,     // in its "shape" array
  kOffsets,   // in its "data_offsets" array
  kEnd,
};

class HeaderHandler : public nlohmann::json_sax<json> {
 public:
  explicit HeaderHandler(absl::string_view source) : source_(source) {}

  bool null() override { return Unexpected("null"); }
  bool boolean(bool value) override {
    return Unexpected(value ? "true" : "false");
  }
  bool number_integer(int64_t value) override {
    return Unexpected(absl::StrCat(value));  // only negative ones come here
  }
  bool number_float(double, const std::string& text) override {
    return Unexpected(Quoted(text));
  }
  bool binary(json::binary_t&) override { return Unexpected("binary"); }

  bool number_unsigned(uint64_t value) override {
    if (place_ != Place::kShape && place_ != Place::kOffsets) {
      return Unexpected(absl::StrCat(value));
    }
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Unexpected(absl::StrCat(value));
    }
    if (place_ == Place::kShape) {
      if (tensor_.shape.size() >= SafetensorsFile::kMaxRank) {
        return Fail(absl::StrCat("rank above ", SafetensorsFile::kMaxRank));
      }
      tensor_.shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (offsets_ == 2) return Fail("more than two data_offsets");
    (offsets_ == 0 ? tensor_.begin : tensor_.end) = static_cast<int64_t>(value);
    ++offsets_;
    return true;
  }

  bool string(std::string& value) override {
    if (place_ == Place::kMetadata) {
      header_.metadata[key_] = std::move(value);
      return true;
    }
    if (place_ != Place::kTensor || key_ != "dtype") {
      return Unexpected(Quoted(value));
    }
    for (const DTypeRow& row : kDTypes) {
      if (value == row.name) {
        tensor_.dtype = row.dtype;
        return true;
      }
    }
    return Fail(absl::StrCat("unknown dtype ", Quoted(value)));
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::kStart) {
      place_ = Place::kTop;
      return true;
    }
    if (place_ != Place::kTop) return Unexpected("an object");
    if (key_ == "__metadata__") {
      place_ = Place::kMetadata;
      return true;
    }
    place_ = Place::kTensor;
    tensor_ = SafetensorsInfo();
    tensor_.name = key_;
    has_dtype_ = has_shape_ = has_offsets_ = false;
    return true;
  }

  bool key(std::string& name) override {
    switch (place_) {
      case Place::kTop:
        key_ = std::move(name);
        if (!names_.insert(key_).second) {
          return Fail(absl::StrCat("duplicate name ", Quoted(key_)));
        }
        return true;
      case Place::kMetadata:
        key_ = std::move(name);
        if (header_.metadata.count(key_) != 0) {
          return Fail(absl::StrCat("duplicate metadata key ", Quoted(key_)));
        }
        return true;
      default:
        break;
    }
    bool* seen = name == "dtype"          ? &has_dtype_
                 : name == "shape"        ? &has_shape_
                 : name == "data_offsets" ? &has_offsets_
                                          : nullptr;
    if (seen == nullptr) {
      return Fail(absl::StrCat("unknown key ", Quoted(name)));
    }
    if (*seen) return Fail(absl::StrCat("duplicate key ", Quoted(name)));
    *seen = true;
    key_ = std::move(name);
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor) {
      const char* missing = !has_dtype_     ? "dtype"
                            : !has_shape_   ? "shape"
                            : !has_offsets_ ? "data_offsets"
                                            : nullptr;
      if (missing != nullptr) return Fail(absl::StrCat("no ", missing));
      const absl::StatusOr<int64_t> bytes = CheckedBytes(tensor_);
      if (!bytes.ok()) return Fail(std::string(bytes.status().message()));
      if (tensor_.begin > tensor_.end ||
          tensor_.end - tensor_.begin != *bytes) {
        return Fail(absl::StrCat("data_offsets [", tensor_.begin, ", ",
                                 tensor_.end, "), but ", tensor_.ToString(),
                                 " has ", *bytes, " bytes"));
      }
      header_.tensors.push_back(std::move(tensor_));
    }
    place_ = place_ == Place::kTop ? Place::kEnd : Place::kTop;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::kTensor && key_ == "shape") {
      place_ = Place::kShape;
      return true;
    }
    if (place_ == Place::kTensor && key_ == "data_offsets") {
      place_ = Place::kOffsets;
      offsets_ = 0;
      return true;
    }
    return Unexpected("an array");
  }

  bool end_array() override {
    if (place_ == Place::kOffsets && offsets_ != 2) {
      return Fail("fewer than two data_offsets");
    }
    place_ = Place::kTensor;
    return true;
  }

  bool parse_error(std::size_t, const std::string&,
                   const nlohmann::detail::exception& error) override {
    return Fail(ParserMessage(error));
  }

  const absl::Status& status() const { return status_; }
  SafetensorsHeader Take() { return std::move(header_); }

 private:
  bool Fail(const std::string& message) {
    const bool in_tensor = place_ == Place::kTensor ||
                           place_ == Place::kShape || place_ == Place::kOffsets;
    const std::string where =
        in_tensor ? absl::StrCat("tensor ", Quoted(tensor_.name), ": ") : "";
    status_ = InvalidArgument(source_, ": header: ", where, message);
    return false;
  }

  // A value of the wrong kind for its place.
  bool Unexpected(absl::string_view value) {
    std::string expected;
    switch (place_) {
      case Place::kStart:
      case Place::kEnd:
        expected = "an object";
        break;
      case Place::kTop:
        expected = absl::StrCat(Quoted(key_), ": expected an object");
        break;
      case Place::kMetadata:
        expected =
            absl::StrCat("__metadata__.", Quoted(key_), ": expected a string");
        break;
      case Place::kTensor:
        expected =
            absl::StrCat(key_, ": expected ",
                         key_ == "dtype" ? "a string" : "an array of integers");
        break;
      case Place::kShape:
      case Place::kOffsets:
        expected = absl::StrCat(key_, ": expected an integer in [0, 2^63 - 1]");
        break;
    }
    return Fail(absl::StrCat(expected, ", got ", value));
  }

  const absl::string_view source_;
  absl::Status status_;
  SafetensorsHeader header_;
  Place place_ = Place::kStart;
  std::string key_;
  absl::flat_hash_set<std::string> names_;
  SafetensorsInfo tensor_;
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
  int offsets_ = 0;
};

}  // namespace

absl::StatusOr<int64_t> CheckedBytes(const SafetensorsInfo& info) {
  int64_t bytes = ByteSize(info.dtype);
  for (int64_t extent : info.shape) {
    if (extent < 0 || __builtin_mul_overflow(bytes, extent, &bytes)) {
      return InvalidArgument("the size of ", info.ToString(),
                             " does not fit 63 bits");
    }
  }
  return bytes;
}

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(
    absl::string_view text, absl::string_view source) {
  // The parser takes a NUL for the end of the text and skips what precedes {.
  const size_t nul = text.find('\0');
  if (nul != absl::string_view::npos) {
    return InvalidArgument(source, ": NUL byte at offset ", nul,
                           " of the header");
  }
  if (text.empty() || text[0] != '{') {
    return InvalidArgument(source, ": the header does not start with '{' but ",
                           Quoted(text.substr(0, 1)));
  }
  HeaderHandler handler(source);
  if (!json::sax_parse(text.begin(), text.end(), &handler)) {
    return handler.status();
  }
  return handler.Take();
}

}  // namespace internal
}  // namespace lt2::model
