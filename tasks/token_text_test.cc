#include "tasks/token_text.h"

#include <cstdlib>
#include <fstream>
#include <set>

#include "gtest/gtest.h"
#include "tasks/registry.h"
#include "tasks/task.h"

namespace lt2::tasks {
namespace {

using nlohmann::json;

constexpr int32_t kEnd = 256;  // of the tokenizer "bytes"

std::string Directory() { return ::testing::TempDir(); }

void Write(const std::string& name, const std::string& bytes) {
  std::ofstream(Directory() + "/" + name, std::ios::binary) << bytes;
}

absl::StatusOr<std::unique_ptr<Task>> Try(json spec) {
  spec["task"] = "text";
  if (!spec.contains("tokenizer")) spec["tokenizer"] = "bytes";
  TaskOptions options;
  options.data_dir = Directory();
  options.path = "data";
  return CreateTask(spec, options);
}

std::unique_ptr<Task> Make(const json& spec) {
  absl::StatusOr<std::unique_ptr<Task>> task = Try(spec);
  EXPECT_TRUE(task.ok()) << task.status();
  return task.ok() ? *std::move(task) : nullptr;
}

std::vector<int32_t> Ids(const std::string& text) {
  return std::vector<int32_t>(text.begin(), text.end());
}

std::string Error(const json& spec) {
  return std::string(Try(spec).status().message());
}

class TokenText : public ::testing::Test {
 protected:
  void SetUp() override {
    Write("train.txt", "abcdefgh\n<|endoftext|>\nijklmnop\n");
    Write("valid.txt", "0123456\n<|endoftext|>\n789\n<|endoftext|>\nxyz");
  }
  json Spec(int64_t length) const {
    return {{"length", length},
            {"train_files", {"train.txt"}},
            {"valid_files", {"valid.txt"}}};
  }
};

TEST_F(TokenText, DocumentsAreScoredByThemselvesEachTokenOnce) {
  const std::vector<std::string> documents = {"0123456\n", "789\n", "xyz"};
  for (int64_t length : {1, 2, 3, 4, 7, 8, 9, 17}) {
    SCOPED_TRACE(length);
    const auto task = Make(Spec(length));
    std::vector<std::string> scored(3);
    std::vector<int64_t> bytes(3);
    Example e;
    for (int64_t i = 0; i < task->num_examples(Split::kValid); ++i) {
      ASSERT_TRUE(task->Generate(Split::kValid, i, i, &e).ok());
      const Passage passage = task->passage(Split::kValid, i);
      ASSERT_GE(passage.document, 0);
      ASSERT_LT(passage.document, 3);
      std::string& text = scored[passage.document];
      // One token of context: the last of what came before, or the end of text.
      EXPECT_EQ(e.inputs[0], text.empty() ? kEnd : text.back());
      for (size_t t = 0; t < e.targets.size(); ++t) {
        if (t > 0) {
          EXPECT_EQ(e.inputs[t], e.targets[t - 1]);
        }
        text += static_cast<char>(e.targets[t]);
      }
      EXPECT_LE(static_cast<int64_t>(e.targets.size()), length);
      bytes[passage.document] += passage.bytes;
    }
    EXPECT_EQ(scored, documents);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(bytes[i], static_cast<int64_t>(documents[i].size()));
    }
    EXPECT_EQ(
        task->Generate(Split::kValid, 0, task->num_examples(Split::kValid), &e)
            .code(),
        absl::StatusCode::kOutOfRange);
    // The test text is the validation text unless it is given.
    EXPECT_EQ(task->num_examples(Split::kTest),
              task->num_examples(Split::kValid));
  }
}

TEST_F(TokenText, TestFilesAreTheTestSplit) {
  Write("test.txt", "qrs");
  json spec = Spec(4);
  spec["test_files"] = {"test.txt"};
  const auto task = Make(spec);
  ASSERT_EQ(task->num_examples(Split::kTest), 1);
  Example e;
  ASSERT_TRUE(task->Generate(Split::kTest, 0, 0, &e).ok());
  EXPECT_EQ(e.targets, Ids("qrs"));
  EXPECT_EQ(task->passage(Split::kTest, 0).bytes, 3);
  EXPECT_EQ(task->passage(Split::kTrain, 0).document, -1);
}

TEST_F(TokenText, TrainingWindowsAreUniformOverTheStream) {
  // E abcdefgh\n E ijklmnop\n E: 21 tokens, 17 windows of 4 + 1.
  std::vector<int32_t> stream = {kEnd};
  for (const std::string text : {"abcdefgh\n", "ijklmnop\n"}) {
    for (char c : text) stream.push_back(c);
    stream.push_back(kEnd);
  }
  ASSERT_EQ(stream.size(), 21u);
  const auto task = Make(Spec(4));
  EXPECT_EQ(task->num_examples(Split::kTrain), -1);
  std::vector<int> starts(17);
  Example e;
  for (int64_t i = 0; i < 17000; ++i) {
    ASSERT_TRUE(task->Generate(Split::kTrain, 3, i, &e).ok());
    int found = 0;
    for (int p = 0; p < 17; ++p) {
      if (std::equal(e.inputs.begin(), e.inputs.end(), stream.begin() + p) &&
          std::equal(e.targets.begin(), e.targets.end(),
                     stream.begin() + p + 1)) {
        ++starts[p];
        ++found;
      }
    }
    ASSERT_EQ(found, 1);
  }
  for (int count : starts) EXPECT_NEAR(count, 1000, 160);
}

TEST_F(TokenText, ValidFractionCutsWholeDocuments) {
  Write("four.txt",
        "aaaa\n<|endoftext|>\nbbbb\n<|endoftext|>\ncccc\n"
        "<|endoftext|>\ndddd\n");
  const auto task = Make(
      {{"length", 8}, {"train_files", {"four.txt"}}, {"valid_fraction", 0.3}});
  ASSERT_EQ(task->num_examples(Split::kValid), 2);
  Example e;
  ASSERT_TRUE(task->Generate(Split::kValid, 0, 0, &e).ok());
  EXPECT_EQ(e.targets, Ids("cccc\n"));
  std::set<int32_t> seen;
  for (int64_t i = 0; i < 200; ++i) {
    ASSERT_TRUE(task->Generate(Split::kTrain, 1, i, &e).ok());
    seen.insert(e.targets.begin(), e.targets.end());
  }
  EXPECT_EQ(seen, (std::set<int32_t>{'a', 'b', '\n', kEnd}));
}

TEST_F(TokenText, SpecNamesTheTokenizerAndItsDigest) {
  const auto task = Make(Spec(4));
  EXPECT_EQ(task->vocab_size(), 257);
  const json spec = task->spec();
  EXPECT_EQ(spec["tokenizer"], "bytes");
  ASSERT_FALSE(spec["tokenizer_digest"].get<std::string>().empty());
  EXPECT_EQ(Make(spec)->spec(), spec);
  json other = spec;
  other["tokenizer_digest"] = "another";
  EXPECT_NE(Error(other).find("data.tokenizer_digest: "), std::string::npos)
      << Error(other);
}

TEST_F(TokenText, WithoutATokenizerNothingChanged) {
  json spec = Spec(4);
  spec["task"] = "text";
  TaskOptions options;
  options.data_dir = Directory();
  const auto task = CreateTask(spec, options);
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_EQ((*task)->vocab_size(), 256);
  EXPECT_EQ((*task)->spec().count("tokenizer"), 0u);
  EXPECT_EQ((*task)->passage(Split::kValid, 0).document, -1);
}

TEST_F(TokenText, ErrorsNameTheKey) {
  json bad = Spec(4);
  bad["tokenizer"] = "no/such/folder";
  EXPECT_NE(Error(bad).find("data.tokenizer: "), std::string::npos)
      << Error(bad);
  EXPECT_NE(Error(Spec(21)).find("data.length: must be < the tokens of "
                                 "training text (21), got 21"),
            std::string::npos)
      << Error(Spec(21));
  bad = Spec(4);
  bad["tokenizer"] = 3;
  EXPECT_NE(Error(bad).find("data.tokenizer: "), std::string::npos);
  bad = {{"length", 2}, {"train_files", {"one.txt"}}};
  Write("one.txt", "just one document");
  EXPECT_NE(Error(bad).find("data.valid_fraction: "), std::string::npos)
      << Error(bad);
  EXPECT_NE(Error(bad).find("valid_files"), std::string::npos) << Error(bad);
  bad = Spec(4);
  bad.erase("tokenizer");
  bad["tokenizer_digest"] = "0";
  bad["tokenizer"] = "";
  EXPECT_NE(Error(bad).find("data.tokenizer_digest: is given without"),
            std::string::npos)
      << Error(bad);
}

TEST(EncodeAll, IsTheSameForAnyNumberOfThreads) {
  const auto tokenizer = Tokenizer::Load("bytes");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  std::vector<std::string> texts;
  for (int i = 0; i < 50; ++i) texts.push_back(std::string(i * 37 % 91, 'a'));
  const auto one = EncodeAll(**tokenizer, texts, 1);
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(one[i], Ids(texts[i]));
  EXPECT_EQ(EncodeAll(**tokenizer, texts, 7), one);
  EXPECT_TRUE(EncodeAll(**tokenizer, {}, 3).empty());
}

// Counts of the corpus recorded with another implementation of GPT-2's
// tokenizer: ids and one end of text for each document.
TEST_F(TokenText, CountsTokensAndBytesOfTheCorpus) {
  const char* data = std::getenv("LT2_DATA_DIR");
  if (data == nullptr) GTEST_SKIP() << "LT2_DATA_DIR is not set";
  TaskOptions options;
  options.data_dir = data;
  const auto task =
      CreateTask({{"task", "text"},
                  {"tokenizer", "tokenizers/gpt2"},
                  {"length", 1024},
                  {"train_files", {"corpus/valid-textbook.txt.xz"}},
                  {"valid_files", {"corpus/valid-books.txt.xz"}},
                  {"test_files", {"corpus/valid-textbook.txt.xz"}}},
                 options);
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_EQ((*task)->vocab_size(), 50257);
  const auto count = [&](Split split, int64_t* tokens, int64_t* bytes,
                         int64_t* documents) {
    Example e;
    *tokens = *bytes = *documents = 0;
    for (int64_t i = 0; i < (*task)->num_examples(split); ++i) {
      ASSERT_TRUE((*task)->Generate(split, 0, i, &e).ok());
      *tokens += static_cast<int64_t>(e.targets.size());
      *bytes += (*task)->passage(split, i).bytes;
      *documents = (*task)->passage(split, i).document + 1;
    }
  };
  int64_t tokens, bytes, documents;
  count(Split::kValid, &tokens, &bytes, &documents);
  EXPECT_EQ(documents, 4);
  EXPECT_EQ(tokens, 300778 - 4);
  EXPECT_EQ(bytes, 1319326 - 3 * 14);  // without the separator lines
  count(Split::kTest, &tokens, &bytes, &documents);
  EXPECT_EQ(documents, 56);
  EXPECT_EQ(tokens, 169757 - 56);
  EXPECT_EQ(bytes, 824442 - 55 * 14);
}

}  // namespace
}  // namespace lt2::tasks
