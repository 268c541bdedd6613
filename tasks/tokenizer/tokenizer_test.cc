// The behaviour of Tokenizer on vocabularies made here. What real files give is
// compared with others' ids in vectors_test.

#include "tasks/tokenizer/tokenizer.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"
#include "kernels/core/philox.h"
#include "tasks/tokenizer/tiny_tokenizer.h"
#include "tasks/tokenizer/unicode.h"

namespace lt2::tasks {
namespace {

using nlohmann::json;
using Texts = std::vector<std::string>;

std::unique_ptr<Tokenizer> Tiny(const json& patch = json::object()) {
  json tokenizer_json = TinyTokenizerJson();
  tokenizer_json.update(patch);
  auto tokenizer = CreateTokenizer(tokenizer_json);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

Texts Pieces(const Tokenizer& tokenizer, absl::string_view text,
             bool parse_special = false) {
  return TokenTexts(tokenizer, tokenizer.Encode(text, parse_special));
}

json PreTokenizers(const std::vector<json>& parts) {
  return {{"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", parts}}}};
}
json ByteLevel(bool prefix, bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", prefix},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}
json Split(const std::string& regex, const char* behavior, bool invert) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", regex}}},
          {"behavior", behavior},
          {"invert", invert}};
}

// Random bytes with well-formed text among them.
std::string RandomText(uint64_t index) {
  Philox rng(5, index, 0);
  std::string text;
  const int parts = static_cast<int>(rng.Below(12));
  for (int i = 0; i < parts; ++i) {
    switch (rng.Below(5)) {
      case 0:
        text.push_back(static_cast<char>(rng.Next()));
        break;
      case 1:
        text += std::string(1 + rng.Below(3), " \n\t\r"[rng.Below(4)]);
        break;
      case 2:
        text += "the";
        break;
      case 3:
        text += "\u00e9\u4e2d\U0001F30D";
        break;
      default:
        text.push_back(static_cast<char>('a' + rng.Below(4)));
    }
  }
  return text;
}

TEST(Tokenizer, MergesWithinPiecesOnly) {
  const auto tokenizer = Tiny();
  EXPECT_EQ(Pieces(*tokenizer, "the the aaaaa  x"),
            (Texts{"the", " the", " ", "aaaa", "a", " ", " ", "x"}));
  EXPECT_EQ(Pieces(*tokenizer, ""), Texts{});
  EXPECT_EQ(tokenizer->vocab_size(), 267);
}

TEST(Tokenizer, DecodesWhatItEncodedWhateverTheBytes) {
  const auto plain = Tiny();
  const auto digits =
      Tiny(PreTokenizers({{{"type", "Digits"}, {"individual_digits", true}},
                          ByteLevel(false, true)}));
  const auto bytes = Tokenizer::Load("bytes");
  ASSERT_TRUE(bytes.ok());
  for (const Tokenizer* tokenizer : {plain.get(), digits.get(), bytes->get()}) {
    EXPECT_EQ(tokenizer->missing_bytes(), "");
    for (uint64_t i = 0; i < 3000; ++i) {
      const std::string text = RandomText(i);
      for (bool special : {false, true}) {
        EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text, special)), text)
            << absl::CHexEscape(text);
      }
    }
  }
}

TEST(Tokenizer, BytesThatAreNotUtf8AreTokensOfTheirOwn) {
  const auto tokenizer = Tiny();
  EXPECT_EQ(Pieces(*tokenizer, "the\xFFthe\xC3"),
            (Texts{"the", "\xFF", "the", "\xC3"}));
  // C3 A9 is a token, and so it is not two invalid bytes.
  EXPECT_EQ(Pieces(*tokenizer, "\xC3\xC3\xA9"), (Texts{"\xC3", "\u00e9"}));
  // The text before an invalid byte ends there, for look-ahead too.
  EXPECT_EQ(Pieces(*tokenizer, "a  \xFFx"), (Texts{"a", "  ", "\xFF", "x"}));
}

