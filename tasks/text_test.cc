#include "tasks/text.h"

#include <lzma.h>

#include <cstdlib>
#include <fstream>
#include <set>

#include "gtest/gtest.h"
#include "tasks/task.h"
#include "tasks/text_file.h"

namespace lt2::tasks {
namespace {

using nlohmann::json;

std::string Directory() { return ::testing::TempDir(); }

void Write(const std::string& name, const std::string& bytes) {
  std::ofstream(Directory() + "/" + name, std::ios::binary) << bytes;
}

std::string Compress(const std::string& text) {
  std::string out(lzma_stream_buffer_bound(text.size()), '\0');
  size_t size = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(
                0, LZMA_CHECK_CRC64, nullptr,
                reinterpret_cast<const uint8_t*>(text.data()), text.size(),
                reinterpret_cast<uint8_t*>(&out[0]), &size, out.size()),
            LZMA_OK);
  out.resize(size);
  return out;
}

absl::StatusOr<std::unique_ptr<Task>> Try(json spec) {
  spec["task"] = "text";
  TaskOptions options;
  options.data_dir = Directory();
  return CreateTask(spec, options);
}

std::unique_ptr<Task> Make(const json& spec) {
  absl::StatusOr<std::unique_ptr<Task>> task = Try(spec);
  EXPECT_TRUE(task.ok()) << task.status();
  return task.ok() ? *std::move(task) : nullptr;
}

std::string Random(int64_t size) {
  std::string text;
  uint32_t state = 1;
  while (static_cast<int64_t>(text.size()) < size) {
    state = state * 1664525 + 1013904223;
    text += static_cast<char>('a' + (state >> 24) % 26);
    if ((state >> 16) % 30 == 0) text += '\n';
  }
  return text;
}

// Targets of a finite split in order; '?' for each that is not scored.
std::string Scored(const Task& task, Split split) {
  std::string text;
  Example e;
  for (int64_t i = 0; i < task.num_examples(split); ++i) {
    EXPECT_TRUE(task.Generate(split, 5, i, &e).ok());
    for (int32_t t : e.targets) {
      text += t == kIgnore ? '?' : static_cast<char>(t);
    }
  }
  return text;
}

TEST(AppendDocuments, SplitsAtSeparatorLines) {
  const auto split = [](const std::string& text) {
    std::string stream;
    EXPECT_TRUE(AppendDocuments(text, &stream).ok());
    for (char& c : stream) c = c == '\0' ? '|' : c;
    return stream;
  };
  EXPECT_EQ(split("one\n<|endoftext|>\ntwo\n"), "|one\n|two\n");
  EXPECT_EQ(split("one\n<|endoftext|>"), "|one\n");
  EXPECT_EQ(split("one\n<|endoftext|>\n"), "|one\n");
  EXPECT_EQ(split("<|endoftext|>\n<|endoftext|>\none"), "|one");
  EXPECT_EQ(split("one <|endoftext|>\n"), "|one <|endoftext|>\n");
  EXPECT_EQ(split("<|endoftext|> one\n"), "|<|endoftext|> one\n");
  EXPECT_EQ(split(""), "");
  std::string stream;
  EXPECT_EQ(AppendDocuments(std::string("ab\0c", 4), &stream).message(),
            "byte 2 is 0, which is kept for document boundaries");
}

TEST(ReadTextFile, DecompressesXz) {
  const std::string text = Random(300000);
  Write("a.txt", text);
  Write("a.txt.xz", Compress(text));
  Write("two.xz", Compress(text) + Compress("more"));
  Write("empty.xz", Compress(""));
  Write("empty.txt", "");
  EXPECT_EQ(ReadTextFile(Directory() + "/a.txt").value(), text);
  EXPECT_EQ(ReadTextFile(Directory() + "/a.txt.xz").value(), text);
  EXPECT_EQ(ReadTextFile(Directory() + "/two.xz").value(), text + "more");
  EXPECT_EQ(ReadTextFile(Directory() + "/empty.xz").value(), "");
  EXPECT_EQ(ReadTextFile(Directory() + "/empty.txt").value(), "");
}

TEST(ReadTextFile, BadFilesAreErrorsThatNameTheFile) {
  const std::string good = Compress(Random(3000));
  // Every truncation, and every byte damaged in turn (the check sum sees it).
  for (size_t n = 0; n < good.size(); n += 7) {
    Write("bad.xz", good.substr(0, n));
    const auto text = ReadTextFile(Directory() + "/bad.xz");
    ASSERT_FALSE(text.ok()) << n;
    ASSERT_NE(text.status().message().find("bad.xz: "),
              absl::string_view::npos);
    std::string damaged = good;
    damaged[n] = static_cast<char>(damaged[n] ^ 0x55);
    Write("bad.xz", damaged);
    ASSERT_FALSE(ReadTextFile(Directory() + "/bad.xz").ok()) << n;
  }
  EXPECT_FALSE(ReadTextFile(Directory() + "/missing").ok());
  EXPECT_FALSE(ReadTextFile(Directory()).ok());
}

TEST(ReadTextFile, SizeIsLimited) {
  Write("zeros.xz", Compress(std::string(1 << 20, 'a')));
  Write("zeros.txt", std::string(1001, 'a'));
  EXPECT_EQ(ReadTextFile(Directory() + "/zeros.xz", 1000).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadTextFile(Directory() + "/zeros.txt", 1000).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(ReadTextFile(Directory() + "/zeros.txt", 1001).ok());
}

TEST(Text, EveryByteOfTheTestTextIsScoredOnce) {
  Write("train.txt", Random(500));
  const std::string first = Random(95), second = Random(40);
  Write("valid.txt", first + "\n<|endoftext|>\n" + second);
  for (int64_t length : {1, 2, 10, 64, 100, 1000}) {
    if (length > 400) continue;  // The training text must be longer.
    const auto task = Make({{"length", length},
                            {"train_files", {"train.txt"}},
                            {"valid_files", {"valid.txt"}}});
    const std::string expected = first + "\n?" + second;
    EXPECT_EQ(Scored(*task, Split::kValid), expected);
    EXPECT_EQ(Scored(*task, Split::kTest), expected);
    EXPECT_EQ(task->num_examples(Split::kValid),
              (static_cast<int64_t>(expected.size()) + length - 1) / length);
    EXPECT_EQ(task->num_examples(Split::kTrain), -1);
  }
}

TEST(Text, WindowsHaveOneByteOfContext) {
  Write("train.txt", Random(500));
  Write("valid.txt", "abcdefg");
  const auto task = Make({{"length", 3},
                          {"train_files", {"train.txt"}},
                          {"valid_files", {"valid.txt"}}});
  const auto inputs = [&](int64_t i) {
    Example e;
    EXPECT_TRUE(task->Generate(Split::kValid, 0, i, &e).ok());
    return e.inputs;
  };
  ASSERT_EQ(task->num_examples(Split::kValid), 3);
  EXPECT_EQ(inputs(0), (std::vector<int32_t>{0, 'a', 'b'}));
  EXPECT_EQ(inputs(1), (std::vector<int32_t>{'c', 'd', 'e'}));
  EXPECT_EQ(inputs(2), (std::vector<int32_t>{'f'}));
  Example e;
  EXPECT_EQ(task->Generate(Split::kValid, 0, 3, &e).code(),
            absl::StatusCode::kOutOfRange);
}

TEST(Text, TrainingWindowsAreUniformOverTheText) {
  std::string text;
  for (int i = 1; i <= 21; ++i) text += static_cast<char>(i);
  Write("count.txt", text);
  Write("valid.txt", "abcdefg");
  const auto task = Make({{"length", 2},
                          {"train_files", {"count.txt"}},
                          {"valid_files", {"valid.txt"}}});
  std::vector<double> starts(22);
  Example e;
  for (int64_t i = 0; i < 20000; ++i) {
    ASSERT_TRUE(task->Generate(Split::kTrain, 1, i, &e).ok());
    ASSERT_EQ(e.inputs.size(), 2u);
    ASSERT_EQ(e.inputs[1], e.inputs[0] + 1);
    ASSERT_EQ(e.targets[0], e.inputs[1]);
    ASSERT_EQ(e.targets[1], e.inputs[0] + 2);
    ++starts[e.inputs[0]];
  }
  for (int start = 0; start < 20; ++start)
    EXPECT_NEAR(starts[start], 1000, 160);
  EXPECT_EQ(starts[20] + starts[21], 0);
}

TEST(Text, ValidFractionCutsAtADocument) {
  std::string text;
  for (char c = 'a'; c <= 'j'; ++c) {
    text += std::string(9, c) + "\n<|endoftext|>\n";
  }
  Write("documents.txt", text);
  // Ten documents of 11 bytes of stream; 75 % is inside the eighth.
  const auto task = Make({{"length", 8},
                          {"train_files", {"documents.txt"}},
                          {"valid_fraction", 0.25}});
  EXPECT_EQ(Scored(*task, Split::kValid), "iiiiiiiii\n?jjjjjjjjj\n");
  std::set<int32_t> seen;
  Example e;
  for (int64_t i = 0; i < 500; ++i) {
    ASSERT_TRUE(task->Generate(Split::kTrain, 1, i, &e).ok());
    seen.insert(e.targets.begin(), e.targets.end());
  }
  EXPECT_EQ(seen.count('h'), 1u);
  EXPECT_EQ(seen.count('i') + seen.count('j'), 0u);
  EXPECT_EQ(seen.count(0), 1u);  // A boundary is scored in training.
}

TEST(Text, ValidFractionCutsAtALineWithoutDocuments) {
  Write("lines.txt", "aaaa\nbbbb\ncccc\ndddd\n");
  const auto task = Make(
      {{"length", 4}, {"train_files", {"lines.txt"}}, {"valid_fraction", 0.3}});
  EXPECT_EQ(Scored(*task, Split::kValid), "dddd\n");
  Write("line.txt", Random(20) + "one line");
  Write("oneline.txt", std::string(100, 'a'));
  EXPECT_FALSE(Try({{"length", 4}, {"train_files", {"oneline.txt"}}}).ok());
}

TEST(Text, EmptyFilesAreErrors) {
  Write("none.txt", "");
  Write("train.txt", Random(500));
  EXPECT_FALSE(Try({{"length", 4}, {"train_files", {"none.txt"}}}).ok());
  EXPECT_FALSE(Try({{"length", 4},
                    {"train_files", {"train.txt"}},
                    {"valid_files", {"none.txt"}}})
                   .ok());
  EXPECT_FALSE(Try({{"length", 4},
                    {"train_files", {"train.txt"}},
                    {"valid_files", {"train.txt"}},
                    {"test_files", {"none.txt"}}})
                   .ok());
}

TEST(Text, ReadsTheCorpus) {
  const char* data = std::getenv("LT2_DATA_DIR");
  if (data == nullptr) GTEST_SKIP() << "LT2_DATA_DIR is not set";
  TaskOptions options;
  options.data_dir = data;
  const auto task =
      CreateTask({{"task", "text"},
                  {"length", 1024},
                  {"train_files", {"corpus/valid-textbook.txt.xz"}},
                  {"valid_files", {"corpus/valid-books.txt.xz"}}},
                 options);
  ASSERT_TRUE(task.ok()) << task.status();
  // 1,319,326 bytes with three separator lines of 14 bytes between four
  // documents; each separator becomes one byte that is not scored.
  const std::string scored = Scored(**task, Split::kValid);
  EXPECT_EQ(scored.size(), 1319326u - 3 * 14 + 3);
  EXPECT_EQ(scored.substr(0, 27), "The House Behind the Cedars");
}

}  // namespace
}  // namespace lt2::tasks
