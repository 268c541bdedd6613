// The items of a suite: JSON objects with a place to name in errors.

#ifndef LT2_EVALS_LM_DOCUMENTS_H_
#define LT2_EVALS_LM_DOCUMENTS_H_

#include <functional>
#include <string>
#include <vector>

#include "evals/lm/language_model.h"
#include "evals/lm/suite.h"

namespace lt2::evals {

struct Document {
  nlohmann::json fields;  // derived ones included
  int64_t index = 0;      // in the suite's data, after `where`
  std::string place;      // "eval/piqa.jsonl:17"
};

struct Documents {
  std::vector<Document> items;
  std::string digest;  // of the data as read, and of the suite's data key
};

// Makes items instead of reading them, such as long contexts of a given length
// in the model's own tokens. `spec` is the suite's data.spec; names in errors
// are the generator's. Deterministic.
using DocumentGenerator =
    std::function<absl::StatusOr<std::vector<nlohmann::json>>(
        const nlohmann::json& spec, const LanguageModel& model,
        const std::string& data_dir)>;

// A suite with {"data": {"generator": NAME, "spec": {...}}} gets its items from
// it. Call before LoadDocuments, once for each name. Not thread-safe.
void RegisterDocumentGenerator(const std::string& name,
                               DocumentGenerator generator);

// Formats of files, relative to `data_dir`, .xz ones decompressed:
//   jsonl  one JSON object a line; empty lines are skipped
//   text   documents that end at a line "<|endoftext|>", or that begin where a
//          line (its line break included) matches data.document_start; one
//          item {"text": ...} each, none for white space alone
// An error names file, line and field, and what to do.
absl::StatusOr<Documents> LoadDocuments(const Suite& suite,
                                        const std::string& data_dir,
                                        const LanguageModel& model);

// The same from the text of a file.
absl::StatusOr<Documents> ParseDocuments(const Suite& suite,
                                         absl::string_view text,
                                         const std::string& file);

// 128 bits of FNV-1a in hexadecimal digits; for names, not against attacks.
std::string Digest(absl::string_view bytes);

}  // namespace lt2::evals

#endif  // LT2_EVALS_LM_DOCUMENTS_H_
