// Reader of tokenizer.json: the model BPE with the pre-tokenizer ByteLevel, and
// what may stand around it. Everything else is an error.

#include <utility>

#include "kernels/core/json/json_reader.h"
#include "kernels/core/json/strict_json.h"
#include "kernels/core/status.h"
#include "tasks/tokenizer/byte_level.h"
#include "tasks/tokenizer/merge_list.h"
#include "tasks/tokenizer/tokenizer_parts.h"
#include "tasks/tokenizer/unicode.h"

namespace lt2::tasks {
namespace {

using nlohmann::json;

// An absent key and null are the same thing in these files.
void DropNulls(json* object) {
  if (!object->is_object()) return;
  for (auto it = object->begin(); it != object->end();) {
    it = it->is_null() ? object->erase(it) : std::next(it);
  }
}

// Takes the member out, null if there is none.
json TakeMember(json* object, const char* key) {
  if (!object->is_object()) return nullptr;
  const auto member = object->find(key);
  if (member == object->end()) return nullptr;
  json result = std::move(*member);
  object->erase(member);
  return result;
}

void AddStep(JsonReader reader, absl::string_view key, PieceStep::Kind kind,
             absl::StatusOr<std::unique_ptr<SplitPattern>> pattern,
             std::vector<PieceStep>* steps) {
  if (!pattern.ok()) {
    reader.Fail(key, pattern.status().message());
    return;
  }
  PieceStep step;
  step.kind = kind;
  step.pattern = *std::move(pattern);
  steps->push_back(std::move(step));
}

void ReadSplit(JsonReader reader, std::vector<PieceStep>* steps) {
  const std::string behavior =
      reader.Enum("behavior", "", {"Isolated", "Removed"});
  const bool invert = reader.Bool("invert", false);
  JsonReader pattern = reader.Object("pattern");
  const std::string regex = pattern.String("Regex", "");
  const std::string text = pattern.String("String", "");
  if (!reader.status().ok()) return;
  // Inverted, what is between matches and the matches change places.
  if (behavior == "Removed" && !invert) {
    reader.Fail("behavior",
                "\"Removed\" without invert drops what the pattern matches, "
                "which is not supported");
    return;
  }
  AddStep(reader, "pattern",
          behavior == "Removed" ? PieceStep::kMatchesOnly : PieceStep::kIsolate,
          pattern.Has("Regex") ? SplitPattern::Compile(regex)
                               : SplitPattern::Literal(text),
          steps);
}

void ReadPreTokenizer(JsonReader reader, std::vector<PieceStep>* steps,
                      bool* byte_level) {
  reader.Require({"type"});
  const std::string type =
      reader.Enum("type", "", {"Sequence", "Split", "Digits", "ByteLevel"});
  if (!reader.status().ok()) return;
  if (*byte_level) {
    reader.Fail("type", "nothing may come behind ByteLevel");
    return;
  }
  if (type == "Sequence") {
    reader.Require({"pretokenizers"});
    for (JsonReader part : reader.Objects("pretokenizers")) {
      ReadPreTokenizer(part, steps, byte_level);
    }
  } else if (type == "Split") {
    reader.Require({"pattern", "behavior"});
    ReadSplit(reader, steps);
  } else if (type == "Digits") {
    const bool individual = reader.Bool("individual_digits", false);
    AddStep(reader, "type",
            individual ? PieceStep::kIsolate : PieceStep::kIsolateRuns,
            SplitPattern::Compile("\\p{N}"), steps);
  } else {
    *byte_level = true;
    reader.Bool("trim_offsets", true);  // of no effect on ids
    if (reader.Bool("add_prefix_space", true)) {
      steps->emplace_back().kind = PieceStep::kPrefixSpace;
    }
    if (reader.Bool("use_regex", true)) {
      AddStep(reader, "use_regex", PieceStep::kIsolate,
              SplitPattern::Compile(kGpt2Pattern), steps);
    }
  }
}

void ReadNormalizer(JsonReader reader, bool* nfc) {
  reader.Require({"type"});
  if (reader.Enum("type", "", {"NFC", "Sequence"}) == "Sequence") {
    for (JsonReader part : reader.Objects("normalizers")) {
      ReadNormalizer(part, nfc);
    }
  } else {
    *nfc = true;
  }
}

// Decoding is always ByteLevel's.
void ReadDecoder(JsonReader reader) {
  reader.Require({"type"});
  if (reader.Enum("type", "", {"ByteLevel", "Sequence"}) == "Sequence") {
    const std::vector<JsonReader> parts = reader.Objects("decoders");
    if (parts.size() != 1) {
      reader.Fail("decoders", "expected ByteLevel alone");
    }
    for (const JsonReader& part : parts) ReadDecoder(part);
    return;
  }
  for (const char* key : {"add_prefix_space", "trim_offsets", "use_regex"}) {
    reader.Bool(key, true);
  }
}

// Post-processors put special tokens around the ids, which Encode never does;
// from a template the token at the beginning is taken.
void ReadPostProcessor(JsonReader reader, std::string* begin_of_text) {
  reader.Require({"type"});
  const std::string type =
      reader.Enum("type", "", {"ByteLevel", "TemplateProcessing", "Sequence"});
  if (type == "Sequence") {
    for (JsonReader part : reader.Objects("processors")) {
      ReadPostProcessor(part, begin_of_text);
    }
  } else if (type == "ByteLevel") {
    for (const char* key : {"add_prefix_space", "trim_offsets", "use_regex"}) {
      reader.Bool(key, true);
    }
  } else if (type == "TemplateProcessing") {
    const json& single = reader.Array("single");
    reader.Array("pair");
    if (single.empty() || !single[0].is_object()) return;
    const auto special = single[0].find("SpecialToken");
    if (special == single[0].end() || !special->is_object()) return;
    const auto id = special->find("id");
    if (id != special->end() && id->is_string()) *begin_of_text = *id;
  }
}

// Keys of templates with names of tokens as keys inside; their ids are those
// of the added tokens.
void DropTemplateTokens(json* post_processor) {
  if (!post_processor->is_object()) return;
  post_processor->erase("special_tokens");
  const auto parts = post_processor->find("processors");
  if (parts == post_processor->end() || !parts->is_array()) return;
  for (json& part : *parts) DropTemplateTokens(&part);
}

void ReadAddedTokens(JsonReader& reader, std::vector<AddedToken>* added) {
  absl::flat_hash_map<std::string, int32_t> seen;
  for (JsonReader entry : reader.Objects("added_tokens")) {
    entry.Require({"id", "content"});
    AddedToken token;
    token.id = static_cast<int32_t>(entry.Int("id", 0, 0, kMaxTokens - 1));
    token.content = entry.String("content", "");
    token.special = entry.Bool("special", false);
    token.single_word = entry.Bool("single_word", false);
    token.lstrip = entry.Bool("lstrip", false);
    token.rstrip = entry.Bool("rstrip", false);
    token.normalized = entry.Bool("normalized", !token.special);
    if (!entry.status().ok()) return;
    if (token.content.empty() || token.content.size() > kMaxAddedTokenBytes) {
      entry.Fail("content", "expected 1 to ", kMaxAddedTokenBytes,
                 " bytes, got ", token.content.size());
    }
    if (!seen.emplace(token.content, token.id).second) {
      entry.Fail("content", Quoted(token.content), " is there twice");
    }
    added->push_back(std::move(token));
  }
}

// The model but for its vocabulary and merges.
void ReadModelOptions(JsonReader model, TokenizerParts* parts) {
  // Old files leave the type out; only BPE has merges, which are required.
  model.Enum("type", "BPE", {"BPE"});
  model.Float("dropout", 0, 0, 0);
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.String(key, "").empty()) model.Fail(key, "is not supported");
  }
  // These say what to do with bytes without a token: left out unless there is
  // an unk_token.
  if (!model.String("unk_token", "").empty()) parts->needs_all_bytes = true;
  model.Bool("fuse_unk", false);
  if (model.Bool("byte_fallback", false)) parts->needs_all_bytes = true;
  parts->whole_pieces = model.Bool("ignore_merges", false);
}

