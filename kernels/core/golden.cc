#include "kernels/core/golden.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "nlohmann/json.hpp"

namespace lt2 {
namespace {

using Json = nlohmann::json;

struct File {
  Json header;
  std::string bytes;  // what follows the header
};

absl::StatusOr<File> Read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat("cannot open ", path));
  std::stringstream buffer;
  buffer << in.rdbuf();
  std::string all = buffer.str();
  uint64_t length = 0;
  if (all.size() < sizeof(length)) {
    return absl::DataLossError(absl::StrCat(path, ": no header"));
  }
  std::memcpy(&length, all.data(), sizeof(length));
  if (length > all.size() - sizeof(length)) {
    return absl::DataLossError(
        absl::StrCat(path, ": header of ", length, " bytes passes the end"));
  }
  File file;
  file.header = Json::parse(all.substr(sizeof(length), length), nullptr,
                            /*allow_exceptions=*/false);
  if (!file.header.is_object()) {
    return absl::DataLossError(absl::StrCat(path, ": header is not JSON"));
  }
  file.bytes = all.substr(sizeof(length) + length);
  return file;
}

template <typename T>
std::vector<double> Convert(const char* bytes, int64_t n) {
  std::vector<T> raw(n);
  if (n > 0) std::memcpy(raw.data(), bytes, n * sizeof(T));
  return std::vector<double>(raw.begin(), raw.end());
}

std::vector<double> ConvertBFloat16(const char* bytes, int64_t n) {
  std::vector<double> values(n);
  for (int64_t i = 0; i < n; ++i) {
    BFloat16 x;
    std::memcpy(&x, bytes + i * sizeof(x), sizeof(x));
    values[i] = ToFloat(x);
  }
  return values;
}

struct Kind {
  const char* name;
  int64_t size;
  std::vector<double> (*convert)(const char*, int64_t);
};
constexpr Kind kKinds[] = {
    {"F64", 8, Convert<double>},  {"F32", 4, Convert<float>},
    {"BF16", 2, ConvertBFloat16}, {"I64", 8, Convert<int64_t>},
    {"I32", 4, Convert<int32_t>}, {"I16", 2, Convert<int16_t>},
    {"I8", 1, Convert<int8_t>},   {"U8", 1, Convert<uint8_t>},
    {"BOOL", 1, Convert<uint8_t>}};

absl::StatusOr<GoldenTensor> Decode(const Json& entry,
                                    const std::string& bytes) {
  try {
    const std::string dtype = entry.at("dtype");
    const std::vector<int64_t> dims = entry.at("shape");
    const std::vector<int64_t> range = entry.at("data_offsets");
    if (dims.size() > Shape::kMaxRank) {
      return absl::DataLossError(absl::StrCat("rank ", dims.size()));
    }
    GoldenTensor tensor;
    tensor.shape = Shape(absl::Span<const int64_t>(dims));
    const int64_t n = tensor.shape.numel();
    for (const Kind& kind : kKinds) {
      if (dtype != kind.name) continue;
      if (range.size() != 2 || range[0] < 0 ||
          range[1] > static_cast<int64_t>(bytes.size()) ||
          range[1] - range[0] != n * kind.size) {
        return absl::DataLossError(absl::StrCat("byte range does not hold ", n,
                                                " values of type ", dtype));
      }
      tensor.values = kind.convert(bytes.data() + range[0], n);
      return tensor;
    }
    return absl::DataLossError(absl::StrCat("dtype ", dtype));
  } catch (const Json::exception& error) {
    return absl::DataLossError(error.what());
  }
}

}  // namespace

absl::StatusOr<std::map<std::string, GoldenTensor>> ReadGolden(
    const std::string& path) {
  LT2_ASSIGN_OR_RETURN(const File file, Read(path));
  std::map<std::string, GoldenTensor> tensors;
  for (const auto& [name, entry] : file.header.items()) {
    if (name == "__metadata__") continue;
    auto tensor = Decode(entry, file.bytes);
    if (!tensor.ok()) {
      return Annotate(tensor.status(), absl::StrCat(path, ", ", name));
    }
    tensors[name] = std::move(tensor).value();
  }
  return tensors;
}

absl::StatusOr<std::map<std::string, std::string>> ReadGoldenMetadata(
    const std::string& path) {
  LT2_ASSIGN_OR_RETURN(const File file, Read(path));
  std::map<std::string, std::string> metadata;
  const auto found = file.header.find("__metadata__");
  if (found == file.header.end()) return metadata;
  for (const auto& [name, value] : found->items()) {
    metadata[name] =
        value.is_string() ? value.get<std::string>() : value.dump();
  }
  return metadata;
}

std::vector<std::string> GoldenFiles(const std::string& directory,
                                     const std::string& prefix) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(prefix, 0) == 0 &&
        entry.path().extension() == ".safetensors") {
      paths.push_back(entry.path().string());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace lt2
