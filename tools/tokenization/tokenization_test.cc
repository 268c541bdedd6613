#include "tools/tokenization/tokenization.h"

#include "gtest/gtest.h"

namespace lt2::tools {
namespace {

TEST(Tokenization, WritesWhatItReads) {
  const auto tokenizer = tasks::Tokenizer::Load("bytes").value();
  EXPECT_EQ(EncodeText(*tokenizer, "a\xFF", false), "97 255\n");
  EXPECT_EQ(EncodeText(*tokenizer, "<|endoftext|>", true), "256\n");
  EXPECT_EQ(DecodeText(*tokenizer, "[97, 255]\n256").value(),
            "a\xFF<|endoftext|>");
  EXPECT_EQ(DecodeText(*tokenizer, "").value(), "");
  EXPECT_EQ(ShowTokens(*tokenizer, "a\n\xC3", false),
            "      97  a\n      10  \\n\n     195  \\xc3\n");
}

TEST(Tokenization, ShowsQuotesAsTheyAre) {
  const auto tokenizer = tasks::Tokenizer::Load("bytes").value();
  EXPECT_EQ(ShowTokens(*tokenizer, "'\"\\", false),
            "      39  '\n      34  \"\n      92  \\\\\n");
}

TEST(Tokenization, WrongIdsAreNamed) {
  const auto tokenizer = tasks::Tokenizer::Load("bytes").value();
  for (const char* ids : {"97 x", "97 -1", "97 257", "97 99999999999"}) {
    const auto text = DecodeText(*tokenizer, ids);
    ASSERT_FALSE(text.ok()) << ids;
    EXPECT_NE(text.status().message().find("id 1 is"), absl::string_view::npos);
  }
}

TEST(Tokenization, CountsAddUp) {
  const auto tokenizer = tasks::Tokenizer::Load("bytes").value();
  EXPECT_EQ(CountTokens(*tokenizer, {{"one", "a\u00e9"}, {"two", ""}}, false),
            "       bytes   characters       tokens  B/token  \n"
            "           3            2            3    1.000  one\n"
            "           0            0            0    0.000  two\n"
            "           3            2            3    1.000  total\n");
}

TEST(Tokenization, DescribesATokenizer) {
  const auto tokenizer = tasks::Tokenizer::Load("bytes").value();
  EXPECT_EQ(DescribeTokenizer(*tokenizer),
            "ids            257\n"
            "end of text    256 <|endoftext|>\n"
            "begin of text  none\n"
            "bytes it loses none\n"
            "digest         bytes\n");
}

}  // namespace
}  // namespace lt2::tools
