// Finds stop strings in a text that arrives in pieces.
//
//   StopStrings stops({"\n\n", "User:"});
//   for (...) { Show(stops.Add(piece)); if (stops.stopped()) break; }
//   Show(stops.Finish());
//
// A stop string may begin in one piece and end in another, so Add keeps back
// the longest end of the text that could still become one. What Add and Finish
// return, joined, is the text before the stop string that is complete first (of
// several that end at the same byte, the longest), wherever the pieces were
// cut.

#ifndef LT2_MODEL_GENERATION_STOP_STRINGS_H_
#define LT2_MODEL_GENERATION_STOP_STRINGS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace lt2::model {

class StopStrings {
 public:
  // Empty strings are ignored.
  explicit StopStrings(std::vector<std::string> stops);

  std::string Add(absl::string_view text);
  // What was kept back; the text is over.
  std::string Finish();

  bool stopped() const { return !matched_.empty(); }
  // The string that was found, or "".
  const std::string& matched() const { return matched_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  std::string matched_;
};

}  // namespace lt2::model

#endif  // LT2_MODEL_GENERATION_STOP_STRINGS_H_
