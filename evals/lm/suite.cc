#include "evals/lm/suite.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "kernels/core/json/json_reader.h"
#include "model/io/atomic_file.h"

namespace lt2::evals {
namespace {

constexpr int64_t kMaxSuiteBytes = 1 << 20;

Template ReadTemplate(JsonReader& reader, const char* key) {
  auto parsed = Template::Parse(reader.String(key, ""));
  if (parsed.ok()) return *std::move(parsed);
  reader.Fail(key, parsed.status().message());
  return Template();
}

// ["{a}", "{b}"], or "field" for the strings of that list.
TextList ReadTextList(JsonReader& reader, const char* key,
                      const nlohmann::json& json) {
  TextList list;
  if (!reader.Has(key)) return list;
  if (json[key].is_string()) {
    list.field = reader.String(key, "");
    return list;
  }
  for (const std::string& text : reader.Strings(key)) {
    auto parsed = Template::Parse(text);
    if (!parsed.ok()) {
      reader.Fail(key, parsed.status().message());
      return list;
    }
    list.templates.push_back(*std::move(parsed));
  }
  return list;
}

void ReadData(JsonReader& reader, Suite* suite) {
  JsonReader data = reader.Object("data");
  suite->file = data.String("file", "");
  suite->format = data.Enum("format", "jsonl", {"jsonl", "text"});
  suite->document_start = data.String("document_start", "");
  suite->generator = data.String("generator", "");
  if (data.Has("spec")) suite->generator_spec = suite->json["data"]["spec"];
  if (data.Has("where")) {
    const nlohmann::json& where = suite->json["data"]["where"];
    if (!where.is_object()) data.Fail("where", "expected an object");
    for (const auto& [key, value] : where.items()) suite->where[key] = value;
  }
  if (suite->file.empty() == suite->generator.empty()) {
    data.Fail("file", "give either a file or a generator");
  }
  if (!suite->document_start.empty() &&
      !RE2(suite->document_start, RE2::Quiet).ok()) {
    data.Fail("document_start", "not a pattern of RE2");
  }
}

void ReadGenerate(JsonReader& reader, Suite* suite) {
  reader.Require({"answers", "max_tokens", "score"});
  suite->answers = ReadTextList(reader, "answers", suite->json);
  suite->max_tokens = reader.Int("max_tokens", 32, 1, 1 << 20);
  suite->stop = reader.Strings("stop");
  suite->score = reader.Enum("score", "exact_match",
                             {"exact_match", "contains", "contains_all"});
  suite->answer_steps = ReadTextSteps(reader, "answer_steps");
  for (JsonReader& entry : reader.Objects("filters")) {
    entry.Require({"name"});
    suite->filters.push_back(
        {entry.String("name", ""), ReadTextSteps(entry, "steps")});
  }
  if (suite->filters.empty()) suite->filters.push_back({"none", {}});
}

void ReadRequest(JsonReader& reader, Suite* suite) {
  suite->description = reader.String("description", "");
  suite->context = ReadTemplate(reader, "context");
  suite->target_delimiter = reader.String("target_delimiter", " ");
  suite->choices = ReadTextList(reader, "choices", suite->json);
  suite->contexts = ReadTextList(reader, "contexts", suite->json);
  suite->target = ReadTemplate(reader, "target");
  suite->gold = ReadTemplate(reader, "gold");
  suite->gold_among = ReadTextList(reader, "gold_among", suite->json);
  if (reader.Has("unconditional_context")) {
    suite->unconditional_context = reader.String("unconditional_context", "");
  }
  JsonReader few_shot = reader.Object("few_shot");
  suite->shots = few_shot.Int("count", 0, 0, 1000);
  suite->shot_delimiter = few_shot.String("delimiter", "\n\n");
  if (few_shot.Has("answer")) {
    suite->shot_answer = ReadTemplate(few_shot, "answer");
  }
  if (suite->kind == SuiteKind::kMultipleChoice) {
    reader.Require({"gold"});
    if (suite->choices.empty() == suite->contexts.empty()) {
      reader.Fail("choices", "give either choices or contexts");
    }
    reader.Require({suite->contexts.empty() ? "context" : "target"});
  } else if (suite->kind == SuiteKind::kCompletion) {
    reader.Require({"context", "target"});
  } else if (suite->kind == SuiteKind::kText) {
    reader.Require({"target"});
    suite->streaming = reader.Enum("mode", "windowed",
                                   {"windowed", "streaming"}) == "streaming";
  } else {
    reader.Require({"context"});
    ReadGenerate(reader, suite);
  }
}

}  // namespace

absl::StatusOr<std::vector<std::string>> TextList::Render(
    const nlohmann::json& fields) const {
  std::vector<std::string> texts;
  if (field.empty()) {
    for (const Template& t : templates) {
      LT2_ASSIGN_OR_RETURN(texts.emplace_back(), t.Render(fields));
    }
    return texts;
  }
  LT2_ASSIGN_OR_RETURN(const nlohmann::json list, FieldAt(fields, field));
  if (!list.is_array()) {
    return InvalidArgument("field '", field, "': expected a list, got ",
                           list.dump().substr(0, 60));
  }
  for (const nlohmann::json& text : list) {
    if (!text.is_string()) {
      return InvalidArgument("field '", field,
                             "': expected a list of strings, got ",
                             list.dump().substr(0, 60));
    }
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

std::vector<std::string> MetricNames(const Suite& suite) {
  switch (suite.kind) {
    case SuiteKind::kMultipleChoice: {
      if (!suite.contexts.empty()) return {"acc"};
      std::vector<std::string> names = {"acc", "acc_norm", "acc_bytes",
                                        "acc_tokens"};
      if (suite.unconditional_context.has_value()) {
        names.push_back("acc_mutual_info");
      }
      return names;
    }
    case SuiteKind::kCompletion:
      return {"acc", "perplexity", "bits_per_byte"};
    case SuiteKind::kText:
      return {"bits_per_byte", "byte_perplexity", "word_perplexity"};
    case SuiteKind::kGenerate:
      return {suite.score};
  }
  return {};
}

absl::StatusOr<std::shared_ptr<const Suite>> ParseSuite(
    const nlohmann::json& json, const std::string& path) {
  JsonReader reader(json, path);
  auto suite = std::make_shared<Suite>();
  suite->path = path;
  suite->json = json;
  reader.Require({"schema_version", "name", "version", "title", "kind", "data",
                  "primary"});
  reader.Int("schema_version", 1, 1, 1);
  suite->name = reader.String("name", "");
  suite->version = reader.Int("version", 1, 1);
  suite->title = reader.String("title", "");
  suite->kind =
      reader.Enum<SuiteKind>("kind", SuiteKind::kMultipleChoice,
                             {{"multiple_choice", SuiteKind::kMultipleChoice},
                              {"completion", SuiteKind::kCompletion},
                              {"text", SuiteKind::kText},
                              {"generate", SuiteKind::kGenerate}});
  suite->chance = reader.Float("chance", 0, 0, 1);
  LT2_RETURN_IF_ERROR(reader.status());
  ReadData(reader, suite.get());
  suite->derive = ReadDerivedFields(reader, "derive");
  ReadRequest(reader, suite.get());
  suite->primary = reader.Enum("primary", "", MetricNames(*suite));
  LT2_RETURN_IF_ERROR(reader.Finish());
  return std::shared_ptr<const Suite>(std::move(suite));
}

absl::StatusOr<std::shared_ptr<const Suite>> LoadSuite(
    const std::string& path) {
  LT2_ASSIGN_OR_RETURN(const std::string text,
                       model::ReadFile(path, kMaxSuiteBytes));
  LT2_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, path));
  return ParseSuite(json, path);
}

absl::StatusOr<std::vector<std::string>> ListSuites(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> names;
  for (std::filesystem::directory_iterator i(folder, error), end;
       !error && i != end; i.increment(error)) {
    const std::string name = i->path().filename().string();
    if (absl::EndsWith(name, ".json")) {
      names.push_back(name.substr(0, name.size() - 5));
    }
  }
  if (error) {
    return absl::NotFoundError(absl::StrCat(
        "no folder of suites ", folder, ": ", error.message(),
        "; give --suites=FOLDER (the repository's is evals/lm/suites)"));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace lt2::evals
