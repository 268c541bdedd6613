// RULER's tasks (tasks/ruler) as the generator "ruler": items {"prompt",
// "answers", "tokens"} of a suite whose data.spec is RulerTask's. Without
// "max_length" there the prompts fill the model's max_length, so that one suite
// serves all lengths: --max_length=4096, 8192, ...

#ifndef LT2_EVALS_LM_RULER_DOCUMENTS_H_
#define LT2_EVALS_LM_RULER_DOCUMENTS_H_

#include "evals/lm/documents.h"
#include "tasks/tokenizer/tokenizer.h"

namespace lt2::evals {

// An error if the prompts are longer than the model reads. `tokenizer` is the
// model's.
absl::StatusOr<std::vector<nlohmann::json>> RulerDocuments(
    const nlohmann::json& spec, const LanguageModel& model,
    const tasks::Tokenizer& tokenizer, const std::string& data_dir);

}  // namespace lt2::evals

#endif  // LT2_EVALS_LM_RULER_DOCUMENTS_H_
