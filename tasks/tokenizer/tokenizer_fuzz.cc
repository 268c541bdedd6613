// The fuzz target of the tokenizer's readers. The first byte chooses the reader
// and the rest is its file; what is accepted encodes and decodes a text of all
// sorts. Whatever the bytes: no crash, no sanitizer report, no memory beyond
// what the bytes account for; and decoding gives the text back where the file
// promises it.

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "kernels/core/json/strict_json.h"
#include "kernels/core/status.h"
#include "tasks/tokenizer/byte_level.h"
#include "tasks/tokenizer/tokenizer.h"
#include "tasks/tokenizer/unicode.h"

namespace {

using lt2::tasks::PieceStep;
using lt2::tasks::SplitPattern;
using lt2::tasks::Tokenizer;
using lt2::tasks::TokenizerParts;

constexpr char kText[] =
    "The the\t 123 it's\r\n\n  e\u0301 \u00e9 \u4e2d\u6587 \U0001F30D <s>ab\xFF"
    "\xC3 "
    "x\u3000y<|endoftext|>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

void Use(absl::StatusOr<TokenizerParts> parts) {
  if (!parts.ok()) {
    LT2_CHECK(!parts.status().message().empty());
    return;
  }
  bool lossless = !parts->nfc;
  for (const auto& step : parts->steps) {
    lossless &= step.kind != PieceStep::kPrefixSpace &&
                step.kind != PieceStep::kMatchesOnly;
  }
  for (const auto& token : parts->added) {
    lossless &= !token.lstrip && !token.rstrip;
  }
  const auto tokenizer = Tokenizer::Create(*std::move(parts), "fuzz");
  if (!tokenizer.ok()) return;
  lossless &= (*tokenizer)->missing_bytes().empty();
  for (bool parse_special : {false, true}) {
    const auto ids = (*tokenizer)->Encode(kText, parse_special);
    const std::string decoded = (*tokenizer)->Decode(ids);
    LT2_CHECK(!lossless || decoded == kText);
    lt2::tasks::StreamDecoder decoder(**tokenizer);
    std::string streamed;
    for (int32_t id : ids) {
      LT2_CHECK(id >= 0 && id < (*tokenizer)->vocab_size());
      streamed += decoder.Add(id);
    }
    streamed += decoder.Finish();
    LT2_CHECK(lt2::IsValidUtf8(streamed));
  }
}

// A tokenizer.json's parts that are not its vocabulary, tried with one that is
// complete.
void UseWithVocabulary(absl::string_view json) {
  static const std::string* const vocabulary = [] {
    nlohmann::json tokens;
    for (int byte = 0; byte < 256; ++byte) {
      tokens[lt2::tasks::BytesToByteLevel(
          std::string(1, static_cast<char>(byte)))] = byte;
    }
    tokens["ab"] = 256;
    return new std::string(
        R"(,"model":{"type":"BPE","merges":["a b"],"vocab":)" + tokens.dump() +
        "}}");
  }();
  const size_t brace = json.rfind('}');
  if (brace == absl::string_view::npos) return;
  Use(lt2::tasks::ReadHuggingFaceTokenizer(
      std::string(json.substr(0, brace)) + *vocabulary, "fuzz"));
}

void UsePattern(absl::string_view pattern) {
  const auto compiled = SplitPattern::Compile(pattern);
  if (!compiled.ok()) {
    LT2_CHECK(!compiled.status().message().empty());
    return;
  }
  const absl::string_view text(kText, lt2::tasks::WellFormedPrefix(kText));
  size_t begin = 0, end = 0;
  while (true) {
    const size_t from = end;
    if (!(*compiled)->Find(text, from, &begin, &end)) break;
    LT2_CHECK(begin >= from && end > begin && end <= text.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1,
                                size - 1);
  switch (data[0]) {
    case 'H':
      Use(lt2::tasks::ReadHuggingFaceTokenizer(bytes, "fuzz"));
      break;
    case 'V':
      UseWithVocabulary(bytes);
      break;
    case 'T':
      Use(lt2::tasks::ReadTiktokenRanks(bytes, "r50k_base", "fuzz"));
      break;
    case 'G': {
      const size_t cut = bytes.find('\0');
      if (cut == absl::string_view::npos) break;
      Use(lt2::tasks::ReadGpt2Tokenizer(bytes.substr(0, cut),
                                        bytes.substr(cut + 1), "fuzz"));
      break;
    }
    case 'P':
      UsePattern(bytes);
      break;
    case 'C': {
      TokenizerParts parts = lt2::tasks::BytesTokenizer();
      const absl::Status status =
          lt2::tasks::ReadTokenizerConfig(bytes, "fuzz", &parts);
      LT2_CHECK(status.ok() || !status.message().empty());
      break;
    }
    default: {
      // The bytes as a text.
      static const Tokenizer* const kBytes =
          Tokenizer::Load("bytes").value().release();
      LT2_CHECK(kBytes->Decode(kBytes->Encode(bytes, true)) == bytes);
      std::string text(bytes);
      const size_t valid = lt2::tasks::WellFormedPrefix(text);
      LT2_CHECK(lt2::IsValidUtf8(text) == (valid == text.size()));
      const std::string once = lt2::tasks::NormalizeNfc(text.substr(0, valid));
      LT2_CHECK(lt2::tasks::NormalizeNfc(once) == once);
    }
  }
  return 0;
}
