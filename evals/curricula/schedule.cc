#include "evals/curricula/schedule.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <set>
#include <thread>

#include "absl/strings/str_format.h"
#include "evals/curricula/process.h"

namespace lt2::evals {
namespace {

using Clock = std::chrono::steady_clock;

// Seconds between notes of running ones: what a kill of this program loses.
constexpr double kNotesEvery = 10;

std::string Clocktime(double seconds) {
  const int64_t s = static_cast<int64_t>(std::max(0.0, seconds) + 0.5);
  return absl::StrFormat("%d:%02d:%02d", s / 3600, s / 60 % 60, s % 60);
}

class Scheduler {
 public:
  Scheduler(const Preset& preset, const ScheduleOptions& options)
      : preset_(preset), options_(options) {}

  absl::StatusOr<ScheduleEnd> Run(const std::vector<PlannedRun>& runs);
  // Nothing of ours keeps running after an error.
  ~Scheduler() {
    for (const Active& a : active_) kill(a.pid, SIGKILL);
  }

 private:
  struct Waiting {
    const PlannedRun* run = nullptr;
    SessionNotes notes;
  };
  struct Active : Waiting {
    pid_t pid = 0;
    int slot = 0;
    Clock::time_point start;
    bool told_to_stop = false;
    Clock::time_point told;
  };

  double Since(Clock::time_point t) const {
    return std::chrono::duration<double>(Clock::now() - t).count();
  }
  std::string Folder(const PlannedRun& run) const {
    return options_.runs + "/" + run.name;
  }
  int slots() const { return options_.jobs * options_.gpus; }
  int interrupts() const {
    return options_.interrupts == nullptr ? 0 : options_.interrupts->load();
  }

  absl::Status Enqueue(const std::vector<PlannedRun>& runs);
  absl::Status Start(Waiting next);
  absl::Status Reap();
  absl::Status Ended(const Active& a, int exit_code);
  // What run.json says of a session that goes on or ended well.
  SessionNotes NotesOf(const Active& a) const;
  void TellToStop(Active* a);
  void StopWhatMust();
  std::string Progress() const;