TEST(Tokenizer, SpecialTokensAreTextUnlessAskedFor) {
  const auto tokenizer = Tiny();
  const absl::optional<int32_t> end = tokenizer->SpecialId("<|endoftext|>");
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(tokenizer->end_of_text(), end);
  EXPECT_EQ(tokenizer->begin_of_text(), absl::nullopt);
  EXPECT_EQ(tokenizer->SpecialId("<|no|>"), absl::nullopt);
  EXPECT_EQ(tokenizer->Encode("<|endoftext|>", true),
            std::vector<int32_t>{*end});
  EXPECT_EQ(tokenizer->Encode("<|endoftext|>").size(), 13u);
  EXPECT_EQ(tokenizer->Decode({*end, 'a'}), "<|endoftext|>a");
  EXPECT_EQ(tokenizer->Decode({-1, 'a', 100000}), "a");
}

TEST(Tokenizer, TheWordBytesIsATokenizer) {
  const auto tokenizer = Tokenizer::Load("bytes");
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ((*tokenizer)->vocab_size(), 257);
  EXPECT_EQ((*tokenizer)->end_of_text(), 256);
  EXPECT_EQ((*tokenizer)->Encode("a\xFF\n"),
            (std::vector<int32_t>{'a', 255, '\n'}));
  EXPECT_EQ((*tokenizer)->Encode("<|endoftext|>", true),
            std::vector<int32_t>{256});
  EXPECT_EQ((*tokenizer)->digest(), "bytes");
}

TEST(Tokenizer, OldFilesWithoutSomeKeysAreRead) {
  json old = TinyTokenizerJson();
  for (const char* key : {"type", "byte_fallback", "ignore_merges"}) {
    old["model"].erase(key);
  }
  for (json& merge : old["model"]["merges"]) {
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }
  old["pre_tokenizer"].erase("use_regex");
  old["model"]["end_of_word_suffix"] = "";
  const auto tokenizer = CreateTokenizer(old);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(Pieces(**tokenizer, "the the"), (Texts{"the", " the"}));
}

TEST(Tokenizer, AddedTokensKnowTheirNeighbours) {
  json patch = TinyTokenizerJson();
  const auto add = [&](const char* content, const char* flag) {
    json token = {{"id", 267 + patch["added_tokens"].size() - 1},
                  {"content", content},
                  {"single_word", false},
                  {"lstrip", false},
                  {"rstrip", false},
                  {"normalized", false},
                  {"special", false}};
    if (flag[0] != 0) token[flag] = true;
    patch["added_tokens"].push_back(token);
  };
  add("<l>", "lstrip");
  add("<r>", "rstrip");
  add("word", "single_word");
  add("<s>", "special");
  add("<l>x", "");  // longer, so first
  add("\u00e9!", "normalized");
  patch["normalizer"] = {{"type", "NFC"}};
  const auto tokenizer = Tiny(patch);
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(Pieces(*tokenizer, "a \n<l> b"), (Texts{"a", "<l>", " ", "b"}));
  EXPECT_EQ(Pieces(*tokenizer, "a <r>\u3000 b"), (Texts{"a", " ", "<r>", "b"}));
  EXPECT_EQ(Pieces(*tokenizer, "<r> <l>"), (Texts{"<r>", "<l>"}));
  EXPECT_EQ(
      Pieces(*tokenizer, "word, aword word1 word_ word"),
      (Texts{"word", ",", " ", "a", "w", "o", "r", "d", " ", "w", "o",
             "r",    "d", "1", " ", "w", "o", "r", "d", "_", " ", "word"}));
  EXPECT_EQ(Pieces(*tokenizer, "word\u0301 \u4e2dword").size(), 14u);
  EXPECT_EQ(Pieces(*tokenizer, "a<l>xb"), (Texts{"a", "<l>x", "b"}));
  EXPECT_EQ(Pieces(*tokenizer, "<s>"), (Texts{"<", "s", ">"}));
  EXPECT_EQ(Pieces(*tokenizer, "<s>", true), (Texts{"<s>"}));
  // Searched for after normalization.
  EXPECT_EQ(Pieces(*tokenizer, "e\u0301!"), (Texts{"\u00e9!"}));
}

TEST(Tokenizer, NormalizesToNfcWhereAsked) {
  const auto tokenizer = Tiny({{"normalizer", {{"type", "NFC"}}}});
  EXPECT_EQ(Pieces(*tokenizer, "e\u0301"), (Texts{"\u00e9"}));
  EXPECT_EQ(Pieces(*tokenizer, "e\u0301\xFF"), (Texts{"\u00e9", "\xFF"}));
  EXPECT_EQ(Tiny()->Encode("e\u0301").size(), 3u);
}

