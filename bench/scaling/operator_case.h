// The operator of a mixer alone, at the shapes that the mixer gives it: what
// stands between its projections. Softmax attention, the delta rule, linear
// attention with a decay; of nsa its three branches and the choice of blocks;
// of dsa the indexer, its choice and the attention over it (backward with the
// indexer's loss, as in training).
//
// Activations are uniform in [-1, 1), of delta rules scaled so that queries and
// keys have a norm of about 1, decays in [-0.2, 0), write strengths in (0, 1).

#ifndef LT2_BENCH_SCALING_OPERATOR_CASE_H_
#define LT2_BENCH_SCALING_OPERATOR_CASE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/scaling/noise.h"
#include "model/autograd/tape.h"
#include "model/config/config.h"

namespace lt2::bench {

class OperatorCase {
 public:
  // `sets` sets of inputs, which the calls use in turn.
  static absl::StatusOr<std::unique_ptr<OperatorCase>> Create(
      Context& ctx, Noise& noise, const model::ModelConfig& config,
      const std::string& mixer, int64_t batch, int64_t length, int sets);

  // Of set `call` modulo sets. The results are dropped, unless `keep`.
  absl::Status Forward(int call, bool keep = false);
  absl::Status ForwardBackward(int call, bool keep = false);

  // Bytes of one set of inputs and of the output.
  int64_t input_bytes() const { return input_bytes_; }
  int64_t output_bytes() const { return output_bytes_; }
  // Of a call with `keep`: the output; then the gradients of q, k and v.
  const std::vector<Tensor>& kept() const { return kept_; }

 private:
  using Inputs = std::vector<model::Var>;
  explicit OperatorCase(Context& ctx) : ctx_(ctx) {}

  Context& ctx_;
  std::vector<std::vector<Tensor>> sets_;
  std::function<model::Var(model::Tape&, const Inputs&)> run_;
  Tensor dout_;
  std::vector<Tensor> kept_;
  int64_t input_bytes_ = 0, output_bytes_ = 0;
};

}  // namespace lt2::bench

#endif  // LT2_BENCH_SCALING_OPERATOR_CASE_H_
