#include "evals/probes/influence.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/core/philox.h"

namespace lt2::evals {
namespace {

using model::Tape;
using model::Var;

const model::Parameter* Find(const model::LoopedModel& model,
                             const std::string& name) {
  for (const model::Parameter* p : model.parameters()) {
    if (p->name == name) return p;
  }
  LT2_CHECK(false, "no parameter ", name);
  return nullptr;
}

Var MixersOnly(Tape& tape, const model::LoopedModel& model, Var h,
               int64_t loops) {
  const std::vector<model::LoopedModel::Slot> slots = model.Slots(loops, 0);
  for (size_t i = 0; i < slots.size() && tape.ok(); ++i) {
    const model::Parameter& norm =
        *Find(model, absl::StrCat("layers.", i % model.config().n_layers,
                                  ".attention_norm.weight"));
    model::MixerCall call;
    call.window = slots[i].window;
    h = slots[i].mixer->Forward(
        tape,
        model::RmsNorm(tape, h, norm,
                       static_cast<float>(model.config().norm_eps)),
        call);
  }
  return h;
}

// Rows of h(0), each `times` times, on the device.
absl::StatusOr<Tensor> Embedded(model::LoopedModel& model, const Inputs& inputs,
                                int64_t times, Tensor* ids) {
  std::vector<int32_t> repeated;
  for (int64_t row = 0; row < inputs.batch * times; ++row) {
    const auto first = inputs.ids.begin() + row / times * inputs.seq;
    repeated.insert(repeated.end(), first, first + inputs.seq);
  }
  Context& ctx = model.ctx();
  LT2_ASSIGN_OR_RETURN(*ids, ctx.FromHost<int32_t>(
                                 repeated, {inputs.batch * times, inputs.seq}));
  Tape tape(ctx, Tape::kInference);
  const Var h =
      model::Embedding(tape, *ids, *Find(model, "tok_embeddings.weight"));
  LT2_RETURN_IF_ERROR(tape.status());
  return h.value();
}

double Rms(const std::vector<float>& values) {
  double sum = 0;
  for (float v : values) sum += static_cast<double>(v) * v;
  return std::sqrt(sum / static_cast<double>(values.size()));
}

}  // namespace

absl::StatusOr<std::vector<double>> Influence(model::LoopedModel& model,
                                              const Inputs& inputs,
                                              int64_t loops, Path path,
                                              int64_t directions,
                                              uint64_t seed) {
  Context& ctx = model.ctx();
  const int64_t rows = inputs.batch * directions, seq = inputs.seq;
  const int64_t dim = model.config().dim;
  Tensor ids;
  LT2_ASSIGN_OR_RETURN(const Tensor h0,
                       Embedded(model, inputs, directions, &ids));
  Tape tape(ctx, Tape::kRecord);
  const Var start = tape.Leaf(h0);
  Var end;
  if (path == Path::kMixers) {
    end = MixersOnly(tape, model, start, loops);
  } else {
    model::ForwardOptions options;
    options.loops = loops;
    options.embedded = start;
    options.observer = [&](int64_t loop, int64_t, absl::string_view name,
                           const Var& value) {
      if (name == "h" && loop == loops) end = value;
    };
    model.Logits(tape, ids, options);
  }
  LT2_RETURN_IF_ERROR(tape.status());
  std::vector<float> direction(rows * seq * dim);
  for (int64_t row = 0; row < rows; ++row) {
    Philox rng(seed, static_cast<uint64_t>(row));
    float* u = &direction[(row * seq + seq - 1) * dim];
    double norm = 0;
    for (int64_t i = 0; i < dim; ++i) {
      u[i] = rng.Normal();
      norm += static_cast<double>(u[i]) * u[i];
    }
    for (int64_t i = 0; i < dim; ++i) {
      u[i] /= static_cast<float>(std::sqrt(norm));
    }
  }
  LT2_ASSIGN_OR_RETURN(
      const Tensor seed_tensor,
      DeviceTensor(ctx, end.value().dtype(), {rows, seq, dim}, direction));
  LT2_RETURN_IF_ERROR(tape.Backward(end, seed_tensor));
  std::vector<double> influence(seq);
  LT2_CHECK(start.grad().defined(), "no gradient reached the input");
  LT2_ASSIGN_OR_RETURN(const std::vector<float> gradient,
                       HostFloats(ctx, start.grad()));
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t d = 0; d < seq; ++d) {
      const float* g = &gradient[(row * seq + seq - 1 - d) * dim];
      for (int64_t i = 0; i < dim; ++i) {
        influence[d] += static_cast<double>(g[i]) * g[i];
      }
    }
  }
  for (double& value : influence) {
    value = std::sqrt(value / static_cast<double>(rows));
  }
  return influence;
}

