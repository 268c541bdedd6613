// Measures one cell of the scaling table: a row.
//
// What a time is: timer.h. A row is measured only after a check that its mixer
// computes what it should (green.h). Inputs are random and differ from call to
// call: of an operator as many sets in turn as together are twice the GPU's
// last cache, at least two, at most 16; of a model four sets of tokens. Weights
// are random, never zero.
//
// On a GPU a decoding step is one CUDA graph (model::DecodeGraph), and so is a
// training step from its second on; prefill runs operator by operator, as
// prompts differ in length.
//
// What the arena holds at its peak counts as memory: weights, gradients,
// activations, caches; of an operator one set of inputs and what it makes.

#ifndef LT2_BENCH_SCALING_MEASURE_H_
#define LT2_BENCH_SCALING_MEASURE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/scaling/ceilings.h"
#include "bench/scaling/grid.h"
#include "model/looped/looped_model.h"

namespace lt2::bench {

struct Row {
  enum Status {
    kOk,
    kOutOfMemory,
    kOverTime,  // one call would take longer than the preset allows
    kError,
  };
  Cell cell;
  Status status = kOk;
  std::string message;  // unless kOk
  // Seconds of a call: each sample of the last process that measured the row;
  // the medians of all of them.
  std::vector<double> samples, process_medians;
  Timing timing;  // of the last process; its samples are the above
  int run = 0;    // which run that was

  // Of a model by the formulas of model/looped/accounting.h, of an operator as
  // it counts them; forward and backward count as three forwards.
  int64_t flops = 0;
  int64_t state_bytes = 0;  // states and caches of all sequences
  // The least that a call must read and write: of an operator inputs and
  // results (with the gradient: three times that); of prefill and decode
  // weights, once for each loop, and states. 0 for train.
  int64_t moved_bytes = 0;
  int64_t peak_bytes = 0;  // measured
};
std::string NameOf(Row::Status status);

class Measurer {
 public:
  // `memory_limit`: the most bytes to hold; 0 = on the CPU three quarters of
  // the machine's, as more would swap or end the process, on a GPU all.
  static absl::StatusOr<std::unique_ptr<Measurer>> Create(
      const Preset& preset, int threads, int64_t memory_limit = 0);

  Context& ctx() { return *ctx_; }
  const GpuFacts& facts() const { return timer_->facts(); }
  absl::StatusOr<Ceilings> MeasureCeilings();
  // True if the device answers to nobody any more: no further row can be
  // measured by this process.
  bool device_lost() const { return device_lost_; }
  // An error of the cell is a row. `before`: the rows so far, which foretell
  // what this one takes.
  absl::StatusOr<Row> Measure(const Cell& cell,
                              const std::map<std::string, Row>& before);

 private:
  explicit Measurer(const Preset& preset) : preset_(preset) {}
  absl::Status Renew();  // a new context: no memory of earlier rows
  absl::Status UseModel(const std::string& mixer);
  absl::Status FillCosts(Row* row) const;
  // True if the row is settled without a measurement.
  bool Foretell(const std::map<std::string, Row>& before, Row* row) const;
  absl::Status Run(Row* row);
  // Once for each mixer.
  absl::Status CheckGreen(const Cell& cell);
  absl::Status Sample(int max_calls, const Timer::Step& prepare,
                      const Timer::Step& call, Row* row);
  absl::Status RunOperator(Row* row);
  absl::Status RunTrain(Row* row);
  absl::Status RunPrefill(Row* row);
  absl::Status RunDecode(Row* row);
  absl::StatusOr<std::vector<Tensor>> Tokens(int64_t batch, int64_t length);

  const Preset preset_;
  ContextOptions options_;
  std::unique_ptr<Context> ctx_;
  std::unique_ptr<Timer> timer_;
  std::map<std::string, absl::Status> green_;
  bool device_lost_ = false;
  std::string mixer_;
  std::unique_ptr<model::LoopedModel> model_;
  // After the last prefill, for the decode row that follows.
  std::unique_ptr<model::DecodeState> state_;
  std::string state_key_;
};

}  // namespace lt2::bench

#endif  // LT2_BENCH_SCALING_MEASURE_H_
