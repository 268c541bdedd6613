#include "model/generation/snapshot.h"

#include <fstream>

#include "gtest/gtest.h"
#include "model/generation/generator_testing.h"

namespace lt2::model {
namespace {

using ::lt2::testing::CpuContext;

constexpr int64_t kVocab = 29;
const SnapshotIdentity kIdentity = {"model 1", "tokenizer 1"};

std::string File(const std::string& name) {
  return ::testing::TempDir() + "/" + name;
}

nlohmann::json ModelJson(const std::string& name) {
  for (const TestModel& model : GenerationModels(32)) {
    if (model.name == name) return model.json;
  }
  LT2_CHECK(false, name);
  return {};
}

// Saves the state after a prompt of n tokens; returns the bytes.
int64_t SaveAfter(LoopedModel& model, int64_t n, const std::string& path) {
  GeneratorOptions options;
  options.capacity = 300;
  auto generator = MakeGenerator(model, options, {RandomTokens(n, kVocab, 1)});
  LT2_CHECK_OK(generator->Prefill());
  const auto bytes = generator->Save(path, kIdentity);
  LT2_CHECK(bytes.ok(), bytes.status().ToString());
  return *bytes;
}

std::string LoadError(LoopedModel& model, const std::string& path,
                      GeneratorOptions options = {},
                      const SnapshotIdentity& identity = kIdentity) {
  auto generator = MakeGenerator(model, options, {});
  const std::string message(generator->Load(path, identity).message());
  // Without the file's name.
  return message.substr(message.find(": ") + 2);
}

TEST(Snapshot, GoingOnFromAFileGivesTheBitsOfGoingOnWithoutIt) {
  auto ctx = CpuContext();
  for (const TestModel& test : GenerationModels(32)) {
    auto model = MakeModel(*ctx, test.json, false);
    ExpectSnapshotKeepsBits(*model, "cpu_" + test.name);
  }
  nlohmann::json shared = ModelJson("full");
  shared["cache_sharing"] = "last";
  auto model = MakeModel(*ctx, shared, false);
  ExpectSnapshotKeepsBits(*model, "cpu_shared");
  // One cache for the three loops of each of the two layers.
  EXPECT_EQ(SaveAfter(*model, 21, File("shared")) - 4 * 21,
            2 * 2 * 32 * 4 * 20);
}

TEST(Snapshot, OnlyGrowingStatesGrow) {
  auto ctx = CpuContext();
  auto bytes = [&](const char* name, int64_t n) {
    auto model = MakeModel(*ctx, ModelJson(name), false);
    return SaveAfter(*model, n, File("size")) - 4 * n;  // less the tokens
  };
  EXPECT_EQ(bytes("gdn", 21), bytes("gdn", 201));
  EXPECT_EQ(bytes("window", 21), bytes("window", 201));
  // 6 slots, keys and values, 32 channels, f32; the last token is not taken in.
  EXPECT_EQ(bytes("full", 201), 6 * 2 * 32 * 4 * 200);
  EXPECT_EQ(bytes("full", 21), 6 * 2 * 32 * 4 * 20);
  EXPECT_LT(bytes("nsa", 21), bytes("nsa", 201) / 5);
}

TEST(Snapshot, TheHeaderTellsWhatItIs) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx, ModelJson("gdn"), false);
  SaveAfter(*model, 21, File("header"));
  const auto info = ReadSnapshotInfo(File("header"));
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->identity.model_digest, "model 1");
  EXPECT_EQ(info->identity.tokenizer_digest, "tokenizer 1");
  EXPECT_EQ(info->batch, 1);
  EXPECT_EQ(info->loops, 3);
  EXPECT_EQ(info->position, 20);
  EXPECT_EQ(info->tokens, 21);
}

TEST(Snapshot, AnotherModelIsAnErrorThatSaysWhatDiffers) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx, ModelJson("gdn"), false);
  const std::string path = File("other");
  SaveAfter(*model, 21, path);
  EXPECT_EQ(LoadError(*model, path, {}, {"model 2", "tokenizer 1"}),
            "the snapshot's model digest is 'model 1', here it is 'model 2'");
  EXPECT_EQ(LoadError(*model, path, {}, {"model 1", "tokenizer 2"}),
            "the snapshot's tokenizer digest is 'tokenizer 1', here it is "
            "'tokenizer 2'");
  EXPECT_EQ(LoadError(*model, path, {.batch = 2}),
            "the snapshot's batch is '1', here it is '2'");
  EXPECT_EQ(LoadError(*model, path, {.loops = 2}),
            "the snapshot's number of loops is '3', here it is '2'");
  EXPECT_EQ(LoadError(*model, path, {.capacity = 20}),
            "the snapshot has 21 tokens, the state's capacity is 20");
  auto other = MakeModel(*ctx, ModelJson("deltanet"), false);
  EXPECT_EQ(LoadError(*other, path),
            "the snapshot's model.layer_pattern is '\"gdn\"', here it is "
            "'\"deltanet\"'");
  auto generator = MakeGenerator(*model, {}, {{1}});
  EXPECT_EQ(generator->Load(path, kIdentity).code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(Snapshot, DamagedFilesAreErrors) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx, ModelJson("full_gdn"), false);
  const std::string path = File("whole"), damaged = File("damaged");
  SaveAfter(*model, 21, path);
  const std::string bytes = Bytes(path);
  auto load = [&](const std::string& content) {
    std::ofstream(damaged, std::ios::binary) << content;
    auto generator = MakeGenerator(*model, {}, {});
    return generator->Load(damaged, kIdentity);
  };
  EXPECT_TRUE(load(bytes).ok());
  for (size_t n = 0; n < bytes.size(); n += 1 + bytes.size() / 50) {
    EXPECT_FALSE(load(bytes.substr(0, n)).ok()) << n;
  }
  auto replaced = [&](const std::string& from, const std::string& to) {
    std::string changed = bytes;
    LT2_CHECK(from.size() == to.size());
    const size_t at = changed.find(from);
    LT2_CHECK(at != changed.npos, from);
    return changed.replace(at, from.size(), to);
  };
  EXPECT_FALSE(load(replaced("lt2.decode_state", "lt2.decode-state")).ok());
  EXPECT_FALSE(
      load(replaced("\"position\":\"20\"", "\"position\":\"21\"")).ok());
  EXPECT_FALSE(
      load(replaced("\"position\":\"20\"", "\"position\":\"19\"")).ok());
  EXPECT_FALSE(
      load(replaced("\"position\":\"20\"", "\"position\":\"-1\"")).ok());
  EXPECT_FALSE(load(replaced("layer.1.k_cache", "layer.1.K_cache")).ok());
  // A token outside the vocabulary: they are first in the file.
  std::string changed = bytes;
  const uint64_t header =
      static_cast<uint8_t>(bytes[0]) + 256 * static_cast<uint8_t>(bytes[1]);
  changed[8 + header] = 100;
  EXPECT_NE(load(changed).message().find("token 100"), absl::string_view::npos);
}

}  // namespace
}  // namespace lt2::model
