// What the tests of linear attention and of the delta rule share: inputs,
// running an implementation on std::vectors, the plain chunked formula in low
// precision, assertions, and third-party vectors.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_RECURRENCE_TESTING_H_
#define LT2_KERNELS_LINEAR_ATTENTION_RECURRENCE_TESTING_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/core/testing.h"
#include "kernels/linear_attention/recurrence_reference.h"

namespace lt2::kernels {

struct RecurrenceCaseOptions {
  bool delta = false;  // with beta
  Decay decay = Decay::kToken;
  double min_g = -0.3;  // g uniform in [min_g, 0]
  double max_beta = 1.0;
  bool states = true;    // initial_state and dfinal_state
  bool gradient = true;  // dout
  DType act = DType::kF32;
};

// Random inputs, rounded to what the tensors will hold. The delta rule's
// queries and keys have norm 1.
RecurrenceInputs RandomRecurrence(uint64_t seed, const RecurrenceShape& shape,
                                  const RecurrenceCaseOptions& options);

// Makes g run from no decay at all to e^-100, which is 0 in f32, within a few
// tokens; per channel, differently from channel to channel.
void SetExtremeDecays(RecurrenceInputs* inputs);

// The textbook chunked formula (chunks of 64) with plain loops in f32. With
// `operands` kBF16 every operand of a matrix product is first rounded to bf16,
// and so are the results of that type: what the contract calls the plain
// formula in the same precision for CUDA. Chunk states and their gradients are
// such operands, and are the rounded ones wherever else they are used; the
// state that is passed on from chunk to chunk stays f32. Decay per channel
// makes its pairs of tokens from rows decayed to the start of the later token's
// 16 rows, which are operands; inside 16 rows pair by pair in f32.
//
// `wrong` makes the deliberately wrong twin. The delta rule's chunks forget
// what their tokens did to the same chunk's other tokens (T is taken to be the
// identity); linear attention's sum of decays is off by one token.
RecurrenceOutputs RecurrencePlainChunked(const RecurrenceShape& shape,
                                         const RecurrenceInputs& inputs,
                                         DType operands, bool wrong = false);

// Pairs (name, values) of the nonempty results.
std::vector<std::pair<std::string, const std::vector<double>*>> Fields(
    const RecurrenceOutputs& outputs);

// "batch 2 seq 37 ..."
std::string Describe(const RecurrenceShape& shape);

// f32 results against fp64. The measure is the f32 error of the plain formula
// in the worse of its forms, the recurrence and the textbook chunks.
void ExpectMeetsContract(const RecurrenceOutputs& actual,
                         const RecurrenceShape& shape,
                         const RecurrenceInputs& inputs);

// The fp64 reference's gradients against central differences.
void ExpectGradientIsFiniteDifference(const RecurrenceShape& shape,
                                      const RecurrenceInputs& inputs);

// Runs a case in two halves, the gradient too, with the state and its gradient
// passed between them, and expects the contract of the whole.
using RunRecurrenceFunction = std::function<RecurrenceOutputs(
    const RecurrenceShape&, const RecurrenceInputs&)>;
void ExpectGradientPassesBetweenSegments(const RecurrenceShape& shape,
                                         const RecurrenceInputs& inputs,
                                         int64_t cut,
                                         const RunRecurrenceFunction& run);

// Tokens [begin, end) of a case; states are left as they are.
RecurrenceInputs SliceTokens(const RecurrenceShape& shape,
                             const RecurrenceInputs& inputs, int64_t begin,
                             int64_t end);

// A case computed by other people's code. HGRN2 computes k and g from f:
// k = 1 - sigmoid(f), g = log sigmoid(f); then f and df are not empty.
struct RecurrenceRecorded {
  std::string name;
  RecurrenceShape shape;
  RecurrenceInputs inputs;
  RecurrenceOutputs outputs;
  std::vector<double> f, df;
};
// Cases of these operators (names of golden.py and of the JSON file) from
// `directory`/oracles/linear_attention_cases.json, and, for gated_delta_rule,
// gdn_large.json.
absl::StatusOr<std::vector<RecurrenceRecorded>> ReadRecurrenceOracles(
    const std::string& directory, const std::vector<std::string>& operators);
// From `directory`/operator*.safetensors.
absl::StatusOr<std::vector<RecurrenceRecorded>> ReadRecurrenceGolden(
    const std::string& directory, const std::vector<std::string>& operators);
// Expects `actual` within a relative RMS error of `limit` of what is recorded.
void ExpectNearRecorded(const RecurrenceRecorded& recorded,
                        const RecurrenceOutputs& actual, double limit);

// An operator on tensors. Family is LinearAttentionFamily or DeltaRuleFamily:
// its argument and result types, and its three functions.
template <typename Family>
typename Family::Args MakeRecurrenceArgs(Context& ctx, DType act,
                                         const RecurrenceShape& s,
                                         const RecurrenceInputs& in) {
  using testing::ToTensor;
  typename Family::Args args;
  args.scale = static_cast<float>(in.scale);
  args.q = ToTensor(ctx, act, {s.batch, s.seq, s.heads, s.d_k}, in.q);
  args.k = ToTensor(ctx, act, {s.batch, s.seq, s.heads, s.d_k}, in.k);
  args.v = ToTensor(ctx, act, {s.batch, s.seq, s.v_heads, s.d_v}, in.v);
  const Shape gate = {s.batch, s.seq, s.v_heads};
  if constexpr (requires { args.beta; }) {
    args.beta = ToTensor(ctx, DType::kF32, gate, in.beta);
  }
  if (!in.g.empty()) {
    const Shape channels = {s.batch, s.seq, s.v_heads, s.d_k};
    args.g = ToTensor(ctx, DType::kF32,
                      in.decay == Decay::kHead      ? Shape{s.v_heads}
                      : in.decay == Decay::kChannel ? channels
                                                    : gate,
                      in.g);
  }
  if (!in.initial_state.empty()) {
    args.initial_state = ToTensor(
        ctx, DType::kF32, {s.batch, s.v_heads, s.d_k, s.d_v}, in.initial_state);
  }
  return args;
}

// The operator and, if there is a dout, its gradient.
template <typename Family>
absl::StatusOr<RecurrenceOutputs> RunRecurrence(Context& ctx, DType act,
                                                const RecurrenceShape& s,
                                                const RecurrenceInputs& in) {
  using testing::ToDoubles;
  using testing::ToTensor;
  const auto args = MakeRecurrenceArgs<Family>(ctx, act, s, in);
  typename Family::Results results;
  LT2_RETURN_IF_ERROR(Family::Forward(ctx, args, &results));
  RecurrenceOutputs out;
  out.o = ToDoubles(ctx, results.o);
  out.final_state = ToDoubles(ctx, results.final_state);
  if (in.dout.empty()) return out;

  typename Family::GradArgs grad;
  grad.forward = args;
  grad.dout = ToTensor(ctx, act, args.v.shape(), in.dout);
  if (!in.dfinal_state.empty()) {
    grad.dfinal_state = ToTensor(ctx, DType::kF32, results.final_state.shape(),
                                 in.dfinal_state);
  }
  typename Family::GradResults d;
  LT2_RETURN_IF_ERROR(Family::Grad(ctx, grad, &d));
  const auto get = [&](const Tensor& t) {
    return t.defined() ? ToDoubles(ctx, t) : std::vector<double>();
  };
  out.dq = get(d.dq);
  out.dk = get(d.dk);
  out.dv = get(d.dv);
  if constexpr (requires { d.dbeta; }) out.dbeta = get(d.dbeta);
  out.dg = get(d.dg);
  out.dinitial_state = get(d.dinitial_state);
  return out;
}

// The same results (no gradients) through consecutive calls on the segments
// that `cuts` (ascending, without 0 and seq) makes, passing the state on, from
// the second segment on in place. With `steps`, the step function token by
// token.
template <typename Family>
absl::StatusOr<RecurrenceOutputs> RunRecurrenceInSegments(
    Context& ctx, DType act, const RecurrenceShape& shape,
    const RecurrenceInputs& in, const std::vector<int64_t>& cuts,
    bool steps = false) {
  std::vector<int64_t> bounds = {0};
  bounds.insert(bounds.end(), cuts.begin(), cuts.end());
  bounds.push_back(shape.seq);
  if (steps) {
    bounds.clear();
    for (int64_t t = 0; t <= shape.seq; ++t) bounds.push_back(t);
  }
  RecurrenceOutputs out;
  out.o.resize(in.v.size());
  const int64_t row = shape.v_heads * shape.d_v;
  Tensor state;
  for (size_t i = 0; i + 1 < bounds.size(); ++i) {
    const int64_t begin = bounds[i];
    RecurrenceShape s = shape;
    s.seq = bounds[i + 1] - begin;
    auto args = MakeRecurrenceArgs<Family>(
        ctx, act, s, SliceTokens(shape, in, begin, bounds[i + 1]));
    typename Family::Results results;
    if (i > 0) args.initial_state = results.final_state = state;
    LT2_RETURN_IF_ERROR(steps ? Family::Step(ctx, args, &results)
                              : Family::Forward(ctx, args, &results));
    state = results.final_state;
    const std::vector<double> o = testing::ToDoubles(ctx, results.o);
    for (int64_t b = 0; b < s.batch; ++b) {
      std::copy_n(o.begin() + b * s.seq * row, s.seq * row,
                  out.o.begin() + (b * shape.seq + begin) * row);
    }
  }
  out.final_state = testing::ToDoubles(ctx, state);
  return out;
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_LINEAR_ATTENTION_RECURRENCE_TESTING_H_
