// Measures two builds of the same benchmarks in turn, until it is clear whether
// one is slower.
//
// One process is one sample. A round runs every program of both sides, in the
// order A B in even rounds and B A in odd ones, so that a machine that becomes
// slower or faster on its way favours neither. After the first `rounds` the
// benchmarks that are UNCLEAR, and only those, are measured again until they
// have twice as many rounds, and again, up to `max_rounds` or the time limit:
// few looks (three by default), as each look is another chance of a false
// alarm. What is SLOWER then is measured anew in the same way, at least as
// often, and only what is SLOWER in that second series too is confirmed. An
// interrupt or the time limit leaves what was measured so far.
//
// Who runs the programs, and the clock, are an interface, so that tests decide
// both.

#ifndef LT2_TOOLS_TRACKING_ROUNDS_H_
#define LT2_TOOLS_TRACKING_ROUNDS_H_

#include <functional>
#include <string>
#include <vector>

#include "bench/tracking/compare.h"
#include "bench/tracking/records.h"

namespace lt2::tools {

// Which benchmarks of a program to run: all that its filter allows, or those
// whose Record::Subject is given.
struct Selection {
  int program = 0;
  std::vector<std::string> subjects;  // empty = all
};

class Bench {
 public:
  virtual ~Bench() = default;
  virtual int programs() const = 0;
  // Runs one process. `side` 0 is base, 1 head.
  virtual absl::StatusOr<std::vector<bench::Record>> Run(
      int side, const Selection& selection) = 0;
  virtual double Seconds() = 0;  // since any time in the past
  virtual bool Interrupted() = 0;
};

struct RoundsOptions {
  int rounds = 7, max_rounds = 28;
  // Seconds; no round begins that would pass it. Rounds beyond the first
  // `rounds` leave half of it to the confirmation.
  double time_limit = 900;
  bool confirm = true;
  bench::CompareOptions compare;                     // paired is set
  std::function<void(const std::string&)> progress;  // a line for people
};

struct Measured {
  bench::Report report;
  std::vector<bench::Record> base, head;  // a record for each process
  std::vector<bench::Record> base_again, head_again;  // of the confirmation
  int rounds = 0, processes = 0;                      // rounds: the most
  double seconds = 0;
  std::string ended;  // why no more: "clear", "max_rounds", "time_limit",
                      // "interrupted"
};

absl::StatusOr<Measured> MeasureInRounds(Bench& bench,
                                         const RoundsOptions& options);

// "1:02:03", "2:03".
std::string Clock(double seconds);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TRACKING_ROUNDS_H_