TEST(Tokenizer, PreTokenizersRunOneAfterTheOther) {
  const auto digits =
      Tiny(PreTokenizers({{{"type", "Digits"}, {"individual_digits", true}},
                          ByteLevel(false, true)}));
  EXPECT_EQ(Pieces(*digits, "the 1"), (Texts{"the", " ", "1"}));
  EXPECT_EQ(Pieces(*digits, "a  1"), (Texts{"a", "  ", "1"}));
  const auto removed = Tiny(PreTokenizers(
      {Split("[a-z]+", "Removed", true), ByteLevel(false, false)}));
  EXPECT_EQ(Pieces(*removed, "aa, bc!"), (Texts{"aa", "bc"}));
  const auto isolated = Tiny(
      PreTokenizers({Split("aa", "Isolated", false), ByteLevel(false, false)}));
  EXPECT_EQ(Pieces(*isolated, "aaaaa bcaa"),
            (Texts{"aa", "aa", "a", " ", "bc", "aa"}));
  const auto whole = Tiny(PreTokenizers({ByteLevel(false, false)}));
  EXPECT_EQ(Pieces(*whole, "a  the"), (Texts{"a", " ", " the"}));
}

TEST(Tokenizer, APrefixSpaceIsPutBeforeTextWithoutOne) {
  const auto tokenizer = Tiny({{"pre_tokenizer", ByteLevel(true, true)}});
  EXPECT_EQ(Pieces(*tokenizer, "the"), (Texts{" the"}));
  EXPECT_EQ(Pieces(*tokenizer, " the"), (Texts{" the"}));
  EXPECT_EQ(Pieces(*tokenizer, "\nthe"), (Texts{" ", "\n", "the"}));
  EXPECT_EQ(Pieces(*tokenizer, "<|endoftext|>the", true),
            (Texts{"<|endoftext|>", " the"}));
  EXPECT_EQ(Pieces(*tokenizer, "the\xFFthe"), (Texts{" the", "\xFF", "the"}));
}

TEST(Tokenizer, AMillionBytesWithoutASpaceTakeNoTimeToSpeakOf) {
  const auto tokenizer = Tiny();
  for (const char* unit : {"a", "ab", "\u00e9", "!", " ", "1", "\n", "\xFF"}) {
    std::string text;
    while (text.size() < (1 << 20)) text += unit;
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text)), text);
  }
}

TEST(StreamDecoder, IsWellFormedAtEveryMomentAndLosesNothing) {
  const auto bytes = Tokenizer::Load("bytes");
  ASSERT_TRUE(bytes.ok());
  StreamDecoder decoder(**bytes);
  for (uint64_t i = 0; i < 3000; ++i) {
    const std::string text = RandomText(i);
    std::string streamed;
    for (int32_t id : (*bytes)->Encode(text)) {
      const std::string part = decoder.Add(id);
      EXPECT_EQ(WellFormedPrefix(part), part.size());
      streamed += part;
    }
    streamed += decoder.Finish();
    std::string replaced;
    for (size_t at = 0; at < text.size();) {
      const Utf8Step step = NextUtf8(absl::string_view(text).substr(at));
      replaced += step.kind == Utf8Step::kCodePoint
                      ? text.substr(at, step.length)
                      : "\uFFFD";
      at += step.length;
    }
    EXPECT_EQ(streamed, replaced) << absl::CHexEscape(text);
  }
}

TEST(StreamDecoder, HoldsBackWhatIsNotComplete) {
  const auto bytes = Tokenizer::Load("bytes");
  ASSERT_TRUE(bytes.ok());
  StreamDecoder decoder(**bytes);
  EXPECT_EQ(decoder.Add('a'), "a");
  EXPECT_EQ(decoder.Add(0xF0), "");
  EXPECT_EQ(decoder.Add(0x9F), "");
  EXPECT_EQ(decoder.Add(0x8C), "");
  EXPECT_EQ(decoder.Add(0x8D), "\U0001F30D");
  EXPECT_EQ(decoder.Add(0xE4), "");
  EXPECT_EQ(decoder.Add('b'), "\uFFFDb");
  EXPECT_EQ(decoder.Add(0xE4), "");
  EXPECT_EQ(decoder.Finish(), "\uFFFD");
  EXPECT_EQ(decoder.Finish(), "");
}

