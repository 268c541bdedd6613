#include "tasks/tokenizer/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "kernels/core/hash.h"
#include "kernels/core/json/strict_json.h"
#include "kernels/core/status.h"
#include "tasks/text_file.h"
#include "tasks/tokenizer/unicode.h"

namespace lt2::tasks {
namespace {

std::string DigestOf(absl::string_view first, absl::string_view second = "") {
  return absl::StrFormat("%016x", Fnv1a(second, Fnv1a(first)));
}

absl::StatusOr<TokenizerParts> ReadTokenizerJson(const std::string& path) {
  LT2_ASSIGN_OR_RETURN(const std::string text,
                       ReadTextFile(path, kMaxTokenizerBytes));
  LT2_ASSIGN_OR_RETURN(TokenizerParts parts,
                       ReadHuggingFaceTokenizer(text, path));
  parts.digest = DigestOf(text);
  return parts;
}

absl::StatusOr<TokenizerParts> ReadFolder(const std::filesystem::path& folder) {
  std::error_code ignored;
  const auto has = [&](const char* name) {
    return std::filesystem::exists(folder / name, ignored);
  };
  const auto path = [&](const char* name) { return (folder / name).string(); };
  if (has("tokenizer.json")) {
    LT2_ASSIGN_OR_RETURN(TokenizerParts parts,
                         ReadTokenizerJson(path("tokenizer.json")));
    if (has("tokenizer_config.json")) {
      LT2_ASSIGN_OR_RETURN(
          const std::string config,
          ReadTextFile(path("tokenizer_config.json"), kMaxTokenizerBytes));
      LT2_RETURN_IF_ERROR(
          ReadTokenizerConfig(config, path("tokenizer_config.json"), &parts));
    }
    return parts;
  }
  if (has("encoder.json") && has("vocab.bpe")) {
    LT2_ASSIGN_OR_RETURN(
        const std::string encoder,
        ReadTextFile(path("encoder.json"), kMaxTokenizerBytes));
    LT2_ASSIGN_OR_RETURN(const std::string merges,
                         ReadTextFile(path("vocab.bpe"), kMaxTokenizerBytes));
    LT2_ASSIGN_OR_RETURN(TokenizerParts parts,
                         ReadGpt2Tokenizer(encoder, merges, folder.string()));
    parts.digest = DigestOf(encoder, merges);
    return parts;
  }
  return absl::NotFoundError(absl::StrCat(
      folder.string(),
      ": a tokenizer's folder has tokenizer.json, or encoder.json and "
      "vocab.bpe; this one has neither"));
}

absl::StatusOr<TokenizerParts> ReadParts(const std::string& path) {
  if (path == "bytes") return BytesTokenizer();
  const std::filesystem::path file(path);
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) return ReadFolder(file);
  if (file.extension() == ".json") return ReadTokenizerJson(path);
  if (file.extension() == ".tiktoken") {
    LT2_ASSIGN_OR_RETURN(const std::string text,
                         ReadTextFile(path, kMaxTokenizerBytes));
    LT2_ASSIGN_OR_RETURN(TokenizerParts parts,
                         ReadTiktokenRanks(text, file.stem().string(), path));
    parts.digest = DigestOf(text);
    return parts;
  }
  return InvalidArgument(
      "tokenizer ", Quoted(path),
      ": expected a folder with tokenizer.json (or encoder.json and "
      "vocab.bpe), a .json file, NAME.tiktoken or \"bytes\"");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(
    const std::string& path) {
  LT2_ASSIGN_OR_RETURN(TokenizerParts parts, ReadParts(path));
  return Create(std::move(parts), path);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Create(
    TokenizerParts parts, absl::string_view source) {
  absl::StatusOr<BytePairEncoder> encoder =
      BytePairEncoder::Create(parts.tokens, parts.merges, parts.whole_pieces);
  if (!encoder.ok()) return Annotate(encoder.status(), source);
  const std::string missing = encoder->MissingBytes();
  if (parts.needs_all_bytes && !missing.empty()) {
    return InvalidArgument(source, ": ", missing.size(),
                           " bytes are no token, the first is ",
                           Quoted(missing.substr(0, 1)), "; all are needed");
  }
  return std::unique_ptr<Tokenizer>(
      new Tokenizer(std::move(parts), *std::move(encoder)));
}

Tokenizer::Tokenizer(TokenizerParts parts, BytePairEncoder encoder)
    : encoder_(std::move(encoder)),
      steps_(std::move(parts.steps)),
      nfc_(parts.nfc),
      begin_of_text_(parts.begin_of_text),
      end_of_text_(parts.end_of_text),
      digest_(std::move(parts.digest)),
      bytes_(std::move(parts.tokens)) {
  vocab_size_ = static_cast<int64_t>(bytes_.size());
  std::vector<AddedToken> before, after;
  for (AddedToken& token : parts.added) {
    vocab_size_ = std::max<int64_t>(vocab_size_, token.id + 1);
    bytes_.resize(vocab_size_);
    bytes_[token.id] = token.content;
    added_ids_.emplace(token.content, token.id);
    if (token.normalized && nfc_) token.content = NormalizeNfc(token.content);
    (token.normalized ? after : before).push_back(std::move(token));
  }
  before_normalization_ = std::make_unique<AddedTokenFinder>(std::move(before));
  after_normalization_ = std::make_unique<AddedTokenFinder>(std::move(after));
}

std::vector<int32_t> Tokenizer::Encode(absl::string_view text,
                                       bool parse_special) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3 + 4);
  size_t at = 0;
  const auto encode_to = [&](size_t end) {
    if (at < end) {
      EncodeNormalized(text.substr(at, end - at), parse_special, &ids);
    }
  };
  if (!before_normalization_->empty()) {
    for (const auto& match :
         before_normalization_->FindAll(text, parse_special)) {
      encode_to(match.begin);
      ids.push_back(match.id);
      at = match.end;
    }
  }
  encode_to(text.size());
  return ids;
}

// Normalizes if asked, and finds the tokens that are searched for afterwards.
void Tokenizer::EncodeNormalized(absl::string_view text, bool parse_special,
                                 std::vector<int32_t>* ids) const {
  std::string normalized;
  if (nfc_) {
    for (size_t at = 0; at < text.size();) {
      const size_t valid = WellFormedPrefix(text.substr(at));
      normalized += NormalizeNfc(text.substr(at, valid));
      at += valid;
      if (at == text.size()) break;
      const size_t invalid = NextUtf8(text.substr(at)).length;
      normalized.append(text.data() + at, invalid);
      at += invalid;
    }
    text = normalized;
  }
  size_t at = 0;
  if (!after_normalization_->empty()) {
    for (const auto& match :
         after_normalization_->FindAll(text, parse_special)) {
      if (at < match.begin) {
        EncodePlain(text.substr(at, match.begin - at), ids);
      }
      ids->push_back(match.id);
      at = match.end;
    }
  }
  if (at < text.size()) EncodePlain(text.substr(at), ids);
}

void Tokenizer::EncodePlain(absl::string_view text,
                            std::vector<int32_t>* ids) const {
  if (steps_.empty()) {
    encoder_.Encode(text, ids);
    return;
  }
  for (size_t at = 0; at < text.size();) {
    const size_t valid = WellFormedPrefix(text.substr(at));
    if (valid > 0) RunSteps(0, text.substr(at, valid), at > 0, ids);
    at += valid;
    if (at == text.size()) break;
    const size_t invalid = NextUtf8(text.substr(at)).length;
    for (size_t i = at; i < at + invalid; ++i) {
      encoder_.Encode(text.substr(i, 1), ids);
    }
    at += invalid;
  }
}

// `continues`: the piece comes behind bytes that are not UTF-8, so it is no
// place to put a space before.
void Tokenizer::RunSteps(size_t step, absl::string_view piece, bool continues,
                         std::vector<int32_t>* ids) const {
  if (step == steps_.size()) {
    encoder_.Encode(piece, ids);
    return;
  }
  const PieceStep& current = steps_[step];
  if (current.kind == PieceStep::kPrefixSpace) {
    if (continues || piece[0] == ' ') {
      RunSteps(step + 1, piece, continues, ids);
    } else {
      RunSteps(step + 1, absl::StrCat(" ", piece), continues, ids);
    }
    return;
  }
  const auto next = [&](size_t begin, size_t end) {
    if (begin == end) return;
    RunSteps(step + 1, piece.substr(begin, end - begin),
             continues && begin == 0, ids);
  };
  const bool keep_gaps = current.kind != PieceStep::kMatchesOnly;
  const bool join = current.kind == PieceStep::kIsolateRuns;
  size_t at = 0;  // what is before has been passed on
  size_t begin = 0, end = 0;
  bool found = current.pattern->Find(piece, 0, &begin, &end);
  while (found) {
    if (keep_gaps) next(at, begin);
    const size_t first = begin;
    at = end;
    found = current.pattern->Find(piece, at, &begin, &end);
    while (join && found && begin == at) {
      at = end;
      found = current.pattern->Find(piece, at, &begin, &end);
    }
    next(first, at);
  }
  if (keep_gaps) next(at, piece.size());
}

std::string Tokenizer::Decode(absl::Span<const int32_t> ids) const {
  std::string text;
  for (int32_t id : ids) {
    const absl::string_view bytes = TokenBytes(id);
    text.append(bytes.data(), bytes.size());
  }
  return text;
}

absl::optional<int32_t> Tokenizer::SpecialId(absl::string_view token) const {
  const auto found = added_ids_.find(token);
  if (found == added_ids_.end()) return absl::nullopt;
  return found->second;
}

}  // namespace lt2::tasks
