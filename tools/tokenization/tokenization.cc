#include "tools/tokenization/tokenization.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "kernels/core/json/strict_json.h"
#include "kernels/core/status.h"

namespace lt2::tools {
namespace {

// Bytes for a terminal: text as it is, what is not printable escaped.
std::string Escaped(absl::string_view bytes) {
  if (!IsValidUtf8(bytes)) return absl::CHexEscape(bytes);
  return absl::StrReplaceAll(absl::Utf8SafeCEscape(bytes),
                             {{"\\'", "'"}, {"\\\"", "\""}, {"\\\\", "\\\\"}});
}

int64_t CodePoints(absl::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  });
}

std::string Id(const tasks::Tokenizer& tokenizer,
               const absl::optional<int32_t>& id) {
  if (!id.has_value()) return "none";
  return absl::StrCat(*id, " ", Escaped(tokenizer.TokenBytes(*id)));
}

}  // namespace

std::string EncodeText(const tasks::Tokenizer& tokenizer,
                       absl::string_view text, bool parse_special) {
  return absl::StrJoin(tokenizer.Encode(text, parse_special), " ") + "\n";
}

absl::StatusOr<std::string> DecodeText(const tasks::Tokenizer& tokenizer,
                                       absl::string_view ids) {
  std::vector<int32_t> parsed;
  for (absl::string_view word :
       absl::StrSplit(ids, absl::ByAnyChar(" \t\r\n,[]"), absl::SkipEmpty())) {
    int32_t id = 0;
    if (!absl::SimpleAtoi(word, &id) || id < 0 ||
        id >= tokenizer.vocab_size()) {
      return InvalidArgument("id ", parsed.size(), " is ", Quoted(word),
                             ", expected a number from 0 to ",
                             tokenizer.vocab_size() - 1);
    }
    parsed.push_back(id);
  }
  return tokenizer.Decode(parsed);
}

std::string ShowTokens(const tasks::Tokenizer& tokenizer,
                       absl::string_view text, bool parse_special) {
  std::string lines;
  for (int32_t id : tokenizer.Encode(text, parse_special)) {
    absl::StrAppendFormat(&lines, "%8d  %s\n", id,
                          Escaped(tokenizer.TokenBytes(id)));
  }
  return lines;
}

std::string CountTokens(const tasks::Tokenizer& tokenizer,
                        const std::vector<NamedText>& texts,
                        bool parse_special) {
  std::string table = absl::StrFormat("%12s %12s %12s %8s  %s\n", "bytes",
                                      "characters", "tokens", "B/token", "");
  int64_t bytes = 0, characters = 0, tokens = 0;
  const auto line = [&](int64_t b, int64_t c, int64_t t,
                        const std::string& name) {
    absl::StrAppendFormat(&table, "%12d %12d %12d %8.3f  %s\n", b, c, t,
                          t == 0 ? 0.0 : static_cast<double>(b) / t, name);
  };
  for (const NamedText& text : texts) {
    const int64_t b = static_cast<int64_t>(text.text.size());
    const int64_t c = CodePoints(text.text);
    const int64_t t =
        static_cast<int64_t>(tokenizer.Encode(text.text, parse_special).size());
    line(b, c, t, text.name);
    bytes += b;
    characters += c;
    tokens += t;
  }
  if (texts.size() > 1) line(bytes, characters, tokens, "total");
  return table;
}

std::string DescribeTokenizer(const tasks::Tokenizer& tokenizer) {
  const std::string missing = tokenizer.missing_bytes();
  return absl::StrCat(
      "ids            ", tokenizer.vocab_size(), "\n",  //
      "end of text    ", Id(tokenizer, tokenizer.end_of_text()), "\n",
      "begin of text  ", Id(tokenizer, tokenizer.begin_of_text()), "\n",
      "bytes it loses ", missing.empty() ? "none" : absl::CHexEscape(missing),
      "\n",  //
      "digest         ", tokenizer.digest(), "\n");
}

}  // namespace lt2::tools
