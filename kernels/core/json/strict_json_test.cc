#include "kernels/core/json/strict_json.h"

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace lt2 {
namespace {

std::string ErrorOf(absl::string_view text, const JsonLimits& limits = {}) {
  const auto result = ParseJson(text, "file.json", limits);
  if (result.ok()) return "";
  EXPECT_TRUE(absl::IsInvalidArgument(result.status()));
  EXPECT_TRUE(absl::StartsWith(result.status().message(), "file.json: "));
  return std::string(result.status().message());
}

TEST(StrictJson, ReadsWhatIsJson) {
  const std::string text =
      R"({"a":[1,-2,2.5,"x",true,null,{}],"b":{"a":18446744073709551615},"":[]})";
  const auto value = ParseJson(text, "t");
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(*value, nlohmann::json::parse(text));
  for (const char* scalar : {"0", "\"s\"", "null", " [ ] ", "[[1],[2,[3]]]"}) {
    ASSERT_TRUE(ParseJson(scalar, "t").ok()) << scalar;
    EXPECT_EQ(*ParseJson(scalar, "t"), nlohmann::json::parse(scalar));
  }
}

TEST(StrictJson, DuplicateKeysAreErrorsWithTheirPath) {
  EXPECT_TRUE(absl::StrContains(ErrorOf(R"({"a":{"b":1,"b":2}})"),
                                "duplicate key 'a.b'"));
  EXPECT_TRUE(
      absl::StrContains(ErrorOf(R"({"a":1,"\u0061":2})"), "duplicate key 'a'"));
  EXPECT_EQ(ErrorOf(R"([{"b":1},{"b":2}])"), "");
}

TEST(StrictJson, WhatIsNotJsonIsAnError) {
  for (const char* text : {"",
                           "{",
                           "[1,]",
                           "{\"a\" 1}",
                           "NaN",
                           "[Infinity]",
                           "[-Infinity]",
                           "1e999",
                           "[-1e999]",
                           "01",
                           "// c\n1",
                           "/* c */ 1",
                           "'a'",
                           "1 2",
                           "{}x",
                           "\"\xff\"",
                           "\"\xed\xa0\x80\"",
                           "\"\\ud800\"",
                           "\"a\nb\"",
                           "+1"}) {
    EXPECT_NE(ErrorOf(text), "") << text;
  }
  EXPECT_TRUE(absl::StrContains(ErrorOf(absl::string_view("{}\0garbage", 10)),
                                "NUL byte at offset 2"));
}

TEST(StrictJson, LimitsHold) {
  EXPECT_TRUE(absl::StrContains(ErrorOf(std::string(1000000, '[')),
                                "nested deeper than 64"));
  std::string nested(64, '[');
  nested += std::string(64, ']');
  EXPECT_EQ(ErrorOf(nested), "");
  EXPECT_NE(ErrorOf("[" + nested + "]"), "");
  JsonLimits limits;
  limits.max_bytes = 4;
  EXPECT_EQ(ErrorOf("1234", limits), "");
  EXPECT_NE(ErrorOf("12345", limits), "");
}

TEST(StrictJson, ErrorsAreShortWhateverTheText) {
  EXPECT_LT(ErrorOf("\"" + std::string(1000000, 'x')).size(), 400);
  EXPECT_LT(ErrorOf("{\"" + std::string(1000, 'x') + "\":1,\"" +
                    std::string(1000, 'x') + "\":1}")
                .size(),
            400);
}

TEST(Utf8, AgreesWithTheDefinitionForAllShortSequences) {
  EXPECT_TRUE(IsValidUtf8(""));
  EXPECT_TRUE(IsValidUtf8("a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80z"));
  // Encode every code point; then count valid sequences of each length.
  int valid[4] = {};
  for (int first = 0; first < 256; ++first) {
    for (int second = -1; second < 256; ++second) {
      for (int third = -1; third < (second < 0 ? 0 : 256); ++third) {
        std::string text(1, static_cast<char>(first));
        if (second >= 0) text += static_cast<char>(second);
        if (third >= 0) text += static_cast<char>(third);
        // Only sequences that are one code point.
        if (text.size() > 1 && (first < 0xC0 || (text[1] & 0xC0) != 0x80)) {
          continue;
        }
        if (text.size() == 3 && (first < 0xE0 || (text[2] & 0xC0) != 0x80)) {
          continue;
        }
        valid[text.size()] += IsValidUtf8(text);
      }
    }
  }
  EXPECT_EQ(valid[1], 0x80);
  EXPECT_EQ(valid[2], 0x800 - 0x80);
  EXPECT_EQ(valid[3], 0x10000 - 0x800 - 0x800);  // less the surrogates
  EXPECT_TRUE(IsValidUtf8("\xF4\x8F\xBF\xBF"));
  EXPECT_FALSE(IsValidUtf8("\xF4\x90\x80\x80"));
  EXPECT_FALSE(IsValidUtf8("\xF0\x8F\xBF\xBF"));
  EXPECT_FALSE(IsValidUtf8("\xF0\x9F\x98"));
}

TEST(Quoted, IsShortAndPrintable) {
  EXPECT_EQ(Quoted("a'b\n"), "'a\\'b\\n'");
  EXPECT_EQ(Quoted("\xC3\xA9"), "'\xC3\xA9'");
  EXPECT_EQ(Quoted("\xFF"), "'\\xff'");
  EXPECT_EQ(Quoted(std::string(100, 'x')), "'" + std::string(80, 'x') + "...'");
}

}  // namespace
}  // namespace lt2
