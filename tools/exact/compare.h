// Has a quantity without noise moved? Any difference counts: there is no
// threshold, a person accepts it or mends the code.

#ifndef LT2_TOOLS_EXACT_COMPARE_H_
#define LT2_TOOLS_EXACT_COMPARE_H_

#include <map>
#include <string>
#include <vector>

#include "tools/exact/record.h"

namespace lt2::tools {

struct Difference {
  // kChanged: a text, or a number that became a text or the other way round.
  // In the order in which they are shown.
  enum Kind { kChanged, kGrew, kVanished, kNew, kShrank };
  Kind kind = kChanged;
  std::string entry, quantity;  // "(all of it)": the whole entry
  Quantity pinned, now;         // empty text where there is none

  // "changed", "+33.3 %", "from zero", "vanished", "new", "-5.0 %".
  std::string Change() const;
};

struct SectionVerdict {
  enum Outcome { kSame, kDiffers, kSkipped };
  std::string section;
  Outcome outcome = kSame;
  std::string why;        // skipped: why nothing was compared
  size_t quantities = 0;  // that are pinned
  // Entries with the worst difference first, by kind, then by how many times
  // larger a quantity has become; all quantities of an entry together.
  std::vector<Difference> differences;
};

// What was measured now. A section that this machine or build cannot measure
// is in `unavailable`, with the reason.
struct Measured {
  Record record;
  std::map<std::string, std::string> unavailable;
};

// One verdict for each of SectionNames(). A section is skipped when it could
// not be measured, when nothing is pinned for it yet, or when it was pinned in
// another environment; a missing or new entry or quantity is a difference. A
// section that is neither measured nor unavailable differs: all of it vanished.
std::vector<SectionVerdict> Compare(const Record& pinned,
                                    const Measured& measured);

// For people: a table of old and new values, at most `max_rows` of them, and
// the command that accepts them.
std::string VerdictText(const SectionVerdict& verdict, size_t max_rows = 60);

// The pinned record with every measured section in place of its own; sections
// that are unavailable stay as they are.
Record Accepted(const Record& pinned, const Measured& measured);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_EXACT_COMPARE_H_
