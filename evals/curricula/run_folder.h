// What a run's folder tells about it.
//
//   RUN/config.json   what //tools:train was given
//       log.jsonl     its log: steps, evaluations, solved stages, tests
//       output.txt    what it printed
//       last/, final/ its checkpoints; final/ is there when it is done
//       run.json      ours: seconds over all sessions, sessions, why it failed;
//                     written from the start, every ten seconds, and at the end
//
// A log without final/ is that of a partial run: its stages are lower bounds.

#ifndef LT2_EVALS_CURRICULA_RUN_FOLDER_H_
#define LT2_EVALS_CURRICULA_RUN_FOLDER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "evals/curricula/preset.h"
#include "kernels/core/status.h"
#include "nlohmann/json.hpp"

namespace lt2::evals {

enum class RunStatus { kPending, kPartial, kDone, kFailed };

std::string Name(RunStatus status);
absl::StatusOr<RunStatus> StatusOf(const std::string& name);

// One task of a curriculum, in its order.
struct StageOutcome {
  int64_t number = 0;   // the preset's number; 0 = warm-up
  double accuracy = 0;  // of its last evaluation
  double best = 0;
  int64_t steps = 0;  // spent in it so far
  bool solved = false;
};

struct TestOutcome {
  nlohmann::json task;
  double accuracy = 0;
};

// A run and what came of it: a row of results.json.
struct RunOutcome {
  std::string name, row, write_strength, axis;
  int64_t column = 0, seed = 0;
  std::string config_digest;
  RunStatus status = RunStatus::kPending;
  std::string reason;         // why it failed, or what ended it
  int64_t highest_stage = 0;  // numbers of the preset
  int64_t n_max = 0;
  int64_t steps = 0;    // done
  double accuracy = 0;  // of the last evaluation
  std::vector<StageOutcome> stages;
  std::vector<TestOutcome> tests;
  double seconds = 0;  // of training, all sessions
  int64_t sessions = 0;
  std::string log_digest;  // without what depends on the clock; "" = no log
  std::string machine;     // of the last session

  std::string label() const;
};

// The part of run.json that is ours.
struct SessionNotes {
  double seconds = 0;
  int64_t sessions = 0;
  bool failed = false;
  std::string reason, machine;
};
absl::StatusOr<SessionNotes> ReadNotes(const std::string& folder);
absl::Status WriteNotes(const std::string& folder, const SessionNotes& notes);

// A fingerprint of a run's configuration: 16 hexadecimal digits.
std::string ConfigDigest(const nlohmann::json& config);

// Writes config.json, or checks that the one there is the same.
absl::Status PrepareFolder(const std::string& folder, const PlannedRun& run);

// Reads the folder; without one the run is pending. A damaged file is an
// error, but a last line of the log that was cut short is not.
absl::StatusOr<RunOutcome> ReadOutcome(const std::string& folder,
                                       const Preset& preset,
                                       const PlannedRun& run);

// Steps done according to the last lines of the log; 0 without one.
int64_t StepsSoFar(const std::string& folder);

// Why a program failed, by its output: the last line that names the program
// ("train: ..."), else the last line.
std::string LastWords(const std::string& folder);

}  // namespace lt2::evals

#endif  // LT2_EVALS_CURRICULA_RUN_FOLDER_H_
