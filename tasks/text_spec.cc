#include "tasks/text_spec.h"

#include "absl/strings/str_cat.h"
#include "kernels/core/json/json_reader.h"
#include "kernels/core/status.h"
#include "tasks/text_file.h"

namespace lt2::tasks {
namespace {

constexpr int64_t kMaxLength = 1 << 24;
constexpr double kDefaultValidFraction = 0.05;

absl::Status ReadFiles(const std::vector<std::string>& names,
                       absl::string_view directory, std::string* stream) {
  for (const std::string& name : names) {
    LT2_ASSIGN_OR_RETURN(const std::string text,
                         ReadTextFile(PathIn(directory, name)));
    LT2_RETURN_IF_ERROR(Annotate(AppendDocuments(text, stream), name));
  }
  return absl::OkStatus();
}

}  // namespace

nlohmann::json TextSpec::ToJson() const {
  nlohmann::json spec = {
      {"task", "text"}, {"length", length}, {"train_files", train_files}};
  if (valid_fraction > 0) {
    spec["valid_fraction"] = valid_fraction;
  } else {
    spec["valid_files"] = valid_files;
  }
  if (!test_files.empty()) spec["test_files"] = test_files;
  if (!tokenizer.empty()) {
    spec["tokenizer"] = tokenizer;
    spec["tokenizer_digest"] = tokenizer_digest;
  }
  return spec;
}

absl::StatusOr<TextSpec> ReadTextSpec(const nlohmann::json& spec,
                                      const std::string& path) {
  JsonReader reader(spec, path);
  reader.String("task", "text");
  TextSpec p;
  p.length = reader.Int("length", 256, 1, kMaxLength);
  p.train_files = reader.Strings("train_files");
  p.valid_files = reader.Strings("valid_files");
  p.test_files = reader.Strings("test_files");
  if (p.train_files.empty()) {
    reader.Fail("train_files", "must name at least one file");
  }
  const double fraction =
      reader.Float("valid_fraction", kDefaultValidFraction, 1e-6, 0.9);
  if (p.valid_files.empty()) {
    p.valid_fraction = fraction;
  } else if (reader.Has("valid_fraction")) {
    reader.Fail("valid_fraction", "cannot be given together with valid_files");
  }
  p.tokenizer = reader.String("tokenizer", "");
  p.tokenizer_digest = reader.String("tokenizer_digest", "");
  if (p.tokenizer.empty() && !p.tokenizer_digest.empty()) {
    reader.Fail("tokenizer_digest", "is given without a tokenizer");
  }
  LT2_RETURN_IF_ERROR(reader.Finish());
  return p;
}

std::string PathIn(absl::string_view directory, const std::string& name) {
  if (directory.empty() || (!name.empty() && name[0] == '/')) return name;
  return absl::StrCat(directory, "/", name);
}

absl::StatusOr<TextStreams> ReadStreams(const TextSpec& spec,
                                        const TaskOptions& options) {
  TextStreams s;
  const absl::string_view directory = options.data_dir;
  LT2_RETURN_IF_ERROR(Annotate(ReadFiles(spec.train_files, directory, &s.train),
                               KeyPath(options, "train_files")));
  LT2_RETURN_IF_ERROR(Annotate(ReadFiles(spec.valid_files, directory, &s.valid),
                               KeyPath(options, "valid_files")));
  LT2_RETURN_IF_ERROR(Annotate(ReadFiles(spec.test_files, directory, &s.test),
                               KeyPath(options, "test_files")));
  if (!spec.valid_files.empty() && s.valid.empty()) {
    return InvalidArgument(KeyPath(options, "valid_files"), ": hold no text");
  }
  if (!spec.test_files.empty() && s.test.empty()) {
    return InvalidArgument(KeyPath(options, "test_files"), ": hold no text");
  }
  return s;
}

std::string KeyPath(const TaskOptions& options, absl::string_view key) {
  return options.path.empty() ? std::string(key)
                              : absl::StrCat(options.path, ".", key);
}

}  // namespace lt2::tasks
