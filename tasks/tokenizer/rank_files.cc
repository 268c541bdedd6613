// Readers of GPT-2's two files and of tiktoken's rank files.

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "kernels/core/json/strict_json.h"
#include "kernels/core/status.h"
#include "tasks/tokenizer/byte_level.h"
#include "tasks/tokenizer/merge_list.h"
#include "tasks/tokenizer/tokenizer_parts.h"

namespace lt2::tasks {
namespace {

constexpr char kEndOfText[] = "<|endoftext|>";

AddedToken Special(absl::string_view content, int32_t id) {
  AddedToken token;
  token.id = id;
  token.content = std::string(content);
  token.special = true;
  return token;
}

PieceStep Isolate(const char* pattern) {
  auto compiled = SplitPattern::Compile(pattern);
  LT2_CHECK_OK(compiled.status());
  PieceStep step;
  step.pattern = *std::move(compiled);
  return step;
}

// What a rank file's name stands for.
struct Encoding {
  absl::string_view name;
  const char* pattern;
  std::vector<std::pair<absl::string_view, int32_t>> special;
};

const std::vector<Encoding>& Encodings() {
  static const std::vector<Encoding>* const encodings =
      new std::vector<Encoding>{
          {"r50k_base", kGpt2Pattern, {{kEndOfText, 50256}}},
          {"p50k_base", kGpt2Pattern, {{kEndOfText, 50256}}},
          {"cl100k_base",
           kCl100kPattern,
           {{kEndOfText, 100257},
            {"<|fim_prefix|>", 100258},
            {"<|fim_middle|>", 100259},
            {"<|fim_suffix|>", 100260},
            {"<|endofprompt|>", 100276}}},
          {"o200k_base",
           kO200kPattern,
           {{kEndOfText, 199999}, {"<|endofprompt|>", 200018}}},
      };
  return *encodings;
}

}  // namespace

absl::Status VocabularyBuilder::Add(absl::string_view name,
                                    absl::string_view bytes, int64_t id) {
  if (id < 0 || id >= static_cast<int64_t>(taken_.size())) {
    return InvalidArgument("token ", Quoted(name), " has id ", id,
                           "; there are ", taken_.size(),
                           " tokens, which must have the ids from 0 to ",
                           taken_.size() - 1, " without holes");
  }
  if (taken_[id]) {
    return InvalidArgument("token ", Quoted(name), " has id ", id,
                           ", which another token has too");
  }
  if (bytes.size() > kMaxTokenBytes) {
    return InvalidArgument("token ", id, " has ", bytes.size(),
                           " bytes, at most ", kMaxTokenBytes, " are taken");
  }
  taken_[id] = true;
  tokens_[id] = std::string(bytes);
  return absl::OkStatus();
}

absl::optional<int32_t> FindAdded(const std::vector<AddedToken>& added,
                                  const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    for (const AddedToken& token : added) {
      if (token.content == name) return token.id;
    }
  }
  return absl::nullopt;
}

TokenizerParts BytesTokenizer() {
  TokenizerParts parts;
  for (int byte = 0; byte < 256; ++byte) {
    parts.tokens.emplace_back(1, static_cast<char>(byte));
  }
  parts.added.push_back(Special(kEndOfText, 256));
  parts.end_of_text = 256;
  parts.digest = "bytes";
  return parts;
}

