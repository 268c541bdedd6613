#include "evals/lm/suite.h"

#include "evals/lm/item.h"
#include "evals/lm/mock_language_model.h"
#include "gtest/gtest.h"

namespace lt2::evals {
namespace {

using nlohmann::json;
using testing::Test;

json Choice() {
  return {{"schema_version", 1},
          {"name", "small"},
          {"version", 3},
          {"title", "a test"},
          {"kind", "multiple_choice"},
          {"data", {{"file", "small.jsonl"}}},
          {"context", "Q: {question}\nA:"},
          {"choices", "choices.text"},
          {"gold", "{answer}"},
          {"gold_among", "choices.label"},
          {"primary", "acc"}};
}

json Small(int i) {
  return {{"question", "q" + std::to_string(i)},
          {"choices",
           {{"text", {"a" + std::to_string(i), "b"}}, {"label", {"A", "B"}}}},
          {"answer", i % 2 == 0 ? "A" : "B"}};
}

std::shared_ptr<const Suite> Parse(const json& spec) {
  auto suite = ParseSuite(spec, "small.json");
  EXPECT_TRUE(suite.ok()) << suite.status();
  return *suite;
}

Documents Lines(const Suite& suite, int n) {
  std::string text;
  for (int i = 0; i < n; ++i) text += Small(i).dump() + "\n";
  auto documents = ParseDocuments(suite, text, "small.jsonl");
  EXPECT_TRUE(documents.ok()) << documents.status();
  return *std::move(documents);
}

TEST(SuiteFiles, EachIsValidAndNamedAsItsFile) {
  const auto names = ListSuites("evals/lm/suites");
  ASSERT_TRUE(names.ok()) << names.status();
  EXPECT_GE(names->size(), 20u);
  for (const std::string& name : *names) {
    const auto suite = LoadSuite("evals/lm/suites/" + name + ".json");
    ASSERT_TRUE(suite.ok()) << suite.status();
    EXPECT_EQ((*suite)->name, name);
  }
}

TEST(Suite, ErrorsNameFileKeyAndRemedy) {
  const std::vector<std::pair<json, std::string>> wrong = {
      {{{"kind", "guess"}}, "small.json.kind: expected one of"},
      {{{"contextt", "x"}}, "small.json.contextt: unknown key; did you mean"},
      {{{"context", "Q: {question"}}, "'{' without '}' at byte 3"},
      {{{"context", "Q: }"}}, "'}' without '{' at byte 3"},
      {{{"context", "Q: {}"}}, "no field's name"},
      {{{"primary", "acc_mutual_info"}}, "small.json.primary: expected one of"},
      {{{"data", json::object()}}, "give either a file or a generator"},
      {{{"contexts", {"a", "b"}}}, "give either choices or contexts"},
      {{{"derive",
         {{{"name", "x"},
           {"from", "{a}"},
           {"steps", {{{"op", "extract"}, {"arg", "("}}}}}}}},
       "derive.0.steps.0.arg: not a pattern of RE2"},
      {{{"derive",
         {{{"name", "x"},
           {"from", "{a}"},
           {"steps", {{{"op", "replace"}, {"arg", "a"}, {"with", "\\1"}}}}}}}},
       "derive.0.steps.0.with"}};
  for (const auto& [changes, message] : wrong) {
    json spec = Choice();
    spec.update(changes);
    const auto suite = ParseSuite(spec, "small.json");
    ASSERT_FALSE(suite.ok()) << message;
    EXPECT_NE(suite.status().message().find(message), std::string::npos)
        << suite.status();
  }
}

TEST(Template, FieldsListsAndBraces) {
  const auto t = Template::Parse("{{{a.b.1}}} {n} {yes}");
  ASSERT_TRUE(t.ok()) << t.status();
  const json fields = {{"a", {{"b", {"x", "y"}}}}, {"n", 7}, {"yes", true}};
  EXPECT_EQ(t->Render(fields).value(), "{y} 7 true");
  EXPECT_FALSE(Template::Parse("{a.b}")->Render(fields).ok());
  EXPECT_FALSE(Template::Parse("{a.b.2}")->Render(fields).ok());
}

TEST(Documents, BadLinesNameFileLineAndField) {
  const auto suite = Parse(Choice());
  const auto error = [&](const std::string& text) {
    auto documents = ParseDocuments(*suite, text, "small.jsonl");
    absl::Status status = documents.status();
    if (status.ok()) status = BuildItem(*suite, *documents, 1, {}).status();
    return std::string(status.message());
  };
  const std::string good = Small(0).dump() + "\n";
  const auto expect = [&](const std::string& line, const std::string& place,
                          const std::string& what) {
    const std::string message = error(good + line);
    EXPECT_EQ(message.rfind(place, 0), 0u) << message;
    EXPECT_NE(message.find(what), std::string::npos) << message;
  };
  expect("{\"question\": \"cut", "small.jsonl:2", "");
  expect("[1, 2]", "small.jsonl:2", "expected a JSON object");
  json item = Small(1);
  item.erase("question");
  expect(item.dump(), "small.jsonl:2",
         "no field 'question'; there are: answer, choices");
  item = Small(1);
  item["question"] = {1, 2};
  expect(item.dump(), "small.jsonl:2", "field 'question': expected a string");
  item = Small(1);
  item["answer"] = "C";
  expect(item.dump(), "small.jsonl:2", "gold: 'C' is none of A, B");
  item = Small(1);
  item["choices"]["text"] = {"one"};
  expect(item.dump(), "small.jsonl:2", "at least 2 choices");
  EXPECT_NE(ParseDocuments(*suite, "\n\n", "small.jsonl")
                .status()
                .message()
                .find("no items"),
            std::string::npos);
}

TEST(Documents, AMissingFileSaysWhereItBelongs) {
  const auto suite = Parse(Choice());
  MockLanguageModel model;
  const auto documents = LoadDocuments(*suite, "/nowhere", model);
  ASSERT_FALSE(documents.ok());
  EXPECT_NE(documents.status().message().find(
                "--data_dir=FOLDER must have small.jsonl"),
            std::string::npos)
      << documents.status();
}

TEST(Documents, TextsEndAtSeparatorsAndBeginAtPatterns) {
  json spec = Choice();
  for (const char* key : {"choices", "gold", "gold_among", "context"}) {
    spec.erase(key);
  }
  spec.update({{"kind", "text"},
               {"target", "{text}"},
               {"primary", "bits_per_byte"},
               {"data",
                {{"file", "a.txt"},
                 {"format", "text"},
                 {"document_start", "^= .* =\n"}}}});
  const auto suite = Parse(spec);
  const auto documents = ParseDocuments(
      *suite, " \n= one =\nx\n<|endoftext|>\ny\n= two =\n<|endoftext|> z",
      "a.txt");
  ASSERT_TRUE(documents.ok()) << documents.status();
  std::vector<std::string> texts;
  for (const Document& d : documents->items) texts.push_back(d.fields["text"]);
  EXPECT_EQ(texts, (std::vector<std::string>{"= one =\nx\n", "y\n",
                                             "= two =\n<|endoftext|> z"}));
  EXPECT_EQ(documents->items[1].place, "a.txt:5");
  EXPECT_FALSE(ParseDocuments(*suite, "a\xff", "a.txt").ok());
}

TEST(Documents, OnlyThoseThatMatchWhere) {
  json spec = Choice();
  spec["data"]["where"] = {{"answer", "B"}};
  const Documents documents = Lines(*Parse(spec), 10);
  ASSERT_EQ(documents.items.size(), 5u);
  EXPECT_EQ(documents.items[1].place, "small.jsonl:4");
  EXPECT_EQ(documents.items[1].index, 1);
}

TEST(Documents, DigestChangesWithTheDataOnly) {
  const auto suite = Parse(Choice());
  json other = Choice();
  other["title"] = "another";
  EXPECT_EQ(Lines(*suite, 3).digest, Lines(*Parse(other), 3).digest);
  EXPECT_NE(Lines(*suite, 3).digest, Lines(*suite, 4).digest);
}

TEST(Documents, AGeneratorMakesThem) {
  RegisterDocumentGenerator(
      "counting",
      [](const json& spec, const LanguageModel& model, const std::string&) {
        std::vector<json> made;
        for (int i = 0; i < spec["n"].get<int>(); ++i) {
          made.push_back({{"prompt", std::string(i + 1, 'x')},
                          {"answers", {std::to_string(i)}},
                          {"tokens", model.Encode("ab").size()}});
        }
        return absl::StatusOr<std::vector<json>>(made);
      });
  json spec = {{"schema_version", 1},
               {"name", "counted"},
               {"version", 1},
               {"title", "a test"},
               {"kind", "generate"},
               {"data", {{"generator", "counting"}, {"spec", {{"n", 4}}}}},
               {"context", "{prompt}"},
               {"answers", "answers"},
               {"max_tokens", 3},
               {"score", "contains_all"},
               {"primary", "contains_all"}};
  MockLanguageModel model;
  const auto documents = LoadDocuments(*Parse(spec), "", model);
  ASSERT_TRUE(documents.ok()) << documents.status();
  ASSERT_EQ(documents->items.size(), 4u);
  const auto item = BuildItem(*Parse(spec), *documents, 2, {});
  ASSERT_TRUE(item.ok()) << item.status();
  EXPECT_EQ(item->requests[0].context, "xxx");
  EXPECT_EQ(item->answers, std::vector<std::string>{"2"});
  spec["data"]["generator"] = "none";
  EXPECT_FALSE(LoadDocuments(*Parse(spec), "", model).ok());
}

TEST(FewShot, ExamplesComeFromOtherItemsAndDoNotDependOnTheRest) {
  const auto suite = Parse(Choice());
  const Documents documents = Lines(*suite, 20);
  for (int64_t index = 0; index < 20; ++index) {
    const auto item = BuildItem(*suite, documents, index, {3, 7});
    ASSERT_TRUE(item.ok()) << item.status();
    ASSERT_EQ(item->shots.size(), 3u);
    std::string wanted;
    for (int64_t shot : item->shots) {
      EXPECT_NE(shot, index);
      wanted += absl::StrCat(
          "Q: q", shot, "\nA: ", shot % 2 == 0 ? absl::StrCat("a", shot) : "b",
          "\n\n");
    }
    EXPECT_EQ(item->requests[0].context,
              absl::StrCat(wanted, "Q: q", index, "\nA:"));
    EXPECT_EQ(BuildItem(*suite, documents, index, {3, 7})->shots, item->shots);
  }
  EXPECT_NE(BuildItem(*suite, documents, 0, {3, 7})->shots,
            BuildItem(*suite, documents, 0, {3, 8})->shots);
  EXPECT_FALSE(BuildItem(*suite, documents, 0, {20, 7}).ok());
}

TEST(TextSteps, TakeAnswersOutOfText) {
  const auto gsm8k = LoadSuite("evals/lm/suites/gsm8k.json");
  ASSERT_TRUE(gsm8k.ok()) << gsm8k.status();
  const auto filtered = [&](size_t filter, const std::string& text) {
    return ApplySteps((*gsm8k)->filters[filter].steps, text).value();
  };
  EXPECT_EQ(filtered(0, "so 3 + 4 = 7\n#### 1,234."), "1234");
  EXPECT_EQ(filtered(0, "so it is 7"), "[invalid]");
  EXPECT_EQ(filtered(1, "first 12, then $1,000."), "1000");
  EXPECT_EQ(filtered(1, "none"), "[invalid]");
  EXPECT_EQ(
      ApplySteps((*gsm8k)->answer_steps, "2+2=<<2+2=4>>4\n#### -4").value(),
      "-4");
}

TEST(TextSteps, EachOperation) {
  const auto apply = [](const json& step, const std::string& text) {
    const json spec = {{"steps", {step}}};
    JsonReader reader(spec);
    const auto steps = ReadTextSteps(reader, "steps");
    EXPECT_TRUE(reader.Finish().ok()) << reader.Finish();
    const auto result = ApplySteps(steps, text);
    return result.ok() ? *result : "error";
  };
  EXPECT_EQ(apply({{"op", "before_first"}, {"arg", "--"}}, "a--b--c"), "a");
  EXPECT_EQ(apply({{"op", "after_first"}, {"arg", "--"}}, "a--b--c"), "b--c");
  EXPECT_EQ(apply({{"op", "before_last"}, {"arg", "--"}}, "a--b--c"), "a--b");
  EXPECT_EQ(apply({{"op", "after_last"}, {"arg", "--"}}, "a--b--c"), "c");
  EXPECT_EQ(apply({{"op", "after_last"}, {"arg", "x"}}, "a"), "error");
  EXPECT_EQ(
      apply({{"op", "after_last"}, {"arg", "x"}, {"otherwise", "-"}}, "a"),
      "-");
  EXPECT_EQ(apply({{"op", "trim"}}, " \n\u00a0a b\u3000\t"), "a b");
  EXPECT_EQ(apply({{"op", "trim_end"}}, " a "), " a");
  EXPECT_EQ(apply({{"op", "lower"}}, "AbÄ"), "abÄ");
  EXPECT_EQ(apply({{"op", "capitalize"}}, "the Man"), "The man");
  EXPECT_EQ(apply({{"op", "first_line"}}, "a\nb"), "a");
  EXPECT_EQ(apply({{"op", "first_line"}}, "a"), "a");
  EXPECT_EQ(apply({{"op", "extract"}, {"arg", "[0-9]+"}, {"take", "last"}},
                  "a1 b22 c"),
            "22");
  EXPECT_EQ(apply({{"op", "extract"}, {"arg", "x*"}, {"take", "last"}}, "ax"),
            "");
  EXPECT_EQ(
      apply({{"op", "replace"}, {"arg", "(a)b"}, {"with", "\\1"}}, "abab"),
      "aa");
}

}  // namespace
}  // namespace lt2::evals
