// From text to text: one prompt with its answer as it grows, many prompts in
// batches, a conversation.

#ifndef LT2_TOOLS_GENERATION_TEXT_GENERATION_H_
#define LT2_TOOLS_GENERATION_TEXT_GENERATION_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/generation/chat/template.h"
#include "model/generation/generator.h"
#include "model/generation/stop_strings.h"
#include "tools/generation/requests.h"
#include "tools/generation/text_model.h"

namespace lt2::tools {

struct TextOptions {
  model::SamplingParameters sampling;
  int64_t max_tokens = 256;
  std::vector<std::string> stops;
  bool stop_ids = true;  // false: go on behind the end of a text
  int64_t loops = 0;
  int64_t chunk = 512;
  int64_t batch = 8;       // prompts of a file at once
  int64_t capacity = 0;    // at least so many tokens; 0: what is asked for
  std::string save, load;  // snapshots, of one prompt
};

// Is given the new text piece by piece: whole UTF-8 sequences, never what turns
// out to be part of a stop string.
using TextSink = std::function<void(absl::string_view)>;

// The text of the ids of one row.
class RowText {
 public:
  RowText(const tasks::Tokenizer& tokenizer,
          const std::vector<std::string>& stops)
      : decoder_(tokenizer), stops_(stops) {}
  // What can be shown; false in *more once a stop string is complete.
  std::string Add(int32_t id, bool* more);
  // The rest.
  std::string Finish();
  const model::StopStrings& stops() const { return stops_; }

 private:
  tasks::StreamDecoder decoder_;
  model::StopStrings stops_;
};

struct GenerationReport {
  model::GenerationTiming timing;
  int64_t state_bytes = 0;     // as allocated, of all rows
  int64_t snapshot_bytes = 0;  // of the file written, if one was
};

// Continues `prompt`. With options.load it is put behind the snapshot's tokens
// (and may be empty); with options.save the state that has taken in the prompt
// is written before the answer begins.
absl::StatusOr<TextResult> GenerateText(TextModel& model,
                                        const TextRequest& request,
                                        const TextOptions& options,
                                        const model::ChatTemplate* chat,
                                        const TextSink& sink,
                                        GenerationReport* report);

// One result for each request, in their order. Prompts of similar length run
// together; the random stream of a prompt is its number. `progress` is told how
// many are done.
absl::StatusOr<std::vector<TextResult>> GenerateTexts(
    TextModel& model, const std::vector<TextRequest>& requests,
    const TextOptions& options, const model::ChatTemplate* chat,
    const std::function<void(int64_t)>& progress, GenerationReport* report);

// A conversation of options.capacity tokens. Each turn takes in what is new
// since the last, as long as the template writes what came before as it was.
class Conversation {
 public:
  Conversation(TextModel& model, const TextOptions& options,
               const model::ChatTemplate& chat, const std::string& system);
  absl::StatusOr<TextResult> Say(const std::string& text, const TextSink& sink,
                                 GenerationReport* report);

 private:
  TextModel& model_;
  const TextOptions options_;
  const model::ChatTemplate& chat_;
  std::vector<model::ChatMessage> messages_;
  std::unique_ptr<model::Generator> generator_;
};

}  // namespace lt2::tools

#endif  // LT2_TOOLS_GENERATION_TEXT_GENERATION_H_
