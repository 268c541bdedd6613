// An item of a suite as the texts that a model is asked about.

#ifndef LT2_EVALS_LM_ITEM_H_
#define LT2_EVALS_LM_ITEM_H_

#include <string>
#include <vector>

#include "evals/lm/documents.h"
#include "evals/lm/suite.h"

namespace lt2::evals {

struct TextRequest {
  std::string context, continuation;
};

struct Item {
  int64_t index = 0;
  std::string place;
  // multiple_choice: one for each choice, and then, for acc_mutual_info, the
  // unconditional one of each. completion: one. generate: one, without a
  // continuation. text: one, the document as its continuation.
  std::vector<TextRequest> requests;
  // multiple_choice: the choices without the delimiter. With `contexts` each of
  // them is the target.
  std::vector<std::string> choices;
  int64_t gold = -1;
  std::vector<std::string> answers;  // generate
  std::vector<int64_t> shots;        // items shown as examples, in order
};

struct FewShot {
  int64_t count = 0;
  uint64_t seed = 1234;
};

// Examples are drawn without replacement from all items but this one, by
// Philox(seed, index): neither the order of evaluation nor a sample of the
// items changes them.
absl::StatusOr<Item> BuildItem(const Suite& suite, const Documents& documents,
                               int64_t index, const FewShot& few_shot);

}  // namespace lt2::evals

#endif  // LT2_EVALS_LM_ITEM_H_
