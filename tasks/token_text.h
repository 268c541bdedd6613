// Token-level language modelling on text files: the form that the task "text"
// takes when its spec names a tokenizer.
//
// Documents (tasks/text_file.h) are encoded one by one, without special tokens.
// With E the tokenizer's end of text, the stream of documents d1, ..., dn is
//
//   s = E d1 E d2 E ... dn E
//
//   training     example i is a random window: inputs s[p..p+L), targets
//                s[p+1..p+L], p uniform in {0, ..., N-1-L}. No end. A window
//                may cross documents, and E is a target too.
//   valid, test  a document is scored by itself, after one E, in windows of L
//                targets that follow each other: with e = E d, window w has
//                the inputs e[wL..wL+L) and the targets e[wL+1..wL+L]; the
//                last one is shorter. Every token of the text is a target
//                once, and no E is. Seeds change nothing.
//
// Windows start anew: the first target of a window has one token of context.
//
//   bits per byte = (sum of -ln p over the targets) / ln 2 / (bytes of text),
//
// which does not depend on the tokenizer, if the context does not.
// Task::passage() says how many bytes an example's targets stand for and in
// which document; over a split these add up to the documents' bytes exactly
// (a tokenizer that does not give a document back is an error).
//
// Spec: that of text.h with "tokenizer": a name for tasks::Tokenizer::Load, a
// path relative to TaskOptions::data_dir or "bytes". "tokenizer_digest" is
// filled in; where it is given, another tokenizer is an error. Without
// valid_files, the last documents, valid_fraction of the bytes or more, are
// the validation text and not trained on.
//
// Everything is encoded when the task is made, on all cores; the ids are kept,
// 4 bytes a token. chance() = 1 / vocab_size().

#ifndef LT2_TASKS_TOKEN_TEXT_H_
#define LT2_TASKS_TOKEN_TEXT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tasks/task.h"
#include "tasks/text_spec.h"
#include "tasks/tokenizer/tokenizer.h"

namespace lt2::tasks {

// `spec` names a tokenizer.
absl::StatusOr<std::unique_ptr<Task>> CreateTokenText(
    const TextSpec& spec, const TaskOptions& options);

// The documents of `texts` as token ids, in order; documents[i] are the ids of
// texts[i] without special tokens. The same for any number of threads.
std::vector<std::vector<int32_t>> EncodeAll(const Tokenizer& tokenizer,
                                            absl::Span<const std::string> texts,
                                            int threads);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TOKEN_TEXT_H_
