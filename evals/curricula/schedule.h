// Runs many trainings at once, each a process of //tools:train.
//
// A run that is done is not started again; one that was stopped continues from
// its checkpoint to the same bits as if it never was; one that failed is left
// alone unless asked. Nothing is lost if this program is killed: the state is
// in the runs' folders.

#ifndef LT2_EVALS_CURRICULA_SCHEDULE_H_
#define LT2_EVALS_CURRICULA_SCHEDULE_H_

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "evals/curricula/run_folder.h"

namespace lt2::evals {

struct ScheduleOptions {
  std::string train;  // path of the program
  std::string runs;   // folder of the runs' folders
  std::string device = "cpu";
  std::string data_dir;
  std::string machine;
  int jobs = 1;           // trainings at a time, on each GPU
  int gpus = 1;           // slot i sees GPU i mod gpus only, if more than one
  double time_limit = 0;  // seconds after which all are told to stop; 0 = none
  // Seconds after which a run makes room for the next one in the queue and
  // goes to its end; 0 = it keeps its place until it is done.
  double slice = 0;
  double grace = 120;  // seconds for saving before a run is killed
  bool retry = false;  // failed runs too
  // Counts Ctrl-C: 1 stops with checkpoints, more kill.
  const std::atomic<int>* interrupts = nullptr;
  std::function<void(const std::string&)> tell;  // a line for people
  // Every second, and after each event.
  std::function<void(const std::string&)> progress;
  double poll = 0.05;
};

enum class ScheduleEnd { kDone, kTimeLimit, kInterrupted };

absl::StatusOr<ScheduleEnd> RunAll(const Preset& preset,
                                   const std::vector<PlannedRun>& runs,
                                   const ScheduleOptions& options);

// What the estimate of the remaining time knows.
struct Workload {
  std::vector<double> finished;  // seconds of each finished run
  struct Running {
    double seconds = 0;
    int64_t steps = 0, limit = 0;  // done, and the most there can be
  };
  std::vector<Running> running;
  int64_t waiting = 0;
  int64_t slots = 1;
};

// Seconds left, or -1 if nothing is known yet. A running one takes its whole
// budget of steps, waiting ones what finished ones took on average, or else the
// running ones would; so it is an upper bound while runs solve their stages.
double EstimateSeconds(const Workload& work);

}  // namespace lt2::evals

#endif  // LT2_EVALS_CURRICULA_SCHEDULE_H_
