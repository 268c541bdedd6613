#include "tools/generation/text_generation.h"

#include <algorithm>
#include <chrono>
#include <numeric>

namespace lt2::tools {
namespace {

// The tokens of a request, by the template if it is a conversation.
absl::StatusOr<std::vector<int32_t>> Encode(const TextModel& model,
                                            const TextRequest& request,
                                            const model::ChatTemplate* chat) {
  if (request.messages.empty()) {
    return EncodePrompt(model, request.prompt, /*parse_special=*/false);
  }
  if (chat == nullptr) {
    return InvalidArgument("request ", request.id.dump(),
                           " has messages, but there is no chat template");
  }
  LT2_ASSIGN_OR_RETURN(const std::string text,
                       chat->Render(request.messages, /*reply=*/true));
  std::vector<int32_t> ids = model.tokenizer->Encode(text, true);
  if (ids.empty()) return InvalidArgument("the chat template writes nothing");
  return ids;
}

model::GenerateOptions HowTo(const TextModel& model,
                             const TextOptions& options) {
  model::GenerateOptions how;
  how.sampling = options.sampling;
  how.max_tokens = options.max_tokens;
  if (options.stop_ids) how.stop_ids = model.stop_ids;
  return how;
}

model::GeneratorOptions MakeOptions(const TextModel& model,
                                    const TextOptions& options,
                                    int64_t tokens) {
  model::GeneratorOptions result;
  result.capacity = std::max(
      options.capacity,
      std::max<int64_t>(1, tokens + std::max<int64_t>(0, options.max_tokens)));
  result.loops = options.loops;
  result.chunk = options.chunk;
  result.max_positions = model.max_positions;
  return result;
}

void FillIn(const model::GeneratedRow& row, const RowText& text,
            TextResult* result) {
  result->finish_reason = Name(row.reason);
  result->new_tokens = static_cast<int64_t>(row.ids.size());
  // The text that was left over may have completed a stop string.
  if (text.stops().stopped()) {
    result->stop_string = text.stops().matched();
    result->finish_reason = Name(model::FinishReason::kCallback);
  }
}

// Runs a generator of one row.
absl::Status RunOne(TextModel& model, model::Generator& generator,
                    const TextOptions& options, const TextSink& sink,
                    TextResult* result, GenerationReport* report) {
  RowText text(*model.tokenizer, options.stops);
  auto show = [&](const std::string& piece) {
    result->text += piece;
    if (sink && !piece.empty()) sink(piece);
  };
  model::GenerateOptions how = HowTo(model, options);
  how.on_token = [&](int64_t, int32_t id) {
    bool more = true;
    show(text.Add(id, &more));
    return more;
  };
  LT2_ASSIGN_OR_RETURN(const model::Generated generated,
                       generator.Generate(how));
  show(text.Finish());
  FillIn(generated.rows[0], text, result);
  report->timing = generated.timing;
  report->state_bytes = generator.state_bytes();
  return absl::OkStatus();
}

}  // namespace

std::string RowText::Add(int32_t id, bool* more) {
  std::string text = stops_.Add(decoder_.Add(id));
  *more = !stops_.stopped();
  return text;
}

std::string RowText::Finish() {
  std::string text = stops_.Add(decoder_.Finish());
  return text + stops_.Finish();
}

absl::StatusOr<TextResult> GenerateText(TextModel& model,
                                        const TextRequest& request,
                                        const TextOptions& options,
                                        const model::ChatTemplate* chat,
                                        const TextSink& sink,
                                        GenerationReport* report) {
  std::vector<int32_t> ids;
  int64_t before = 0;
  model::SnapshotIdentity identity;
  if (!options.save.empty() || !options.load.empty()) {
    LT2_ASSIGN_OR_RETURN(identity.model_digest, ModelDigest(model.folder));
    identity.tokenizer_digest = model.tokenizer->digest();
  }
  if (!options.load.empty()) {
    LT2_ASSIGN_OR_RETURN(const model::SnapshotInfo info,
                         model::ReadSnapshotInfo(options.load));
    before = info.tokens;
    ids = model.tokenizer->Encode(request.prompt);
  } else {
    LT2_ASSIGN_OR_RETURN(ids, Encode(model, request, chat));
  }
  const int64_t tokens = before + static_cast<int64_t>(ids.size());
  LT2_ASSIGN_OR_RETURN(auto generator,
                       model::Generator::Create(
                           *model.model, MakeOptions(model, options, tokens)));
  if (!options.load.empty()) {
    LT2_RETURN_IF_ERROR(generator->Load(options.load, identity));
  }
  LT2_RETURN_IF_ERROR(generator->Append({ids}));
  double seconds_before = 0;
  int64_t taken_in_before = 0;
  if (!options.save.empty()) {
    const auto start = std::chrono::steady_clock::now();
    const int64_t position = generator->position();
    LT2_RETURN_IF_ERROR(generator->Prefill());
    LT2_RETURN_IF_ERROR(model.model->ctx().Synchronize());
    seconds_before =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count();
    taken_in_before = generator->position() - position;
    LT2_ASSIGN_OR_RETURN(report->snapshot_bytes,
                         generator->Save(options.save, identity));
  }
  TextResult result;
  result.id = request.id;
  result.prompt = request.prompt;
  result.prompt_tokens = tokens;
  LT2_RETURN_IF_ERROR(
      RunOne(model, *generator, options, sink, &result, report));
  report->timing.prompt_tokens += taken_in_before;
  report->timing.seconds_to_first += seconds_before;
  return result;
}

absl::StatusOr<std::vector<TextResult>> GenerateTexts(
    TextModel& model, const std::vector<TextRequest>& requests,
    const TextOptions& options, const model::ChatTemplate* chat,
    const std::function<void(int64_t)>& progress, GenerationReport* report) {
  const int64_t n = static_cast<int64_t>(requests.size());
  if (options.batch < 1) {
    return InvalidArgument("a batch of ", options.batch, " prompts");
  }
  std::vector<std::vector<int32_t>> ids;
  std::vector<TextResult> results(n);
  size_t longest = 0;
  for (int64_t i = 0; i < n; ++i) {
    auto encoded = Encode(model, requests[i], chat);
    if (!encoded.ok()) {
      return Annotate(encoded.status(),
                      absl::StrCat("request ", requests[i].id.dump()));
    }
    ids.push_back(std::move(encoded).value());
    longest = std::max(longest, ids.back().size());
    results[i].id = requests[i].id;
    results[i].prompt = requests[i].prompt;
    results[i].prompt_tokens = static_cast<int64_t>(ids.back().size());
  }
  {
    // The whole file is refused for its longest prompt before the first one is
    // computed.
    const model::GeneratorOptions most =
        MakeOptions(model, options, static_cast<int64_t>(longest));
    if (model.max_positions > 0 && most.capacity > model.max_positions) {
      return model::Generator::Create(*model.model, most).status();
    }
  }
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return ids[a].size() > ids[b].size();  // what needs most memory comes first
  });
  for (int64_t begin = 0; begin < n; begin += options.batch) {
    const int64_t rows = std::min(options.batch, n - begin);
    model::GeneratorOptions how_big = MakeOptions(
        model, options, static_cast<int64_t>(ids[order[begin]].size()));
    how_big.batch = rows;
    std::vector<std::vector<int32_t>> prompts;
    std::vector<RowText> texts;
    for (int64_t r = 0; r < rows; ++r) {
      how_big.streams.push_back(static_cast<int32_t>(order[begin + r]));
      prompts.push_back(ids[order[begin + r]]);
      texts.emplace_back(*model.tokenizer, options.stops);
    }
    LT2_ASSIGN_OR_RETURN(auto generator,
                         model::Generator::Create(*model.model, how_big));
    LT2_RETURN_IF_ERROR(generator->Append(prompts));
    model::GenerateOptions how = HowTo(model, options);
    how.on_token = [&](int64_t row, int32_t id) {
      bool more = true;
      results[order[begin + row]].text += texts[row].Add(id, &more);
      return more;
    };
    LT2_ASSIGN_OR_RETURN(const model::Generated generated,
                         generator->Generate(how));
    for (int64_t r = 0; r < rows; ++r) {
      TextResult& result = results[order[begin + r]];
      result.text += texts[r].Finish();
      FillIn(generated.rows[r], texts[r], &result);
    }
    const model::GenerationTiming& timing = generated.timing;
    if (begin == 0) {
      report->timing.seconds_to_first = timing.seconds_to_first;
      report->state_bytes = generator->state_bytes();
    }
    report->timing.prompt_tokens += timing.prompt_tokens;
    report->timing.new_tokens += timing.new_tokens;
    report->timing.later_tokens += timing.later_tokens;
    report->timing.later_seconds += timing.later_seconds;
    if (progress) progress(begin + rows);
  }
  return results;
}

