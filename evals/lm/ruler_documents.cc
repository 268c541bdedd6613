#include "evals/lm/ruler_documents.h"

#include "tasks/ruler/ruler.h"

namespace lt2::evals {

absl::StatusOr<std::vector<nlohmann::json>> RulerDocuments(
    const nlohmann::json& spec, const LanguageModel& model,
    const tasks::Tokenizer& tokenizer, const std::string& data_dir) {
  nlohmann::json filled = spec;
  if (filled.is_object() && !filled.contains("max_length")) {
    filled["max_length"] = model.max_length();
  }
  tasks::RulerOptions options;
  options.tokenizer = &tokenizer;
  options.data_dir = data_dir;
  options.path = "data.spec";
  LT2_ASSIGN_OR_RETURN(const auto task,
                       tasks::RulerTask::Create(filled, options));
  if (task->max_length() > model.max_length()) {
    return InvalidArgument("data.spec.max_length: prompts of ",
                           task->max_length(), " tokens are cut at ",
                           model.max_length(),
                           "; give --max_length=", task->max_length());
  }
  std::vector<nlohmann::json> documents;
  for (int64_t i = 0; i < task->num_samples(); ++i) {
    LT2_ASSIGN_OR_RETURN(const tasks::RulerSample sample, task->Sample(i));
    documents.push_back({{"prompt", sample.prompt},
                         {"answers", sample.answers},
                         {"tokens", sample.tokens}});
  }
  return documents;
}

}  // namespace lt2::evals
