// Folders that are not what they should be: the error names file and tensor
// and says what to do.

#include "gtest/gtest.h"
#include "model/hf/hf_testing.h"

namespace lt2::model {
namespace {

using testing::CpuContext;

class DamagedFolder : public ::testing::Test {
 protected:
  // A folder of its own for each test.
  std::string Make(const nlohmann::json& config = TinyOuro(),
                   int64_t shard_bytes = 0) {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    return OuroFolder(*ctx_, std::string("damaged_") + info->name(), config,
                      shard_bytes);
  }
  std::string Weights(const std::string& folder) {
    return folder + "/model.safetensors";
  }
  // The error of loading; every word of `words` must be in it.
  void Expect(const std::string& folder, const std::vector<std::string>& words,
              const LoadOptions& options = {}) {
    const auto loaded = LoadModelFolder(*ctx_, folder, options);
    ASSERT_FALSE(loaded.ok());
    const std::string message(loaded.status().message());
    for (const std::string& word : words) {
      EXPECT_NE(message.find(word), std::string::npos)
          << "'" << word << "' is not in: " << message;
    }
  }

  std::unique_ptr<Context> ctx_ = CpuContext();
};

TEST_F(DamagedFolder, TheUndamagedOneLoads) {
  for (const int64_t shard_bytes : {0, 9000}) {
    const auto loaded = LoadModelFolder(*ctx_, Make(TinyOuro(), shard_bytes));
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_TRUE(loaded->notes.empty());
  }
}

TEST_F(DamagedFolder, AFileThatWasCutShort) {
  const std::string folder = Make();
  const std::string whole = ReadText(Weights(folder));
  // In the data, in the header, in its length, and nothing at all.
  for (const size_t left : {whole.size() - 1, whole.size() / 2, size_t{100},
                            size_t{5}, size_t{0}}) {
    WriteText(Weights(folder), whole.substr(0, left));
    Expect(folder, {Weights(folder), "copy the file again"});
  }
}

TEST_F(DamagedFolder, AShardThatWasCutShort) {
  const std::string folder = Make(TinyOuro(), 9000);
  const std::string shard = folder + "/model-00002-of-00011.safetensors";
  const std::string whole = ReadText(shard);
  ASSERT_GT(whole.size(), 1000u);
  WriteText(shard, whole.substr(0, whole.size() - 10));
  Expect(folder, {shard, "truncated", "copy the file again"});
}

TEST_F(DamagedFolder, ATensorIsMissing) {
  const std::string folder = Make();
  Rewrite(*ctx_, Weights(folder), [](auto& all) {
    all.erase(std::remove_if(all.begin(), all.end(),
                             [](const Stored& s) {
                               return s.name == "model.norm.weight";
                             }),
              all.end());
  });
  Expect(folder, {folder, "no tensor 'model.norm.weight'", "[32]",
                  "copy the whole checkpoint"});
}

TEST_F(DamagedFolder, TheHeadIsMissingBecauseItIsTied) {
  const std::string folder = Make();
  Rewrite(*ctx_, Weights(folder), [](auto& all) {
    all.erase(std::remove_if(
                  all.begin(), all.end(),
                  [](const Stored& s) { return s.name == "lm_head.weight"; }),
              all.end());
  });
  Expect(folder, {"no tensor 'lm_head.weight'", "tie_word_embeddings"});
  EditConfig(folder, [](auto& c) { c["tie_word_embeddings"] = true; });
  EXPECT_TRUE(LoadModelFolder(*ctx_, folder).ok());
}

TEST_F(DamagedFolder, AHeadThatIsNotUsedIsANote) {
  const std::string folder = Make();
  EditConfig(folder, [](auto& c) { c["tie_word_embeddings"] = true; });
  const auto loaded = LoadModelFolder(*ctx_, folder);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_EQ(loaded->notes.size(), 1u);
  EXPECT_NE(loaded->notes[0].find("lm_head.weight"), std::string::npos);
}

TEST_F(DamagedFolder, ATensorThatNobodyExpects) {
  const std::string folder = Make();
  Rewrite(*ctx_, Weights(folder), [](auto& all) {
    Stored more = all[0];
    more.name = "model.layers.2.mlp.up_proj.weight";
    all.push_back(more);
  });
  Expect(folder, {Weights(folder), "model.layers.2.mlp.up_proj.weight",
                  "is not part of the model", "remove the tensor"});
}

TEST_F(DamagedFolder, ATensorOfAnotherType) {
  const std::string folder = Make();
  Rewrite(*ctx_, Weights(folder), [](auto& all) {
    for (Stored& s : all) {
      if (s.name != "model.norm.weight") continue;
      s.dtype = SafetensorsDType::kF64;
      s.bytes += s.bytes;
    }
  });
  Expect(folder, {Weights(folder), "'model.norm.weight' F64[32]",
                  "store it as F32, BF16 or F16"});
}

TEST_F(DamagedFolder, ATensorOfAnotherShape) {
  const std::string folder = Make();
  Rewrite(*ctx_, Weights(folder), [](auto& all) {
    for (Stored& s : all) {
      if (s.name == "model.layers.1.self_attn.k_proj.weight") {
        std::swap(s.shape[0], s.shape[1]);
      }
    }
  });
  Expect(folder, {Weights(folder), "model.layers.1.self_attn.k_proj.weight",
                  "[32, 16]", "[16, 32]", "correct config.json"});
}

TEST_F(DamagedFolder, AnotherVocabulary) {
  const std::string folder = Make();
  EditConfig(folder, [](auto& c) { c["vocab_size"] = 49152; });
  Expect(folder, {"model.embed_tokens.weight", "vocabulary of 31", "49152",
                  "set it to"});
}

TEST_F(DamagedFolder, ATokenizerWithMoreIdsThanTheModel) {
  const std::string folder = Make();
  LoadOptions options;
  options.vocab_size = 32;
  Expect(folder, {folder, "vocab_size is 31", "the tokenizer has 32 ids"},
         options);
  options.vocab_size = 30;
  const auto smaller = LoadModelFolder(*ctx_, folder, options);
  ASSERT_TRUE(smaller.ok()) << smaller.status();
  EXPECT_EQ(smaller->notes.size(), 1u);
}

TEST_F(DamagedFolder, AnIndexWithAShardThatIsNotThere) {
  const std::string folder = Make(TinyOuro(), 9000);
  const std::string shard = "model-00003-of-00011.safetensors";
  ASSERT_EQ(std::remove((folder + "/" + shard).c_str()), 0);
  Expect(folder, {folder + "/model.safetensors.index.json", shard,
                  "not in the folder", "copy that shard"});
}

class DamagedIndex : public DamagedFolder {
 protected:
  void Check(const std::string& index, const std::vector<std::string>& words) {
    const std::string folder = Make(TinyOuro(), 9000);
    const std::string path = folder + "/model.safetensors.index.json";
    if (index.empty()) {
      nlohmann::json json = *ParseJson(ReadText(path), path);
      change_(json["weight_map"]);
      WriteText(path, json.dump());
    } else {
      WriteText(path, index);
    }
    Expect(folder, words);
  }
  std::function<void(nlohmann::json&)> change_;
};

TEST_F(DamagedIndex, PlacesATensorInAShardThatDoesNotHaveIt) {
  change_ = [](nlohmann::json& map) {
    map["model.norm.weight"] = map["model.embed_tokens.weight"];
  };
  Check("", {"model.norm.weight", "places there", "same checkpoint"});
  change_ = [](nlohmann::json& map) {
    map["model.nobody.weight"] = map["model.embed_tokens.weight"];
  };
  Check("", {"model.nobody.weight", "places there"});
}

TEST_F(DamagedIndex, NamesFilesElsewhere) {
  for (const char* name : {"../model.safetensors", "/etc/passwd", "", ".."}) {
    change_ = [&](nlohmann::json& map) { map["model.norm.weight"] = name; };
    Check("", {"weight_map", "model.norm.weight", "same folder"});
  }
  change_ = [](nlohmann::json& map) { map["model.norm.weight"] = 3; };
  Check("", {"weight_map", "model.norm.weight"});
}

TEST_F(DamagedIndex, IsNoIndex) {
  Check("{}", {"index.json", "weight_map"});
  Check("[]", {"index.json", "weight_map"});
  Check("{\"weight_map\": 3}", {"index.json", "weight_map"});
  Check("{\"weight_map\": ", {"index.json"});
}

TEST_F(DamagedFolder, TwoShardsWithOneTensor) {
  const std::string folder = Make(TinyOuro(), 9000);
  std::vector<Stored> first;
  Rewrite(*ctx_, folder + "/model-00001-of-00011.safetensors",
          [&](auto& all) { first = all; });
  Rewrite(*ctx_, folder + "/model-00002-of-00011.safetensors",
          [&](auto& all) { all.push_back(first[0]); });
  Expect(folder, {first[0].name, "is also in", "model-00001-of-00011"});
}

TEST_F(DamagedFolder, NoWeightsOrNoConfiguration) {
  const std::string folder = Make();
  ASSERT_EQ(std::remove(Weights(folder).c_str()), 0);
  Expect(folder,
         {folder, "neither model.safetensors nor", "copy the weights there"});
  ASSERT_EQ(std::remove((folder + "/config.json").c_str()), 0);
  Expect(folder, {folder + "/config.json"});
}

TEST_F(DamagedFolder, AModelOfAnotherKind) {
  const std::string folder = Make();
  WriteText(folder + "/config.json", "{\"model_type\": \"llama\"}");
  Expect(folder,
         {folder + "/config.json", "llama", "\"ouro\" is the only one"});
  WriteText(folder + "/config.json", "[1]");
  Expect(folder, {folder + "/config.json"});
  WriteText(folder + "/config.json", "{\"model_type\": ");
  Expect(folder, {folder + "/config.json"});
}

// A key, its value, and what the message must have.
TEST_F(DamagedFolder, KeysAndValuesOfTheConfiguration) {
  const std::string folder = Make();
  const std::string path = folder + "/config.json";
  const nlohmann::json good = *ParseJson(ReadText(path), path);
  struct Case {
    const char* key;
    nlohmann::json value;
    std::vector<std::string> words;
  };
  const Case cases[] = {
      {"hidden_act", "gelu", {"hidden_act", "silu", "gelu"}},
      {"hidden_size", "32", {"hidden_size", "integer"}},
      {"hidden_size", -1, {"hidden_size", "-1"}},
      {"num_attention_heads", 5, {"head_dim"}},
      {"num_key_value_heads", 3, {"n_kv_heads", "3 does not divide"}},
      {"head_dim", 16, {"head_dim", "16 times 4"}},
      {"total_ut_steps", 0, {"total_ut_steps"}},
      {"total_ut_steps", nullptr, {"total_ut_steps", "required"}},
      {"rope_theta", nullptr, {"rope_theta", "required"}},
      {"rope_scaling", {{"rope_type", "yarn"}}, {"rope_scaling", "null"}},
      {"rms_norm_eps", "small", {"rms_norm_eps"}},
      {"early_exit_threshold", -0.5, {"early_exit_threshold"}},
      {"early_exit_step", 3, {"early_exit_step", "[0, 2]"}},
      {"layer_types", {"full_attention"}, {"layer_types", "1 types for 2"}},
      {"layer_types",
       {"full_attention", "linear_attention"},
       {"layer_types", "linear_attention"}},
      {"layer_types",
       {"full_attention", "sliding_attention"},
       {"layer_types", "use_sliding_window"}},
      {"attention_bias", true, {"attention_bias"}},
      {"total_ut_stesp", 4, {"total_ut_stesp", "did you mean"}},
      {"quantization_config", {{"bits", 4}}, {"quantization_config"}},
      {"lt2", 3, {"lt2"}},
      {"lt2", {{"layer_patern", "gdn"}}, {"layer_patern", "layer_pattern"}},
      {"lt2", {{"layer_pattern", "gnd"}}, {"layer_pattern", "gnd"}},
  };
  for (const Case& c : cases) {
    nlohmann::json bad = good;
    bad[c.key] = c.value;
    WriteText(path, bad.dump());
    SCOPED_TRACE(bad.dump());
    std::vector<std::string> words = c.words;
    if (std::string(c.value.dump()).find("gnd") == std::string::npos) {
      words.push_back(path);
    }
    Expect(folder, words);
  }
}

}  // namespace
}  // namespace lt2::model
