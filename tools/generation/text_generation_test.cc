#include "tools/generation/text_generation.h"

#include "gtest/gtest.h"
#include "kernels/core/json/strict_json.h"

namespace lt2::tools {
namespace {

std::string Folder(const std::string& name) {
  return "testdata/checkpoints/text/" + name;
}

class TextGeneration : public ::testing::Test {
 protected:
  void Load(const std::string& name) {
    ctx_ = *Context::Create(Device::kCPU);
    TextModelOptions options;
    options.folder = Folder(name);
    auto model = LoadTextModel(*ctx_, options);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = std::move(model).value();
  }
  TextResult Generate(const std::string& prompt, const TextOptions& options) {
    TextRequest request;
    request.prompt = prompt;
    pieces_.clear();
    auto result = GenerateText(
        model_, request, options, nullptr,
        [&](absl::string_view piece) { pieces_.emplace_back(piece); },
        &report_);
    LT2_CHECK(result.ok(), result.status().ToString());
    return std::move(result).value();
  }
  static TextOptions Options(int64_t max_tokens) {
    TextOptions options;
    options.max_tokens = max_tokens;
    return options;
  }

  std::unique_ptr<Context> ctx_;
  TextModel model_;
  std::vector<std::string> pieces_;
  GenerationReport report_;
};

TEST_F(TextGeneration, ContinuesAPromptPieceByPiece) {
  Load("gdn-T4");
  EXPECT_EQ(model_.stop_ids, std::vector<int32_t>{0});
  const TextResult result = Generate("It was a dark", Options(60));
  EXPECT_EQ(result.prompt_tokens, 14);  // and the 0 byte before the text
  EXPECT_EQ(result.new_tokens, 60);
  EXPECT_EQ(result.finish_reason, "length");
  EXPECT_GT(pieces_.size(), 40u);
  std::string joined;
  for (const std::string& piece : pieces_) {
    EXPECT_TRUE(IsValidUtf8(piece));
    joined += piece;
  }
  EXPECT_EQ(joined, result.text);
  EXPECT_EQ(report_.timing.new_tokens, 60);
  EXPECT_GT(report_.timing.tokens_per_second(), 0);
  EXPECT_EQ(Generate("It was a dark", Options(60)).text, result.text);
  TextOptions other = Options(60);
  other.sampling.seed = 2;
  EXPECT_NE(Generate("It was a dark", other).text, result.text);
}

TEST_F(TextGeneration, RandomBytesComeOutAsWholeCharacters) {
  Load("gdn-T4");
  TextOptions options = Options(400);
  options.sampling.temperature = 50;  // nearly uniform bytes
  options.stop_ids = false;
  const TextResult result = Generate("", options);
  EXPECT_EQ(result.prompt_tokens, 1);
  EXPECT_EQ(result.new_tokens, 400);
  for (const std::string& piece : pieces_) EXPECT_TRUE(IsValidUtf8(piece));
  EXPECT_NE(result.text.find("\xEF\xBF\xBD"), std::string::npos)
      << "no broken sequence came: the test would not notice one";
}

TEST_F(TextGeneration, StopStringsAreCutOutOfTheStream) {
  Load("full+gdn-T4");
  const TextResult all = Generate("The ", Options(80));
  // A text that occurs, over several tokens of one byte each.
  const std::string stop = all.text.substr(30, 4);
  TextOptions options = Options(80);
  options.stops = {stop, "not in the text"};
  const TextResult cut = Generate("The ", options);
  EXPECT_EQ(cut.text, all.text.substr(0, all.text.find(stop)));
  EXPECT_EQ(cut.finish_reason, "stop_string");
  EXPECT_EQ(cut.stop_string, stop);
  std::string joined;
  for (const std::string& piece : pieces_) joined += piece;
  EXPECT_EQ(joined, cut.text);
  EXPECT_LT(cut.new_tokens, 80);
}

TEST_F(TextGeneration, AStateInAFileGoesOnWithTheSameText) {
  const std::string file = ::testing::TempDir() + "/state";
  for (const char* name : {"gdn-T4", "full-T4", "window-T4"}) {
    Load(name);
    std::string prompt;
    while (prompt.size() < 700) prompt += "The quick brown fox jumps. ";
    const TextResult whole = Generate(prompt, Options(50));
    TextOptions save = Options(0);
    save.save = file;
    Generate(prompt, save);
    EXPECT_GT(report_.snapshot_bytes, 0);
    TextOptions load = Options(50);
    load.load = file;
    const TextResult resumed = Generate("", load);
    EXPECT_EQ(resumed.text, whole.text) << name;
    EXPECT_EQ(report_.timing.prompt_tokens, 1) << "only what was not taken in";
    EXPECT_EQ(resumed.prompt_tokens, whole.prompt_tokens);
  }
  Load("gdn-T1");
  TextOptions load = Options(5);
  load.load = file;  // of window-T4
  const auto refused =
      GenerateText(model_, {}, load, nullptr, nullptr, &report_);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(TextGeneration, PromptsOfAFileKeepTheirOrderAndTheirText) {
  Load("gdn-T4");
  const auto requests = ParseRequests(
      "{\"prompt\": \"A man\", \"id\": \"first\"}\n\n"
      "{\"prompt\": \"In the beginning of the year\"}\n"
      "{\"prompt\": \"x\", \"id\": 7}\n",
      "requests");
  ASSERT_TRUE(requests.ok()) << requests.status();
  auto run = [&](int64_t batch) {
    TextOptions options = Options(30);
    options.batch = batch;
    auto results =
        GenerateTexts(model_, *requests, options, nullptr, nullptr, &report_);
    LT2_CHECK(results.ok(), results.status().ToString());
    return *results;
  };
  const std::vector<TextResult> one = run(1), all = run(3);
  ASSERT_EQ(all.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(one[i].text, all[i].text);
    EXPECT_EQ(all[i].prompt, (*requests)[i].prompt);
  }
  EXPECT_EQ(all[0].id, "first");
  EXPECT_EQ(all[1].id, 1);
  EXPECT_EQ(all[2].id, 7);
  const auto line = ParseJson(ToJsonLine(all[2]), "line");
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ((*line)["text"], all[2].text);
  EXPECT_EQ((*line)["prompt_tokens"], 2);
}

TEST_F(TextGeneration, AConversationTakesInOnlyWhatIsNew) {
  Load("gdn-T4");
  const auto chat = model::ChatTemplate::Parse(
      "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}"
      "{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}"
      "{% endif %}",
      "test");
  ASSERT_TRUE(chat.ok());
  TextOptions options = Options(20);
  options.capacity = 400;
  options.stops = {"\n"};
  Conversation talk(model_, options, *chat, "Be brief.");
  GenerationReport first, second;
  const auto hello = talk.Say("Hello", nullptr, &first);
  ASSERT_TRUE(hello.ok()) << hello.status();
  EXPECT_EQ(first.timing.prompt_tokens, hello->prompt_tokens);
  const auto again = talk.Say("Who is there?", nullptr, &second);
  ASSERT_TRUE(again.ok()) << again.status();
  if (hello->finish_reason == "length") {
    EXPECT_LT(second.timing.prompt_tokens, again->prompt_tokens);
  }
  // The conversation as a whole gives the same answer.
  Conversation other(model_, options, *chat, "Be brief.");
  EXPECT_EQ(other.Say("Hello", nullptr, &first)->text, hello->text);
}

TEST_F(TextGeneration, RequestsThatAreTooLongNameTheNumbers) {
  Load("gdn-T4");
  model_.max_positions = 100;
  TextRequest request;
  request.prompt = std::string(90, 'a');
  const auto refused =
      GenerateText(model_, request, Options(20), nullptr, nullptr, &report_);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(std::string(refused.status().message()),
            "a sequence of 111 tokens (prompt and new ones) exceeds the "
            "model's limit of 100");
  EXPECT_EQ(ctx_->flops(), 0);
  const auto file = GenerateTexts(model_, {TextRequest{}, request}, Options(20),
                                  nullptr, nullptr, &report_);
  EXPECT_EQ(file.status().message(), refused.status().message());
  EXPECT_EQ(ctx_->flops(), 0);
}

TEST(Requests, LinesAreReadStrictly) {
  auto error = [](absl::string_view text) {
    return std::string(ParseRequests(text, "file").status().message());
  };
  EXPECT_EQ(ParseRequests("one\r\n\ntwo", "file")->at(1).prompt, "two");
  EXPECT_EQ(ParseRequests("one\r\n", "file")->at(0).prompt, "one");
  const auto talk = ParseRequests(
      R"({"messages": [{"role": "user", "content": "hi"}]})", "file");
  EXPECT_EQ(talk->at(0).messages.at(0).content, "hi");
  EXPECT_EQ(error("\n \n"), "file: no prompts");
  EXPECT_NE(error("{\"prompt\": \"a\"}\n{\"promt\": \"b\"}").find("file:2"),
            std::string::npos);
  EXPECT_NE(error("{\"prompt\": \"a\"}\nplain").find("file:2"),
            std::string::npos);
  EXPECT_NE(error("{\"prompt\": \"a\", \"x\": 1}").find("unknown key"),
            std::string::npos);
  EXPECT_NE(error("{\"id\": 3}").find("either"), std::string::npos);
}

TEST(LoadTextModel, FoldersThatHaveNoTextAreErrors) {
  auto ctx = *Context::Create(Device::kCPU);
  TextModelOptions options;
  options.folder = "testdata/checkpoints/parity/gdn-T1";
  EXPECT_NE(LoadTextModel(*ctx, options).status().message().find("--tokenizer"),
            absl::string_view::npos);
  options.folder = "testdata/none";
  EXPECT_FALSE(LoadTextModel(*ctx, options).ok());
}

}  // namespace
}  // namespace lt2::tools
