// A suite: what to ask about the items of a data set, and how to score the
// answers. One small JSON file each, in suites/ (README.md has the keys); its
// version goes up when a change to it changes a score.
//
// Kinds:
//   multiple_choice  the likeliest of several continuations; or, with
//                    `contexts`, of one continuation after several contexts
//   completion       one continuation: its likelihood, and whether greedy
//                    decoding writes it
//   text             the likelihood of whole documents
//   generate         free text, filtered and compared with the answers

#ifndef LT2_EVALS_LM_SUITE_H_
#define LT2_EVALS_LM_SUITE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "evals/lm/template.h"
#include "evals/lm/text_steps.h"
#include "nlohmann/json.hpp"

namespace lt2::evals {

enum class SuiteKind { kMultipleChoice, kCompletion, kText, kGenerate };

// Several texts of an item: templates, or the strings of one list field.
struct TextList {
  std::vector<Template> templates;
  std::string field;

  absl::StatusOr<std::vector<std::string>> Render(
      const nlohmann::json& fields) const;
  bool empty() const { return templates.empty() && field.empty(); }
};

struct Suite {
  std::string name, title, path;  // `path` is for errors
  int64_t version = 1;
  SuiteKind kind = SuiteKind::kMultipleChoice;
  nlohmann::json json;  // as read

  // Where items come from: a file in the data folder, or a generator.
  std::string file;
  std::string format = "jsonl";                 // or "text"
  std::map<std::string, nlohmann::json> where;  // fields that must be equal
  std::string document_start;  // "text": a pattern of lines that begin one
  std::string generator;       // documents.h
  nlohmann::json generator_spec;
  std::vector<DerivedField> derive;

  // The request.
  std::string description;  // before everything
  Template context;
  std::string target_delimiter = " ";
  TextList choices, contexts;
  Template target;  // completion, and choices with `contexts`
  Template gold;    // an index, or one of gold_among
  TextList gold_among;
  // Context of the request for p(choice) that acc_mutual_info divides by; the
  // empty one also leaves the delimiter out, as lm-evaluation-harness does.
  absl::optional<std::string> unconditional_context;

  // Few-shot examples, drawn from the same items but for the evaluated one.
  int64_t shots = 0;
  std::string shot_delimiter = "\n\n";
  absl::optional<Template> shot_answer;  // generate: default the first answer

  bool streaming = false;  // text: the state carried, not windows

  // generate
  int64_t max_tokens = 0;
  std::vector<std::string> stop;
  TextList answers;
  std::vector<TextStep> answer_steps;
  struct Filter {
    std::string name;
    std::vector<TextStep> steps;
  };
  std::vector<Filter> filters;
  // exact_match, contains (any answer, case ignored), contains_all (share of
  // the answers contained).
  std::string score;

  std::string primary;  // the metric that stands for the suite
  double chance = 0;    // 0: one of the choices
};

absl::StatusOr<std::shared_ptr<const Suite>> ParseSuite(
    const nlohmann::json& json, const std::string& path);
absl::StatusOr<std::shared_ptr<const Suite>> LoadSuite(const std::string& path);

// Names of the *.json files of a folder, sorted, without the ending.
absl::StatusOr<std::vector<std::string>> ListSuites(const std::string& folder);

// Metrics of a kind in the order of tables, as `primary` names them; with the
// filters' names for generate suites.
std::vector<std::string> MetricNames(const Suite& suite);

}  // namespace lt2::evals

#endif  // LT2_EVALS_LM_SUITE_H_