TEST(Load, FoldersAndFilesAreRecognized) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(testing::TempDir()) / "tokenizer_load";
  fs::remove_all(folder);
  fs::create_directories(folder);
  const auto write = [&](const char* name, const std::string& text) {
    std::ofstream(folder / name, std::ios::binary) << text;
  };
  EXPECT_FALSE(Tokenizer::Load(folder.string()).ok());
  EXPECT_FALSE(Tokenizer::Load((folder / "no.json").string()).ok());
  EXPECT_FALSE(Tokenizer::Load("no such thing").ok());

  // GPT-2's two files, then tokenizer.json, which is preferred.
  const json tiny = TinyTokenizerJson();
  json encoder = tiny["model"]["vocab"];
  encoder["<|endoftext|>"] = encoder.size();
  std::string merges = "#version: 0.2\n";
  for (const json& merge : tiny["model"]["merges"]) {
    absl::StrAppend(&merges, merge[0].get<std::string>(), " ",
                    merge[1].get<std::string>(), "\n");
  }
  write("encoder.json", encoder.dump());
  write("vocab.bpe", merges);
  const auto gpt2 = Tokenizer::Load(folder.string());
  ASSERT_TRUE(gpt2.ok()) << gpt2.status();
  const auto reference = Tiny();
  for (uint64_t i = 0; i < 300; ++i) {
    EXPECT_EQ((*gpt2)->Encode(RandomText(i)), reference->Encode(RandomText(i)));
  }
  EXPECT_EQ((*gpt2)->digest().size(), 16u);

  write("tokenizer.json", tiny.dump());
  const auto hugging_face = Tokenizer::Load(folder.string());
  ASSERT_TRUE(hugging_face.ok()) << hugging_face.status();
  EXPECT_NE((*hugging_face)->digest(), (*gpt2)->digest());
  EXPECT_EQ((*hugging_face)->begin_of_text(), absl::nullopt);
  const auto file = Tokenizer::Load((folder / "tokenizer.json").string());
  ASSERT_TRUE(file.ok());
  EXPECT_EQ((*file)->digest(), (*hugging_face)->digest());

  write("tokenizer_config.json",
        R"({"bos_token": {"content": "<|endoftext|>"}, "eos_token": null})");
  const auto configured = Tokenizer::Load(folder.string());
  ASSERT_TRUE(configured.ok()) << configured.status();
  EXPECT_EQ((*configured)->begin_of_text(), 266);
  EXPECT_EQ((*configured)->end_of_text(), absl::nullopt);
  write("tokenizer_config.json", R"({"bos_token": "<|no|>"})");
  EXPECT_FALSE(Tokenizer::Load(folder.string()).ok());

  // Ranks, padded with tokens that no text has to what the name promises.
  std::string ranks;
  int rank = 0;
  const auto add = [&](const std::string& bytes) {
    absl::StrAppend(&ranks, absl::Base64Escape(bytes), " ", rank++, "\n");
  };
  for (int byte = 0; byte < 256; ++byte) {
    add(std::string(1, static_cast<char>(byte)));
  }
  add("ab");
  add("aba");
  write("r50k_base.tiktoken", ranks);
  const auto tiktoken =
      Tokenizer::Load((folder / "r50k_base.tiktoken").string());
  ASSERT_TRUE(tiktoken.ok()) << tiktoken.status();
  EXPECT_EQ((*tiktoken)->Encode("aba abab"),
            (std::vector<int32_t>{257, ' ', 256, 256}));
  EXPECT_EQ((*tiktoken)->vocab_size(), 50257);
  EXPECT_EQ((*tiktoken)->end_of_text(), 50256);
  write("other.tiktoken", ranks);
  EXPECT_FALSE(Tokenizer::Load((folder / "other.tiktoken").string()).ok());
  fs::remove_all(folder);
}

}  // namespace
}  // namespace lt2::tasks
