// RULER: 13 tasks that ask what a model can find and follow in a long context
// (Hsieh et al., "RULER: What's the Real Context Size of Your Long-Context
// Language Models?", COLM 2024). README.md has the tasks and where ours differ.
//
//   LT2_ASSIGN_OR_RETURN(auto task, RulerTask::Create(
//       {{"task", "niah_single_2"}, {"max_length", 4096},
//        {"essay_files", {"corpus/valid-books.txt.xz"}}}, options));
//   LT2_ASSIGN_OR_RETURN(RulerSample sample, task->Sample(0));
//   ... the model continues sample.prompt by task->max_new_tokens() tokens ...
//   double score = RulerScore(continuation, sample.answers, task->metric());
//
// A sample is a pure function of (spec, index, tokenizer, haystack text), the
// seed being part of the spec. It is as long as fits:
//
//   tokens(prompt) + max_new_tokens <= max_length
//
// The size of the haystack (words of an essay, lines of noise, words of a list,
// documents) is the largest with which a sample of its own stream fits; it is
// found once. A sample that does not fit with it is drawn anew with less, by
// steps, as in the original, and at last one by one; where even the smallest
// does not fit it is an error that says how many tokens there must be.
//
// Cost of making a task: some twenty encodings of a text of max_length tokens.
// Sample(): one or a few.

#ifndef LT2_TASKS_RULER_RULER_H_
#define LT2_TASKS_RULER_RULER_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tasks/ruler/ruler_generator.h"
#include "tasks/tokenizer/tokenizer.h"

namespace lt2::tasks {

// kAll: the share of the answers that the text contains. kPart: 1 if it
// contains any of them. Case of ASCII letters does not count.
enum class RulerMetric { kAll, kPart };

// Of one sample, in [0, 1]; RULER prints 100 times the mean over samples.
double RulerScore(absl::string_view text, absl::Span<const std::string> answers,
                  RulerMetric metric);

struct RulerSample {
  std::string prompt;         // the task's text, then its answer's beginning
  std::string answer_prefix;  // that beginning: the end of `prompt`
  std::vector<std::string> answers;
  int64_t tokens = 0;  // of the prompt
  int64_t size = 0;    // of the haystack, in its units
};

struct RulerOptions {
  // Counts tokens; must outlive the task.
  const Tokenizer* tokenizer = nullptr;
  std::string data_dir;  // where relative file names start
  std::string path;      // of the spec in a larger one, for messages
};

class RulerTask {
 public:
  // Spec, with defaults:
  //   {"task": NAME, "max_length": 4096, "seed": 42, "samples": 500,
  //    "essay_files": [], "qa_file": ""}
  // essay_files (text or .xz) are needed by the tasks with an essay, qa_file
  // (README.md) by qa_1 and qa_2.
  static absl::StatusOr<std::unique_ptr<RulerTask>> Create(
      const nlohmann::json& spec, const RulerOptions& options);

  const std::string& name() const { return name_; }
  // Goes up when the samples of an unchanged spec change.
  int version() const { return 1; }
  RulerMetric metric() const;
  int64_t max_new_tokens() const;
  int64_t max_length() const { return max_length_; }
  // `samples`, or fewer if the task's items are fewer (qa).
  int64_t num_samples() const { return num_samples_; }
  // With every parameter filled in.
  const nlohmann::json& spec() const { return spec_; }

  // Sample `index` in [0, num_samples()). Safe to call from many threads.
  absl::StatusOr<RulerSample> Sample(int64_t index) const;

 private:
  RulerTask() = default;
  // The sample drawn with `size` in attempt number `attempt`.
  RulerSample Draw(int64_t index, uint32_t attempt, int64_t size) const;
  bool Fits(const RulerSample& sample) const;
  absl::Status FindSize(const std::string& path);

  std::string name_;
  nlohmann::json spec_;
  int64_t max_length_ = 0, num_samples_ = 0;
  uint64_t seed_ = 0;
  const Tokenizer* tokenizer_ = nullptr;
  std::unique_ptr<RulerGenerator> generator_;
  int64_t size_ = 0;
};

// The 13 names, in the order of the paper.
std::vector<std::string> RulerTaskNames();

}  // namespace lt2::tasks

#endif  // LT2_TASKS_RULER_RULER_H_