  const Preset& preset_;
  const ScheduleOptions& options_;
  std::deque<Waiting> queue_;
  std::vector<Active> active_;
  std::set<int> free_slots_;
  std::vector<double> finished_;
  int64_t done_ = 0, failed_ = 0, total_ = 0;
  bool stopping_ = false;
  bool changed_ = false;
  Clock::time_point start_ = Clock::now();
};

absl::Status Scheduler::Enqueue(const std::vector<PlannedRun>& runs) {
  for (const PlannedRun& run : runs) {
    LT2_RETURN_IF_ERROR(PrepareFolder(Folder(run), run));
    LT2_ASSIGN_OR_RETURN(const RunOutcome outcome,
                         ReadOutcome(Folder(run), preset_, run));
    ++total_;
    if (outcome.status == RunStatus::kDone) {
      ++done_;
      finished_.push_back(outcome.seconds);
      continue;
    }
    if (outcome.status == RunStatus::kFailed && !options_.retry) {
      ++failed_;
      options_.tell(absl::StrCat(run.name, " failed before: ", outcome.reason,
                                 " (--retry tries again)"));
      continue;
    }
    Waiting waiting;
    waiting.run = &run;
    LT2_ASSIGN_OR_RETURN(waiting.notes, ReadNotes(Folder(run)));
    queue_.push_back(waiting);
  }
  for (int slot = 0; slot < slots(); ++slot) free_slots_.insert(slot);
  return absl::OkStatus();
}

absl::Status Scheduler::Start(Waiting next) {
  Active a;
  static_cast<Waiting&>(a) = next;
  a.slot = *free_slots_.begin();
  const std::string folder = Folder(*a.run);
  ProgramSpec spec;
  spec.path = options_.train;
  spec.arguments = {"--config=" + folder + "/config.json", "--out=" + folder,
                    "--resume", "--threads=1", "--device=" + options_.device};
  if (!options_.data_dir.empty()) {
    spec.arguments.push_back("--data_dir=" + options_.data_dir);
  }
  if (options_.gpus > 1) {
    spec.environment = {
        absl::StrCat("CUDA_VISIBLE_DEVICES=", a.slot % options_.gpus)};
  }
  spec.output = folder + "/output.txt";
  LT2_ASSIGN_OR_RETURN(a.pid, StartProgram(spec));
  a.start = Clock::now();
  free_slots_.erase(a.slot);
  active_.push_back(a);
  changed_ = true;
  return WriteNotes(folder, NotesOf(a));
}

SessionNotes Scheduler::NotesOf(const Active& a) const {
  SessionNotes notes;
  notes.seconds = a.notes.seconds + Since(a.start);
  notes.sessions = a.notes.sessions + 1;
  notes.machine = options_.machine;
  return notes;
}

absl::Status Scheduler::Ended(const Active& a, int exit_code) {
  const std::string folder = Folder(*a.run);
  SessionNotes notes = NotesOf(a);
  // 130 is the program's own answer to being told to stop.
  const bool stopped = exit_code == 130 || (a.told_to_stop && exit_code > 128);
  notes.failed = exit_code != 0 && !stopped;
  if (notes.failed) {
    notes.reason = exit_code > 128
                       ? absl::StrCat("killed by signal ", exit_code - 128)
                       : LastWords(folder);
    if (notes.reason.empty()) {
      notes.reason = absl::StrCat("exit code ", exit_code);
    }
  }
  LT2_RETURN_IF_ERROR(WriteNotes(folder, notes));
  LT2_ASSIGN_OR_RETURN(const RunOutcome outcome,
                       ReadOutcome(folder, preset_, *a.run));
  std::string what =
      absl::StrFormat("%s %s after %d steps, %.0f s", a.run->name,
                      Name(outcome.status), outcome.steps, outcome.seconds);
  if (preset_.measure == Measure::kStage) {
    absl::StrAppend(&what, ": stage ", outcome.highest_stage);
    if (outcome.n_max > 0) absl::StrAppend(&what, " (n=", outcome.n_max, ")");
  }
  absl::StrAppendFormat(&what, ", accuracy %.3f", outcome.accuracy);
  if (!outcome.reason.empty()) absl::StrAppend(&what, ", ", outcome.reason);
  options_.tell(what);
  if (outcome.status == RunStatus::kDone) {
    ++done_;
    finished_.push_back(outcome.seconds);
  } else if (outcome.status == RunStatus::kFailed) {
    ++failed_;
  } else if (!stopping_ && a.told_to_stop) {  // its slice is over
    Waiting again = a;
    again.notes = notes;
    queue_.push_back(again);
  }
  changed_ = true;
  return absl::OkStatus();
}

absl::Status Scheduler::Reap() {
  for (size_t i = 0; i < active_.size();) {
    LT2_ASSIGN_OR_RETURN(const ProgramEnd end, PollProgram(active_[i].pid));
    if (end.running) {
      ++i;
      continue;
    }
    const Active a = active_[i];
    active_.erase(active_.begin() + i);
    free_slots_.insert(a.slot);
    LT2_RETURN_IF_ERROR(Ended(a, end.exit_code));
  }
  return absl::OkStatus();
}

void Scheduler::TellToStop(Active* a) {
  if (a->told_to_stop) return;
  kill(a->pid, SIGINT);
  a->told_to_stop = true;
  a->told = Clock::now();
}

void Scheduler::StopWhatMust() {
  const bool out_of_time =
      options_.time_limit > 0 && Since(start_) >= options_.time_limit;
  if (!stopping_ && (interrupts() > 0 || out_of_time)) {
    stopping_ = true;
    options_.tell(absl::StrFormat(
        "%s: %d runs save their checkpoints",
        interrupts() > 0 ? "interrupted" : "time limit", active_.size()));
  }
  // The longest running ones make room, as many as wait.
  size_t leaving = 0;
  for (const Active& a : active_) leaving += a.told_to_stop;
  for (Active& a : active_) {
    const bool slice_over =
        options_.slice > 0 && Since(a.start) > options_.slice;
    if (stopping_) {
      TellToStop(&a);
    } else if (slice_over && leaving < queue_.size() && !a.told_to_stop) {
      TellToStop(&a);
      ++leaving;
    }
    if (a.told_to_stop &&
        (interrupts() > 1 || Since(a.told) > options_.grace)) {
      kill(a.pid, SIGKILL);
    }
  }
}

std::string Scheduler::Progress() const {
  Workload work;
  work.finished = finished_;
  work.waiting = static_cast<int64_t>(queue_.size());
  work.slots = slots();
  for (const Active& a : active_) {
    Workload::Running running;
    running.seconds = a.notes.seconds + Since(a.start);
    running.steps = StepsSoFar(Folder(*a.run));
    running.limit = 1000;  // the trainer's default
    if (a.run->config.contains("train")) {
      running.limit = a.run->config["train"].value("steps", running.limit);
    }
    work.running.push_back(running);
  }
  const double left = EstimateSeconds(work);
  std::string text = absl::StrFormat(
      "%d of %d done, %d failed, %d running, %d waiting; %s", done_, total_,
      failed_, active_.size(), queue_.size(), Clocktime(Since(start_)));
  if (left >= 0) absl::StrAppend(&text, ", at most ", Clocktime(left), " left");
  if (options_.time_limit > 0) {
    absl::StrAppend(&text, ", stops in ",
                    Clocktime(options_.time_limit - Since(start_)));
  }
  return text;
}

absl::StatusOr<ScheduleEnd> Scheduler::Run(
    const std::vector<PlannedRun>& runs) {
  LT2_RETURN_IF_ERROR(Enqueue(runs));
  Clock::time_point last_progress = start_, last_notes = start_;
  for (;;) {
    LT2_RETURN_IF_ERROR(Reap());
    StopWhatMust();
    while (!stopping_ && !queue_.empty() && !free_slots_.empty()) {
      const Waiting next = queue_.front();
      queue_.pop_front();
      LT2_RETURN_IF_ERROR(Start(next));
    }
    if (active_.empty() && (stopping_ || queue_.empty())) break;
    if (changed_ || Since(last_progress) >= 1) {
      options_.progress(Progress());
      last_progress = Clock::now();
      changed_ = false;
    }
    if (Since(last_notes) >= kNotesEvery) {
      for (const Active& a : active_) {
        LT2_RETURN_IF_ERROR(WriteNotes(Folder(*a.run), NotesOf(a)));
      }
      last_notes = Clock::now();
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(options_.poll));
  }
  options_.progress(Progress());
  if (!stopping_) return ScheduleEnd::kDone;
  return interrupts() > 0 ? ScheduleEnd::kInterrupted : ScheduleEnd::kTimeLimit;
}

}  // namespace

absl::StatusOr<ScheduleEnd> RunAll(const Preset& preset,
                                   const std::vector<PlannedRun>& runs,
                                   const ScheduleOptions& options) {
  return Scheduler(preset, options).Run(runs);
}

double EstimateSeconds(const Workload& work) {
  double projected = 0, left = 0, longest = 0;
  int64_t projections = 0;
  for (const Workload::Running& r : work.running) {
    if (r.steps <= 0) continue;
    const double all =
        r.seconds * static_cast<double>(r.limit) / static_cast<double>(r.steps);
    projected += all;
    ++projections;
    left += std::max(0.0, all - r.seconds);
    longest = std::max(longest, all - r.seconds);
  }
  double typical = 0;
  if (!work.finished.empty()) {
    for (const double seconds : work.finished) typical += seconds;
    typical /= static_cast<double>(work.finished.size());
  } else if (projections > 0) {
    typical = projected / static_cast<double>(projections);
  } else if (!work.running.empty() || work.waiting > 0) {
    return -1;
  }
  const int64_t unknown =
      work.waiting + static_cast<int64_t>(work.running.size()) - projections;
  left += typical * static_cast<double>(unknown);
  return std::max(longest, left / static_cast<double>(work.slots));
}

}  // namespace lt2::evals
