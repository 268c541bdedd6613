// A model that reads and writes text: weights, tokenizer, and where its texts
// begin and end.

#ifndef LT2_TOOLS_GENERATION_TEXT_MODEL_H_
#define LT2_TOOLS_GENERATION_TEXT_MODEL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "model/looped/looped_model.h"
#include "tasks/tokenizer/tokenizer.h"

namespace lt2::tools {

struct TextModel {
  std::unique_ptr<model::LoopedModel> model;
  std::unique_ptr<tasks::Tokenizer> tokenizer;
  std::string folder;
  // Tokens after which a text is over.
  std::vector<int32_t> stop_ids;
  // Stands before every text (always_begins), or before an empty one.
  absl::optional<int32_t> begin_id;
  bool always_begins = false;
  int64_t max_positions = 0;  // that the model was made for; 0: not said
  std::vector<std::string> notes;
};

struct TextModelOptions {
  std::string folder;
  // A folder, a file or "bytes" (tasks/tokenizer); "": what the folder says,
  // which is its tokenizer.json, or bytes if it was trained on our text task.
  std::string tokenizer;
  std::string data_dir;  // where the folder's data.tokenizer is looked up
  int64_t loops = 0;
  absl::optional<DType> activation;
};

absl::StatusOr<TextModel> LoadTextModel(Context& ctx,
                                        const TextModelOptions& options);

// A digest of config.json and the bytes of all weights; reads them all.
absl::StatusOr<std::string> ModelDigest(const std::string& folder);

// The ids of a prompt: with the begin token where it belongs. An error if there
// is no token at all.
absl::StatusOr<std::vector<int32_t>> EncodePrompt(const TextModel& model,
                                                  absl::string_view text,
                                                  bool parse_special);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_GENERATION_TEXT_MODEL_H_