absl::StatusOr<double> ResidualShare(model::LoopedModel& model,
                                     const Inputs& inputs, int64_t loops) {
  Context& ctx = model.ctx();
  Tensor ids;
  LT2_RETURN_IF_ERROR(Embedded(model, inputs, 1, &ids).status());
  absl::Status status;
  double input = 0, sum = 0;
  int64_t blocks = 0;
  model::ForwardOptions options;
  options.loops = loops;
  options.observer = [&](int64_t, int64_t, absl::string_view name,
                         const Var& value) {
    if (name != "block_input" && name != "mixer_output") return;
    const auto values = HostFloats(ctx, value.value());
    if (!values.ok()) {
      status = values.status();
    } else if (name == "block_input") {
      input = Rms(*values);
    } else {
      sum += input / (input + Rms(*values));
      ++blocks;
    }
  };
  Tape tape(ctx, Tape::kInference);
  model.Logits(tape, ids, options);
  LT2_RETURN_IF_ERROR(tape.status());
  LT2_RETURN_IF_ERROR(status);
  return sum / static_cast<double>(blocks);
}

Horizon HorizonOf(const std::vector<double>& influence) {
  Horizon h;
  const int64_t n = static_cast<int64_t>(influence.size());
  const double top = *std::max_element(influence.begin(), influence.end());
  double weight = 0, first = 0, second = 0;
  // Sums of the regression.
  double count = 0, x = 0, y = 0, xx = 0, xy = 0, yy = 0;
  for (int64_t d = 0; d < n; ++d) {
    const double value = influence[d], at = static_cast<double>(d);
    if (value > 0) h.reach = d + 1;
    if (value >= kHorizonEps * top) h.distance = d + 1;
    weight += value * value;
    first += value * value * at;
    second += value * value * at * at;
    if (d == 0 || value <= 1e-6 * top) continue;
    const double log = std::log(value / top);
    count += 1;
    x += at;
    y += log;
    xx += at * at;
    xy += at * log;
    yy += log * log;
  }
  h.censored = h.distance == n;
  h.mean = first / weight;
  h.deviation = std::sqrt(std::max(0.0, second / weight - h.mean * h.mean));
  const double sxx = xx - x * x / count, sxy = xy - x * y / count;
  const double syy = yy - y * y / count;
  const double slope = sxy / sxx;
  h.r2 = sxy * sxy / (sxx * syy);
  h.decay = slope < 0 ? -1 / slope : std::numeric_limits<double>::infinity();
  h.fitted = (std::log(kHorizonEps) - (y - slope * x) / count) / slope;
  if (slope >= 0) h.fitted = std::numeric_limits<double>::infinity();
  return h;
}

int64_t PredictedReach(int64_t tokens, int64_t window, int64_t layers,
                       int64_t loops) {
  return std::min(tokens, loops * layers * (window - 1) + 1);
}

double ResidualHorizon(int64_t window, double alpha) {
  return static_cast<double>(window) * std::log(1 / kHorizonEps) /
         std::log(1 / (1 - alpha));
}

}  // namespace lt2::evals
