#include "evals/lm/item.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "kernels/core/philox.h"

namespace lt2::evals {
namespace {

constexpr uint32_t kShotStream = 0x73686f74;

// What a document says, before it is put together.
struct Parts {
  std::vector<std::string> contexts;  // one, or one for each choice
  std::vector<std::string> choices;   // of a multiple choice
  int64_t gold = 0;
  std::string target;                // of a completion or a text
  std::vector<std::string> answers;  // of generated text

  // How an example shows itself, with its answer.
  const std::string& shot_context() const {
    return contexts.size() == 1 ? contexts[0] : contexts[gold];
  }
};

absl::Status ReadGold(const Suite& suite, const nlohmann::json& fields,
                      Parts* parts) {
  LT2_ASSIGN_OR_RETURN(const std::string gold, suite.gold.Render(fields));
  const int64_t n = static_cast<int64_t>(parts->choices.size());
  if (suite.gold_among.empty()) {
    if (absl::SimpleAtoi(gold, &parts->gold) && parts->gold >= 0 &&
        parts->gold < n) {
      return absl::OkStatus();
    }
    return InvalidArgument("gold: expected the index of one of ", n,
                           " choices, got '", gold, "'");
  }
  LT2_ASSIGN_OR_RETURN(const std::vector<std::string> among,
                       suite.gold_among.Render(fields));
  const auto found = std::find(among.begin(), among.end(), gold);
  parts->gold = found - among.begin();
  if (found == among.end() || parts->gold >= n) {
    return InvalidArgument("gold: '", gold, "' is none of ",
                           absl::StrJoin(among, ", "), " (of ", n, " choices)");
  }
  return absl::OkStatus();
}

absl::Status ReadChoices(const Suite& suite, const nlohmann::json& fields,
                         Parts* parts) {
  if (suite.contexts.empty()) {
    LT2_ASSIGN_OR_RETURN(parts->choices, suite.choices.Render(fields));
    LT2_ASSIGN_OR_RETURN(parts->contexts.emplace_back(),
                         suite.context.Render(fields));
  } else {
    LT2_ASSIGN_OR_RETURN(parts->contexts, suite.contexts.Render(fields));
    LT2_ASSIGN_OR_RETURN(parts->target, suite.target.Render(fields));
    parts->choices.assign(parts->contexts.size(), parts->target);
  }
  if (parts->choices.size() < 2) {
    return InvalidArgument("expected at least 2 choices, got ",
                           parts->choices.size());
  }
  return ReadGold(suite, fields, parts);
}

absl::StatusOr<Parts> ReadParts(const Suite& suite,
                                const nlohmann::json& fields) {
  Parts parts;
  if (suite.kind == SuiteKind::kMultipleChoice) {
    LT2_RETURN_IF_ERROR(ReadChoices(suite, fields, &parts));
    return parts;
  }
  LT2_ASSIGN_OR_RETURN(parts.contexts.emplace_back(),
                       suite.context.Render(fields));
  if (suite.kind == SuiteKind::kGenerate) {
    LT2_ASSIGN_OR_RETURN(parts.answers, suite.answers.Render(fields));
    if (parts.answers.empty()) return InvalidArgument("no answers");
    return parts;
  }
  LT2_ASSIGN_OR_RETURN(parts.target, suite.target.Render(fields));
  return parts;
}

absl::StatusOr<std::string> ShotText(const Suite& suite,
                                     const nlohmann::json& fields) {
  LT2_ASSIGN_OR_RETURN(const Parts parts, ReadParts(suite, fields));
  std::string answer = suite.kind == SuiteKind::kMultipleChoice
                           ? parts.choices[parts.gold]
                       : suite.kind == SuiteKind::kGenerate ? parts.answers[0]
                                                            : parts.target;
  if (suite.shot_answer.has_value()) {
    LT2_ASSIGN_OR_RETURN(answer, suite.shot_answer->Render(fields));
  }
  return absl::StrCat(parts.shot_context(), suite.target_delimiter, answer);
}

absl::StatusOr<std::vector<int64_t>> DrawShots(int64_t n, int64_t index,
                                               const FewShot& few_shot) {
  if (few_shot.count == 0) return std::vector<int64_t>();
  if (few_shot.count > n - 1) {
    return InvalidArgument("--num_fewshot=", few_shot.count, ": only ", n - 1,
                           " other items");
  }
  Philox rng(few_shot.seed, static_cast<uint64_t>(index), kShotStream);
  std::vector<int64_t> shots;
  while (static_cast<int64_t>(shots.size()) < few_shot.count) {
    const int64_t i = rng.Below(static_cast<uint32_t>(n));
    if (i != index && std::find(shots.begin(), shots.end(), i) == shots.end()) {
      shots.push_back(i);
    }
  }
  return shots;
}

void AddChoiceRequests(const Suite& suite, const Parts& parts,
                       const std::string& before, Item* item) {
  item->choices = parts.choices;
  item->gold = parts.gold;
  for (size_t i = 0; i < parts.choices.size(); ++i) {
    const std::string& context =
        parts.contexts[parts.contexts.size() == 1 ? 0 : i];
    item->requests.push_back(
        {before + context, suite.target_delimiter + parts.choices[i]});
  }
  if (!suite.unconditional_context.has_value()) return;
  const std::string& context = *suite.unconditional_context;
  for (const std::string& choice : parts.choices) {
    item->requests.push_back(
        {context, context.empty() ? choice : suite.target_delimiter + choice});
  }
}

absl::StatusOr<Item> Build(const Suite& suite, const Documents& documents,
                           const Document& document, const FewShot& few_shot) {
  Item item;
  item.index = document.index;
  item.place = document.place;
  LT2_ASSIGN_OR_RETURN(const Parts parts, ReadParts(suite, document.fields));
  if (suite.kind == SuiteKind::kText) {
    item.requests = {{"", parts.target}};
    return item;
  }
  LT2_ASSIGN_OR_RETURN(item.shots,
                       DrawShots(static_cast<int64_t>(documents.items.size()),
                                 item.index, few_shot));
  std::string before = suite.description;
  for (int64_t shot : item.shots) {
    const Document& example = documents.items[shot];
    auto text = ShotText(suite, example.fields);
    if (!text.ok()) {
      return Annotate(text.status(), absl::StrCat("example ", example.place));
    }
    absl::StrAppend(&before, *text, suite.shot_delimiter);
  }
  switch (suite.kind) {
    case SuiteKind::kMultipleChoice:
      AddChoiceRequests(suite, parts, before, &item);
      break;
    case SuiteKind::kCompletion:
      item.requests = {
          {before + parts.contexts[0], suite.target_delimiter + parts.target}};
      item.choices = {parts.target};
      break;
    default:
      item.requests = {{before + parts.contexts[0], ""}};
      for (const std::string& answer : parts.answers) {
        LT2_ASSIGN_OR_RETURN(item.answers.emplace_back(),
                             ApplySteps(suite.answer_steps, answer));
      }
  }
  return item;
}

}  // namespace

absl::StatusOr<Item> BuildItem(const Suite& suite, const Documents& documents,
                               int64_t index, const FewShot& few_shot) {
  LT2_CHECK(index >= 0 && index < static_cast<int64_t>(documents.items.size()));
  const Document& document = documents.items[index];
  auto item = Build(suite, documents, document, few_shot);
  if (!item.ok()) {
    return Annotate(item.status(),
                    absl::StrCat(document.place, ": suite '", suite.name, "'"));
  }
  return item;
}

}  // namespace lt2::evals
