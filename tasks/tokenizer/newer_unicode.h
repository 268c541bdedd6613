// What Unicode 15.1 and 16.0 added to the classes of patterns.
//
// RE2's tables are those of Unicode 15.0 where it is packaged by Debian 12, and
// tokenizers and tiktoken have those of 16.0. The difference is put beside
// RE2's class; with a later RE2 it changes nothing. It covers the general
// categories; of scripts only Han.

#ifndef LT2_TASKS_TOKENIZER_NEWER_UNICODE_H_
#define LT2_TASKS_TOKENIZER_NEWER_UNICODE_H_

#include "absl/strings/string_view.h"

namespace lt2::tasks {

// As the inside of an RE2 bracket; empty if there is nothing new in \p{name}.
absl::string_view NewerRanges(absl::string_view name);

// The same for \w.
extern const char kNewerWordRanges[];

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TOKENIZER_NEWER_UNICODE_H_
