// Measures cells of the scaling grid.
//
// What a time is: wall-clock of one call, on a GPU between two
// synchronisations. A call that is not counted comes first. Inputs are random
// tokens, four sets of them in turn; weights are random, never zero, and the
// same in each call, so that what fits in a cache is in it. What the arena
// holds at its peak counts as memory: weights, gradients, activations, caches.

#ifndef LT2_BENCH_SCALING_MEASURE_H_
#define LT2_BENCH_SCALING_MEASURE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

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
  std::string message;          // unless kOk
  std::vector<double> samples;  // seconds of each call

  // By the formulas of model/looped/accounting.h; forward and backward count
  // as three forwards.
  int64_t flops = 0;
  int64_t state_bytes = 0;  // states and caches of all sequences
  int64_t moved_bytes = 0;  // that a decode step reads and writes
  int64_t peak_bytes = 0;   // measured
};
std::string NameOf(Row::Status status);

class Measurer {
 public:
  // `memory_limit`: the most bytes to hold; 0 = on the CPU three quarters of
  // the machine's, as more would swap or end the process, on a GPU all.
  static absl::StatusOr<std::unique_ptr<Measurer>> Create(
      const Preset& preset, int threads, int64_t memory_limit = 0);

  Context& ctx() { return *ctx_; }
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
  absl::Status Sample(const std::function<absl::Status(int)>& prepare,
                      const std::function<absl::Status(int)>& call, Row* row);
  absl::Status RunTrain(Row* row);
  absl::Status RunPrefill(Row* row);
  absl::Status RunDecode(Row* row);
  absl::StatusOr<std::vector<Tensor>> Tokens(int64_t batch, int64_t length);

  const Preset preset_;
  ContextOptions options_;
  std::unique_ptr<Context> ctx_;
  std::string mixer_;
  std::unique_ptr<model::LoopedModel> model_;
  // After the last prefill, for the decode row that follows.
  std::unique_ptr<model::DecodeState> state_;
  std::string state_key_;
};

}  // namespace lt2::bench

#endif  // LT2_BENCH_SCALING_MEASURE_H_
