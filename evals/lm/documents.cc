#include "evals/lm/documents.h"

#include <map>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "evals/lm/encoding.h"
#include "kernels/core/hash.h"
#include "kernels/core/json/strict_json.h"
#include "tasks/text_file.h"

namespace lt2::evals {
namespace {

constexpr absl::string_view kSeparator = "<|endoftext|>";
constexpr int64_t kMaxDataBytes = int64_t{1} << 30;

std::map<std::string, DocumentGenerator>& Generators() {
  static auto* generators = new std::map<std::string, DocumentGenerator>();
  return *generators;
}

// Adds the item unless `where` leaves it out.
absl::Status AddItem(const Suite& suite, nlohmann::json fields,
                     const std::string& place, Documents* documents) {
  if (!fields.is_object()) {
    return InvalidArgument(place, ": expected a JSON object, got ",
                           fields.dump().substr(0, 60));
  }
  for (const auto& [key, wanted] : suite.where) {
    const auto value = FieldAt(fields, key);
    if (!value.ok()) return Annotate(value.status(), place);
    if (*value != wanted) return absl::OkStatus();
  }
  Document document;
  document.place = place;
  document.index = static_cast<int64_t>(documents->items.size());
  LT2_RETURN_IF_ERROR(Annotate(Derive(suite.derive, &fields), place));
  document.fields = std::move(fields);
  documents->items.push_back(std::move(document));
  return absl::OkStatus();
}

absl::Status ParseJsonLines(const Suite& suite, absl::string_view text,
                            const std::string& file, Documents* documents) {
  int64_t number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    absl::ConsumeSuffix(&line, "\r");
    if (line.empty()) continue;
    const std::string place = absl::StrCat(file, ":", number);
    LT2_ASSIGN_OR_RETURN(nlohmann::json fields, ParseJson(line, place));
    LT2_RETURN_IF_ERROR(AddItem(suite, std::move(fields), place, documents));
  }
  return absl::OkStatus();
}

absl::Status ParseText(const Suite& suite, absl::string_view text,
                       const std::string& file, Documents* documents) {
  std::string document;
  int64_t number = 0, first = 1;
  absl::Status status;
  const RE2 start(suite.document_start);
  const auto flush = [&] {
    if (!status.ok()) return;
    if (TrailingSpace(document) == document.size()) return document.clear();
    if (!IsValidUtf8(document)) {
      status = InvalidArgument(file, ":", first,
                               ": the document that begins here is not UTF-8");
      return;
    }
    status = AddItem(suite, {{"text", document}},
                     absl::StrCat(file, ":", first), documents);
    document.clear();
  };
  for (size_t i = 0; i < text.size() && status.ok();) {
    size_t end = text.find('\n', i);
    end = end == absl::string_view::npos ? text.size() : end + 1;
    const absl::string_view line = text.substr(i, end - i);
    i = end;
    ++number;
    if (absl::StripSuffix(line, "\n") == kSeparator) {
      flush();
      first = number + 1;
      continue;
    }
    if (!suite.document_start.empty() &&
        RE2::PartialMatch(re2::StringPiece(line.data(), line.size()), start)) {
      flush();
      first = number;
    }
    document.append(line.data(), line.size());
  }
  flush();
  return status;
}

}  // namespace

std::string Digest(absl::string_view bytes) {
  return absl::StrFormat("%016x%016x", Fnv1a(bytes),
                         Fnv1a(bytes, Fnv1a("second half")));
}

void RegisterDocumentGenerator(const std::string& name,
                               DocumentGenerator generator) {
  LT2_CHECK(Generators().emplace(name, std::move(generator)).second,
            "generator ", name, " is registered twice");
}

absl::StatusOr<Documents> ParseDocuments(const Suite& suite,
                                         absl::string_view text,
                                         const std::string& file) {
  Documents documents;
  documents.digest =
      Digest(absl::StrCat(suite.json["data"].dump(), Digest(text)));
  LT2_RETURN_IF_ERROR(suite.format == "text"
                          ? ParseText(suite, text, file, &documents)
                          : ParseJsonLines(suite, text, file, &documents));
  if (documents.items.empty()) {
    return InvalidArgument(file, ": no items for suite '", suite.name, "'");
  }
  return documents;
}

absl::StatusOr<Documents> LoadDocuments(const Suite& suite,
                                        const std::string& data_dir,
                                        const LanguageModel& model) {
  if (!suite.generator.empty()) {
    const auto generator = Generators().find(suite.generator);
    if (generator == Generators().end()) {
      return InvalidArgument(suite.path, ": data.generator: no generator '",
                             suite.generator, "' in this program");
    }
    auto generated = generator->second(suite.generator_spec, model, data_dir);
    if (!generated.ok()) {
      return Annotate(generated.status(),
                      absl::StrCat("suite '", suite.name, "'"));
    }
    std::vector<nlohmann::json>& made = *generated;
    Documents documents;
    std::string all = suite.json["data"].dump();
    for (size_t i = 0; i < made.size(); ++i) {
      all += made[i].dump(-1, ' ', false,
                          nlohmann::json::error_handler_t::replace);
      LT2_RETURN_IF_ERROR(AddItem(suite, std::move(made[i]),
                                  absl::StrCat(suite.generator, " item ", i),
                                  &documents));
    }
    documents.digest = Digest(all);
    return documents;
  }
  const std::string path = absl::StrCat(data_dir, "/", suite.file);
  auto text = tasks::ReadTextFile(path, kMaxDataBytes);
  if (!text.ok()) {
    return absl::Status(
        text.status().code(),
        absl::StrCat("suite '", suite.name, "': ", text.status().message(),
                     "; --data_dir=FOLDER must have ", suite.file, " (",
                     suite.title, ")"));
  }
  return ParseDocuments(suite, *text, suite.file);
}

}  // namespace lt2::evals
