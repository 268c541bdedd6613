#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_join.h"
#include "kernels/core/json/strict_json.h"
#include "model/io/atomic_file.h"
#include "model/io/safetensors.h"
#include "model/io/safetensors_header.h"

namespace lt2::model {
namespace {

absl::StatusOr<std::string> JsonString(absl::string_view text,
                                       absl::string_view path) {
  if (!IsValidUtf8(text)) {
    return InvalidArgument(path, ": not UTF-8: ", Quoted(text));
  }
  return nlohmann::json(std::string(text)).dump();
}

absl::StatusOr<std::string> Header(
    absl::string_view path, absl::Span<const SafetensorsEntry> entries,
    const std::map<std::string, std::string>& metadata) {
  std::vector<std::string> members;
  if (!metadata.empty()) {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : metadata) {
      LT2_ASSIGN_OR_RETURN(const std::string k, JsonString(key, path));
      LT2_ASSIGN_OR_RETURN(const std::string v, JsonString(value, path));
      pairs.push_back(absl::StrCat(k, ":", v));
    }
    members.push_back(
        absl::StrCat("\"__metadata__\":{", absl::StrJoin(pairs, ","), "}"));
  }
  absl::flat_hash_set<std::string> names = {"__metadata__"};
  int64_t position = 0;
  for (const SafetensorsEntry& entry : entries) {
    SafetensorsInfo info;
    info.name = entry.name;
    info.dtype = entry.dtype;
    info.shape = entry.shape;
    if (entry.tensor.defined()) {
      const absl::Span<const int64_t> dims = entry.tensor.shape().dims();
      info.dtype = ToSafetensorsDType(entry.tensor.dtype());
      info.shape.assign(dims.begin(), dims.end());
    }
    if (!names.insert(entry.name).second) {
      return InvalidArgument(path, ": the name ", Quoted(entry.name),
                             " is reserved or given twice");
    }
    if (info.shape.size() > SafetensorsFile::kMaxRank) {
      return InvalidArgument(path, ": tensor ", info.ToString(), " has rank ",
                             info.shape.size(), ", at most ",
                             SafetensorsFile::kMaxRank, " can be written");
    }
    LT2_ASSIGN_OR_RETURN(const int64_t bytes, internal::CheckedBytes(info));
    if (!entry.tensor.defined() &&
        bytes != static_cast<int64_t>(entry.bytes.size())) {
      return InvalidArgument(path, ": tensor ", info.ToString(), " needs ",
                             bytes, " bytes, got ", entry.bytes.size());
    }
    LT2_ASSIGN_OR_RETURN(const std::string name, JsonString(entry.name, path));
    members.push_back(
        absl::StrCat(name, ":{\"dtype\":\"", Name(info.dtype), "\",\"shape\":[",
                     absl::StrJoin(info.shape, ","), "],\"data_offsets\":[",
                     position, ",", position + bytes, "]}"));
    position += bytes;
  }
  std::string header = absl::StrCat("{", absl::StrJoin(members, ","), "}");
  while (header.size() % 8 != 0) header += ' ';
  if (static_cast<int64_t>(header.size()) > SafetensorsFile::kMaxHeaderBytes) {
    return InvalidArgument(path, ": a header of ", header.size(),
                           " bytes, at most ", SafetensorsFile::kMaxHeaderBytes,
                           " are read back");
  }
  return header;
}

}  // namespace

absl::Status WriteSafetensors(
    Context& ctx, absl::string_view path,
    absl::Span<const SafetensorsEntry> entries,
    const std::map<std::string, std::string>& metadata) {
  LT2_ASSIGN_OR_RETURN(const std::string header,
                       Header(path, entries, metadata));
  LT2_ASSIGN_OR_RETURN(auto file, AtomicFileWriter::Create(path));
  const uint64_t length = header.size();
  LT2_RETURN_IF_ERROR(file->Append(absl::string_view(
      reinterpret_cast<const char*>(&length), sizeof(length))));
  LT2_RETURN_IF_ERROR(file->Append(header));
  std::string host;
  for (const SafetensorsEntry& entry : entries) {
    if (!entry.tensor.defined()) {
      LT2_RETURN_IF_ERROR(file->Append(
          absl::string_view(reinterpret_cast<const char*>(entry.bytes.data()),
                            entry.bytes.size())));
      continue;
    }
    host.resize(entry.tensor.bytes());
    LT2_RETURN_IF_ERROR(ctx.CopyToHost(entry.tensor, host.data()));
    LT2_RETURN_IF_ERROR(file->Append(host));
  }
  return file->Commit();
}

}  // namespace lt2::model
