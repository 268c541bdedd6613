// Words that the RULER tasks draw from. The lists are ours: the original takes
// those of the Python package wonderwords (README.md, "Differences").

#ifndef LT2_TASKS_RULER_WORDS_H_
#define LT2_TASKS_RULER_WORDS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace lt2::tasks {

// Lower-case words, each once in its list.
const std::vector<std::string>& Adjectives();
const std::vector<std::string>& Nouns();
const std::vector<std::string>& Verbs();

// The number of compounds "adjective-noun", and the i-th of them.
int64_t CompoundCount();
std::string Compound(int64_t i);

// Nouns, adjectives and verbs, each word once, sorted.
const std::vector<std::string>& SimpleWords();

}  // namespace lt2::tasks

#endif  // LT2_TASKS_RULER_WORDS_H_