absl::StatusOr<TokenizerParts> ReadGpt2Tokenizer(absl::string_view encoder_json,
                                                 absl::string_view vocab_bpe,
                                                 absl::string_view source) {
  const std::string encoder_name = absl::StrCat(source, "/encoder.json");
  const std::string merges_name = absl::StrCat(source, "/vocab.bpe");
  JsonLimits limits;
  limits.max_depth = 4;
  LT2_ASSIGN_OR_RETURN(const nlohmann::json vocabulary,
                       ParseJson(encoder_json, encoder_name, limits));
  TokenizerParts parts;
  auto names = ReadVocabulary(vocabulary, encoder_name);
  if (!names.ok()) return names.status();
  VocabularyBuilder builder(names->size());
  for (const auto& [name, id] : *names) {
    std::string bytes;
    if (name == kEndOfText) {
      parts.added.push_back(Special(name, id));
    } else {
      const auto decoded = ByteLevelToBytes(name);
      if (!decoded.ok()) return Annotate(decoded.status(), encoder_name);
      bytes = *decoded;
    }
    const absl::Status status = builder.Add(name, bytes, id);
    if (!status.ok()) return Annotate(status, encoder_name);
  }
  if (parts.added.empty()) {
    return InvalidArgument(encoder_name, ": there is no token ", kEndOfText);
  }
  parts.tokens = builder.Take();
  parts.end_of_text = parts.added[0].id;

  MergeList merges(*names);
  int line_number = 0;
  for (absl::string_view line : absl::StrSplit(vocab_bpe, '\n')) {
    ++line_number;
    if (line_number == 1 && absl::StartsWith(line, "#version")) continue;
    if (line.empty()) continue;
    const absl::Status status = merges.Add(line);
    if (!status.ok()) {
      return Annotate(status, absl::StrCat(merges_name, ":", line_number));
    }
  }
  parts.merges = merges.Take();
  parts.needs_all_bytes = true;
  parts.steps.push_back(Isolate(kGpt2Pattern));
  return parts;
}

absl::StatusOr<TokenizerParts> ReadTiktokenRanks(absl::string_view ranks,
                                                 absl::string_view name,
                                                 absl::string_view source) {
  const Encoding* encoding = nullptr;
  std::string known;
  for (const Encoding& candidate : Encodings()) {
    if (candidate.name == name) encoding = &candidate;
    absl::StrAppend(&known, known.empty() ? "" : ", ", candidate.name);
  }
  if (encoding == nullptr) {
    return InvalidArgument(
        source,
        ": a rank file does not say how text is split; its name must: ", known,
        " (.tiktoken), not ", Quoted(name));
  }
  struct Line {
    std::string bytes;
    int32_t rank;
  };
  std::vector<Line> lines;
  int line_number = 0;
  const auto fail = [&](const auto&... what) {
    return InvalidArgument(source, ":", line_number, ": ", what...);
  };
  for (absl::string_view text : absl::StrSplit(ranks, '\n')) {
    ++line_number;
    if (text.empty()) continue;
    const std::pair<absl::string_view, absl::string_view> fields =
        absl::StrSplit(text, absl::MaxSplits(' ', 1));
    Line line;
    // Base64Unescape forgives what is not quite base 64.
    if (!absl::Base64Unescape(fields.first, &line.bytes) ||
        absl::Base64Escape(line.bytes) != fields.first) {
      return fail(Quoted(fields.first), " is not base 64");
    }
    if (line.bytes.empty()) return fail("an empty token");
    if (!absl::SimpleAtoi(fields.second, &line.rank) || line.rank < 0) {
      return fail("expected a rank, got ", Quoted(fields.second));
    }
    lines.push_back(std::move(line));
    if (static_cast<int64_t>(lines.size()) > kMaxTokens) {
      return fail("more than ", kMaxTokens, " tokens");
    }
  }
  // Special tokens have ids of their own, the first of them right behind the
  // ranks or in a gap left for it.
  TokenizerParts parts;
  size_t size = lines.size();
  const auto is_special = [&](size_t id) {
    for (const auto& special : encoding->special) {
      if (static_cast<size_t>(special.second) == id) return true;
    }
    return false;
  };
  for (const auto& [content, id] : encoding->special) {
    parts.added.push_back(Special(content, id));
    if (static_cast<size_t>(id) < lines.size()) ++size;
  }
  VocabularyBuilder builder(size);
  for (const Line& line : lines) {
    absl::Status status = builder.Add(line.bytes, line.bytes, line.rank);
    if (status.ok() && is_special(line.rank)) {
      status = InvalidArgument("rank ", line.rank, " is a special token's id");
    }
    if (!status.ok()) return Annotate(status, source);
  }
  for (size_t id = 0; id < size; ++id) {
    if (!builder.Has(id) && !is_special(id)) {
      return InvalidArgument(source, ": no token has the rank ", id,
                             ", but there are higher ones");
    }
  }
  parts.tokens = builder.Take();
  parts.merges = MergesOfRanks(parts.tokens);
  parts.needs_all_bytes = true;
  parts.whole_pieces = true;
  parts.steps.push_back(Isolate(encoding->pattern));
  parts.end_of_text = FindAdded(parts.added, {kEndOfText});
  return parts;
}

}  // namespace lt2::tasks
