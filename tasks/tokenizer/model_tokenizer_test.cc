#include "tasks/tokenizer/model_tokenizer.h"

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"

namespace lt2::tasks {
namespace {

using Json = nlohmann::json;

TEST(ModelTokenizer, IsWhatTheFolderHas) {
  for (const char* name : {"tokenizer.json", "encoder.json"}) {
    const std::string folder = testing::TempDir() + "/with_" + name;
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/" + name) << "{}";
    const Json trained = {{"data", {{"task", "text"}}}};
    const auto found = TokenizerOfModel(folder, trained, "/data");
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(*found, folder) << "its own before that of its training";
  }
}

TEST(ModelTokenizer, ElseWhatItWasTrainedWith) {
  auto of = [](const Json& data, const std::string& data_dir) {
    return *TokenizerOfModel("/nowhere", {{"data", data}}, data_dir);
  };
  EXPECT_EQ(of({{"task", "text"}}, "/data"), "bytes");
  EXPECT_EQ(of({{"task", "text"}, {"tokenizer", "bytes"}}, "/data"), "bytes");
  EXPECT_EQ(of({{"task", "text"}, {"tokenizer", "t/gpt2"}}, "/data"),
            "/data/t/gpt2");
  EXPECT_EQ(of({{"task", "text"}, {"tokenizer", "t/gpt2"}}, ""), "t/gpt2");
  EXPECT_EQ(of({{"task", "text"}, {"tokenizer", "/t/gpt2"}}, "/data"),
            "/t/gpt2");
}

TEST(ModelTokenizer, ElseItMustBeSaid) {
  for (const Json& config :
       {Json::object(), Json(3), Json{{"data", 7}},
        Json{{"data", {{"task", 1}}}}, Json{{"data", {{"task", "parity"}}}}}) {
    const auto found = TokenizerOfModel("/nowhere", config, "/data");
    EXPECT_EQ(found.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(found.status().message().find("--tokenizer"), std::string::npos)
        << found.status();
  }
}

}  // namespace
}  // namespace lt2::tasks