Conversation::Conversation(TextModel& model, const TextOptions& options,
                           const model::ChatTemplate& chat,
                           const std::string& system)
    : model_(model), options_(options), chat_(chat) {
  if (!system.empty()) messages_.push_back({"system", system});
}

absl::StatusOr<TextResult> Conversation::Say(const std::string& text,
                                             const TextSink& sink,
                                             GenerationReport* report) {
  TextRequest request;
  request.prompt = text;
  request.messages = messages_;
  request.messages.push_back({"user", text});
  LT2_ASSIGN_OR_RETURN(std::vector<int32_t> ids,
                       Encode(model_, request, &chat_));
  const int64_t tokens = static_cast<int64_t>(ids.size());
  const bool goes_on = generator_ != nullptr &&
                       generator_->tokens(0).size() < ids.size() &&
                       std::equal(generator_->tokens(0).begin(),
                                  generator_->tokens(0).end(), ids.begin());
  if (goes_on) {
    ids.erase(ids.begin(), ids.begin() + generator_->tokens(0).size());
  } else {
    generator_.reset();  // its memory first
    model::GeneratorOptions how_big = MakeOptions(model_, options_, 0);
    LT2_ASSIGN_OR_RETURN(generator_,
                         model::Generator::Create(*model_.model, how_big));
  }
  TextResult result;
  result.prompt = text;
  result.prompt_tokens = tokens;
  LT2_RETURN_IF_ERROR(generator_->Append({ids}));
  LT2_RETURN_IF_ERROR(
      RunOne(model_, *generator_, options_, sink, &result, report));
  messages_ = std::move(request.messages);
  messages_.push_back({"assistant", result.text});
  return result;
}

}  // namespace lt2::tools