absl::Status ReadTokens(const TokenIds& ids, TokenizerParts* parts) {
  TokenIds added;
  size_t size = ids.size();
  for (const AddedToken& token : parts->added) {
    added.emplace(token.content, token.id);
    const auto in_model = ids.find(token.content);
    if (in_model == ids.end()) {
      ++size;
    } else if (in_model->second != token.id) {
      return InvalidArgument("added token ", Quoted(token.content), " has id ",
                             token.id, ", but in model.vocab ",
                             in_model->second);
    }
  }
  VocabularyBuilder builder(size);
  for (const auto& [name, id] : ids) {
    absl::StatusOr<std::string> bytes = ByteLevelToBytes(name);
    if (!bytes.ok()) {
      if (!added.contains(name)) {
        return Annotate(bytes.status(), "model.vocab");
      }
      bytes = std::string();  // text is never encoded as this by merging
    }
    LT2_RETURN_IF_ERROR(builder.Add(name, *bytes, id));
  }
  for (const AddedToken& token : parts->added) {
    if (ids.contains(token.content)) continue;
    LT2_RETURN_IF_ERROR(builder.Add(token.content, "", token.id));
  }
  parts->tokens = builder.Take();
  return absl::OkStatus();
}

absl::Status ReadMerges(const json& merges, const TokenIds& ids,
                        TokenizerParts* parts) {
  if (!merges.is_array()) {
    return InvalidArgument("model.merges: expected an array");
  }
  MergeList list(ids);
  for (const json& merge : merges) {
    if (merge.is_string()) {
      LT2_RETURN_IF_ERROR(list.Add(merge.get_ref<const std::string&>()));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      LT2_RETURN_IF_ERROR(list.Add(merge[0].get_ref<const std::string&>(),
                                   merge[1].get_ref<const std::string&>()));
    } else {
      return InvalidArgument(
          "model.merges: expected \"left right\" or "
          "[\"left\", \"right\"], got ",
          merge.dump().substr(0, 80));
    }
  }
  parts->merges = list.Take();
  return absl::OkStatus();
}

