// Language modelling on text files: on bytes, as follows, or, where the spec
// names a "tokenizer", on its tokens (token_text.h).
//
// The text is one stream of bytes, s[0..N), vocabulary 256. Documents (tasks/
// text_file.h) each have a 0 byte before them, so s[0] = 0 and 0 is the
// begin-of-document token; it occurs nowhere else. Several files are joined in
// the order given.
//
//   training     example i is a random window: inputs s[p..p+L), targets
//                s[p+1..p+L], p uniform in {0, ..., N-1-L}. No end. A window
//                may cross documents.
//   valid, test  example i is window i of the whole stream: inputs
//                s[iL..iL+L), targets s[iL+1..iL+L]; the last one is shorter.
//                Every byte but s[0] is a target once, with one byte of
//                context at the start of its window. Targets that are 0 are
//                not scored: they are no bytes of text, so that
//                bits per byte = sum of -log2 p over scored targets / their
//                number. Seeds change nothing.
//
// Consecutive examples of valid and test are consecutive text: an evaluator
// that carries the model's state from example i to example i+1 scores the
// stream as a whole ("streaming"); one that starts anew scores windows.
//
// Spec: {"task": "text", "length": 256, "train_files": [...],
//        "valid_files": [...], "test_files": [...], "valid_fraction": 0.05}
// Names are relative to TaskOptions::data_dir; .xz files are decompressed.
// test_files defaults to the validation text. Without valid_files, the last
// valid_fraction of the training text becomes the validation text and is not
// trained on; the cut is at the first beginning of a document at or after
// that point, else at the first beginning of a line. valid_fraction may only
// be given without valid_files.
//
// chance() = 1/256. num_examples() is finite for valid and test.

#ifndef LT2_TASKS_TEXT_H_
#define LT2_TASKS_TEXT_H_

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "tasks/task.h"

namespace lt2::tasks {

absl::StatusOr<std::unique_ptr<Task>> CreateText(const nlohmann::json& spec,
                                                 const TaskOptions& options);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TEXT_H_
