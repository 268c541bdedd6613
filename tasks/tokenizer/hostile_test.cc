// Wrong tokenizer files are errors that say what is wrong, never crashes and
// never quietly something else.

#include <functional>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tasks/tokenizer/tiny_tokenizer.h"

namespace lt2::tasks {
namespace {

using nlohmann::json;

struct Change {
  const char* message;
  std::function<void(json&)> apply;
};

TEST(HostileTokenizerJson, EachWrongThingIsNamed) {
  const Change changes[] = {
      // Ids.
      {"another token has too", [](json& j) { j["model"]["vocab"]["a"] = 98; }},
      {"without holes", [](json& j) { j["model"]["vocab"]["a"] = 267; }},
      {"expected an integer",
       [](json& j) { j["model"]["vocab"]["a"] = 4294967393; }},
      {"expected an integer",
       [](json& j) { j["model"]["vocab"]["a"] = 1e300; }},
      {"expected an integer", [](json& j) { j["model"]["vocab"]["a"] = -1; }},
      {"expected an integer", [](json& j) { j["model"]["vocab"]["a"] = "1"; }},
      {"without holes", [](json& j) { j["added_tokens"][0]["id"] = 999; }},
      {"another token has too",
       [](json& j) { j["added_tokens"][0]["id"] = 97; }},
      {"in model.vocab",
       [](json& j) { j["model"]["vocab"]["<|endoftext|>"] = 267; }},
      {"is there twice",
       [](json& j) { j["added_tokens"].push_back(j["added_tokens"][0]); }},
      {"bytes, got 0", [](json& j) { j["added_tokens"][0]["content"] = ""; }},
      {"bytes, got 10000",
       [](json& j) {
         j["added_tokens"][0]["content"] = std::string(10000, 'x');
       }},
      {"bytes, at most",
       [](json& j) { j["model"]["vocab"][std::string(5000, 'x')] = 267; }},
      {"an empty token", [](json& j) { j["model"]["vocab"][""] = 267; }},
      {"stands for no byte",
       [](json& j) { j["model"]["vocab"]["\u4e2d"] = 267; }},
      {"stands for no byte", [](json& j) { j["model"]["vocab"]["a b"] = 267; }},
      // Merges.
      {"there is no token", [](json& j) { j["model"]["merges"][0] = "q q"; }},
      {"there is no token",
       [](json& j) {
         j["model"]["merges"][0] = {"qq", "q"};
       }},
      {"two tokens with a space",
       [](json& j) { j["model"]["merges"][0] = "h"; }},
      {"two tokens with a space",
       [](json& j) { j["model"]["merges"][0] = "h e r"; }},
      {"expected \"left right\"",
       [](json& j) {
         j["model"]["merges"][0] = {"h", "e", "r"};
       }},
      {"expected \"left right\"", [](json& j) { j["model"]["merges"][0] = 7; }},
      {"merged by two rules",
       [](json& j) { j["model"]["merges"].push_back("h e"); }},
      {"model.merges", [](json& j) { j["model"].erase("merges"); }},
      {"model.vocab", [](json& j) { j["model"].erase("vocab"); }},
      {"model.vocab",
       [](json& j) {
         j["model"]["vocab"] = {1, 2};
       }},
      // What is not implemented.
      {"model.type", [](json& j) { j["model"]["type"] = "Unigram"; }},
      {"model.type", [](json& j) { j["model"]["type"] = "WordPiece"; }},
      {"model.dropout", [](json& j) { j["model"]["dropout"] = 0.1; }},
      {"end_of_word_suffix",
       [](json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }},
      {"continuing_subword_prefix",
       [](json& j) { j["model"]["continuing_subword_prefix"] = "##"; }},
      {"model.surprise", [](json& j) { j["model"]["surprise"] = 1; }},
      {"surprise", [](json& j) { j["surprise"] = 1; }},
      {"added_tokens", [](json& j) { j.erase("added_tokens"); }},
      {"surprise", [](json& j) { j["added_tokens"][0]["surprise"] = true; }},
      {"truncation",
       [](json& j) {
         j["truncation"] = {{"max_length", 512}};
       }},
      {"padding",
       [](json& j) {
         j["padding"] = {{"pad_id", 0}};
       }},
      {"version", [](json& j) { j["version"] = "2.0"; }},
      {"normalizer.type",
       [](json& j) {
         j["normalizer"] = {{"type", "Lowercase"}};
       }},
      {"normalizer.type",
       [](json& j) {
         j["normalizer"] = {{"type", "NFKC"}};
       }},
      {"pre_tokenizer", [](json& j) { j["pre_tokenizer"] = nullptr; }},
      {"pre_tokenizer.type",
       [](json& j) {
         j["pre_tokenizer"] = {{"type", "Metaspace"}};
       }},
      {"there must be a ByteLevel",
       [](json& j) {
         j["pre_tokenizer"] = {{"type", "Digits"}, {"individual_digits", true}};
       }},
      {"nothing may come behind",
       [](json& j) {
         const json level = j["pre_tokenizer"];
         j["pre_tokenizer"] = {{"type", "Sequence"},
                               {"pretokenizers", {level, level}}};
       }},
      {"behavior",
       [](json& j) {
         j["pre_tokenizer"] = {{"type", "Split"},
                               {"pattern", {{"Regex", "a"}}},
                               {"behavior", "MergedWithNext"}};
       }},
      {"drops what the pattern matches",
       [](json& j) {
         j["pre_tokenizer"] = {{"type", "Split"},
                               {"pattern", {{"Regex", "a"}}},
                               {"behavior", "Removed"}};
       }},
      {"look-ahead",
       [](json& j) {
         j["pre_tokenizer"] = {{"type", "Split"},
                               {"pattern", {{"Regex", "a(?!bc)"}}},
                               {"behavior", "Isolated"}};
       }},
      {"decoder", [](json& j) { j.erase("decoder"); }},
      {"decoder.type",
       [](json& j) {
         j["decoder"] = {{"type", "Fuse"}};
       }},
      {"post_processor.type",
       [](json& j) {
         j["post_processor"] = {{"type", "BertProcessing"}};
       }},
      {"bytes are no token",
       [](json& j) {
         // "q" is in no merge; another token takes its id.
         j["model"]["vocab"].erase("q");
         j["model"]["vocab"]["qq"] = 'q';
         j["model"]["unk_token"] = "qq";
       }},
      {"expected an object", [](json& j) { j = json::array(); }},
      {"model", [](json& j) { j.erase("model"); }},
  };
  ASSERT_TRUE(CreateTokenizer(TinyTokenizerJson()).ok());
  for (const Change& change : changes) {
    json tokenizer_json = TinyTokenizerJson();
    change.apply(tokenizer_json);
    const auto tokenizer = CreateTokenizer(tokenizer_json);
    ASSERT_FALSE(tokenizer.ok()) << change.message;
    EXPECT_NE(tokenizer.status().message().find(change.message),
              absl::string_view::npos)
        << "expected " << change.message << " in " << tokenizer.status();
    EXPECT_NE(tokenizer.status().message().find("tiny.json"),
              absl::string_view::npos)
        << tokenizer.status();
  }
}

TEST(HostileTokenizerJson, EveryTruncationIsAnError) {
  const std::string text = TinyTokenizerJson().dump();
  for (size_t size = 0; size < text.size(); size += size < 200 ? 1 : 37) {
    EXPECT_FALSE(ReadHuggingFaceTokenizer(text.substr(0, size), "cut").ok());
  }
  EXPECT_TRUE(ReadHuggingFaceTokenizer(text, "whole").ok());
}

TEST(HostileTokenizerJson, TextThatIsNoJsonIsAnError) {
  const std::string text = TinyTokenizerJson().dump();
  const auto read = [](const std::string& json_text) {
    return ReadHuggingFaceTokenizer(json_text, "x").status();
  };
  EXPECT_FALSE(read(std::string(1 << 20, '[')).ok());
  EXPECT_FALSE(read("{\"model\":" + std::string(100, '{')).ok());
  std::string bad_utf8 = text;
  bad_utf8[bad_utf8.find("endoftext")] = '\xFF';
  EXPECT_FALSE(read(bad_utf8).ok());
  std::string twice = text;
  const size_t vocabulary = twice.find("\"vocab\":{") + 9;
  twice.insert(vocabulary, "\"a\":97,");
  EXPECT_NE(read(twice).message().find("duplicate key"),
            absl::string_view::npos);
  std::string deep = "{\"type\":\"Sequence\",\"pretokenizers\":[";
  std::string nested;
  for (int i = 0; i < 100; ++i) nested += deep;
  EXPECT_FALSE(read("{\"pre_tokenizer\":" + nested).ok());
}

TEST(HostileRankFiles, EachWrongThingIsNamed) {
  std::string good;
  for (int byte = 0; byte < 256; ++byte) {
    absl::StrAppend(&good,
                    absl::Base64Escape(std::string(1, static_cast<char>(byte))),
                    " ", byte, "\n");
  }
  ASSERT_TRUE(ReadTiktokenRanks(good, "r50k_base", "x").ok());
  const std::pair<const char*, std::string> cases[] = {
      {"base 64", good + "!!!! 256\n"},
      {"base 64", good + "YQ 256\n"},
      {"empty token", good + " 256\n"},
      {"expected a rank", good + "YWI=\n"},
      {"expected a rank", good + "YWI= x\n"},
      {"expected a rank", good + "YWI= -1\n"},
      {"expected a rank", good + "YWI= 99999999999\n"},
      {"without holes", good + "YWI= 257\n"},
      {"another token has too", good + "YWI= 255\n"},
      {"same bytes", good + "YQ== 256\n"},
      {"bytes are no token", "YQ== 0\n"},
      {"bytes are no token", ""},
      {"bytes, at most",
       good + absl::Base64Escape(std::string(3000, 'a')) + " 256\n"},
  };
  for (const auto& [message, text] : cases) {
    auto parts = ReadTiktokenRanks(text, "r50k_base", "x.tiktoken");
    const absl::Status status =
        parts.ok() ? Tokenizer::Create(*std::move(parts), "x.tiktoken").status()
                   : parts.status();
    ASSERT_FALSE(status.ok()) << message;
    EXPECT_NE(status.message().find(message), absl::string_view::npos)
        << status;
    EXPECT_NE(status.message().find("x.tiktoken"), absl::string_view::npos);
  }
  EXPECT_FALSE(ReadTiktokenRanks(good, "other", "x").ok());
}

TEST(HostileGpt2Files, EachWrongThingIsNamed) {
  json encoder = TinyTokenizerJson()["model"]["vocab"];
  encoder["<|endoftext|>"] = encoder.size();
  const auto message = [&](const json& vocabulary, const char* merges) {
    auto parts = ReadGpt2Tokenizer(vocabulary.dump(), merges, "dir");
    return std::string(
        parts.ok()
            ? Tokenizer::Create(*std::move(parts), "dir").status().message()
            : parts.status().message());
  };
  EXPECT_EQ(message(encoder, "#version: 0.2\nh e\n"), "");
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_TRUE(has(message(encoder, "h e\nq q\n"), "vocab.bpe:2"));
  EXPECT_TRUE(has(message(encoder, "he\n"), "vocab.bpe:1"));
  EXPECT_TRUE(has(message(encoder, "h e\nh e\n"), "two rules"));
  json changed = encoder;
  changed.erase("<|endoftext|>");
  EXPECT_TRUE(has(message(changed, ""), "endoftext"));
  changed = encoder;
  changed["a"] = 98;
  EXPECT_TRUE(has(message(changed, ""), "encoder.json"));
  EXPECT_FALSE(ReadGpt2Tokenizer("{", "", "dir").ok());
  EXPECT_FALSE(ReadGpt2Tokenizer("[]", "", "dir").ok());
}

}  // namespace
}  // namespace lt2::tasks