absl::Status ReadDocument(json document, TokenizerParts* parts) {
  if (!document.is_object()) return InvalidArgument("expected an object");
  DropNulls(&document);
  json model = TakeMember(&document, "model");
  if (!model.is_object()) return InvalidArgument("model: expected an object");
  DropNulls(&model);
  const json vocabulary = TakeMember(&model, "vocab");
  const json merges = TakeMember(&model, "merges");
  json post_processor = TakeMember(&document, "post_processor");
  DropTemplateTokens(&post_processor);

  JsonReader reader(document);
  reader.Enum("version", "1.0", {"1.0"});
  for (const char* key : {"truncation", "padding"}) {
    if (reader.Has(key)) {
      reader.Fail(key, "is not supported; set it to null");
    }
  }
  reader.Require({"added_tokens", "pre_tokenizer", "decoder"});
  ReadAddedTokens(reader, &parts->added);
  if (reader.Has("normalizer")) {
    ReadNormalizer(reader.Object("normalizer"), &parts->nfc);
  }
  bool byte_level = false;
  ReadPreTokenizer(reader.Object("pre_tokenizer"), &parts->steps, &byte_level);
  if (reader.status().ok() && !byte_level) {
    reader.Fail("pre_tokenizer",
                "only byte-level BPE is supported: there must "
                "be a ByteLevel");
  }
  ReadDecoder(reader.Object("decoder"));
  LT2_RETURN_IF_ERROR(reader.Finish());

  std::string begin_of_text;
  if (!post_processor.is_null()) {
    JsonReader post_reader(post_processor, "post_processor");
    ReadPostProcessor(post_reader, &begin_of_text);
    LT2_RETURN_IF_ERROR(post_reader.Finish());
  }
  JsonReader model_reader(model, "model");
  ReadModelOptions(model_reader, parts);
  LT2_RETURN_IF_ERROR(model_reader.Finish());

  LT2_ASSIGN_OR_RETURN(const TokenIds ids,
                       ReadVocabulary(vocabulary, "model.vocab"));
  LT2_RETURN_IF_ERROR(ReadTokens(ids, parts));
  LT2_RETURN_IF_ERROR(ReadMerges(merges, ids, parts));
  parts->begin_of_text = FindAdded(
      parts->added, {begin_of_text, "<|begin_of_text|>", "<s>", "<bos>"});
  parts->end_of_text = FindAdded(
      parts->added, {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerParts> ReadHuggingFaceTokenizer(
    absl::string_view tokenizer_json, absl::string_view source) {
  LT2_ASSIGN_OR_RETURN(json document, ParseJson(tokenizer_json, source));
  TokenizerParts parts;
  const absl::Status status = ReadDocument(std::move(document), &parts);
  if (!status.ok()) return Annotate(status, source);
  return parts;
}

absl::Status ReadTokenizerConfig(absl::string_view config_json,
                                 absl::string_view source,
                                 TokenizerParts* parts) {
  LT2_ASSIGN_OR_RETURN(const json config, ParseJson(config_json, source));
  if (!config.is_object()) {
    return InvalidArgument(source, ": expected an object");
  }
  const std::pair<const char*, absl::optional<int32_t>*> keys[] = {
      {"bos_token", &parts->begin_of_text}, {"eos_token", &parts->end_of_text}};
  for (const auto& [key, id] : keys) {
    const auto member = config.find(key);
    if (member == config.end()) continue;
    *id = absl::nullopt;
    if (member->is_null()) continue;
    json content = *member;
    if (content.is_object() && content.contains("content")) {
      content = json(content["content"]);
    }
    if (!content.is_string()) {
      return InvalidArgument(source, ": ", key,
                             ": expected a token or an object with its "
                             "\"content\"");
    }
    *id = FindAdded(parts->added, {content.get<std::string>()});
    if (!id->has_value()) {
      return InvalidArgument(source, ": ", key, ": ",
                             Quoted(content.get<std::string>()),
                             " is no added token of tokenizer.json");
    }
  }
  return absl::OkStatus();
}

}  // namespace lt2::tasks
