// Every input that the fuzzer kept goes through its target again.

#include <filesystem>

#include "gtest/gtest.h"
#include "tasks/text_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace lt2::tasks {
namespace {

TEST(TokenizerCorpus, EveryInputIsReadOrRefused) {
  int inputs = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator("testdata/fuzz/tokenizer")) {
    SCOPED_TRACE(entry.path().string());
    const absl::StatusOr<std::string> bytes =
        ReadTextFile(entry.path().string());
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes->data()),
                           bytes->size());
    ++inputs;
  }
  EXPECT_GE(inputs, 49);
}

}  // namespace
}  // namespace lt2::tasks
