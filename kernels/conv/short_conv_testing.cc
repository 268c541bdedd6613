#include "kernels/conv/short_conv_testing.h"

#include <algorithm>

namespace lt2::kernels {

using ::lt2::testing::Rounded;
using ::lt2::testing::ToDoubles;
using ::lt2::testing::ToTensor;
using ::lt2::testing::Uniform;

std::string ShortConvProblem::ToString() const {
  return absl::StrCat(Name(dtype), " [", in.batch, ", ", in.seq, ", ",
                      in.channels, "] width ", in.width,
                      in.state.empty() ? "" : " with state",
                      in.silu ? " silu" : "", in.bias.empty() ? "" : " bias");
}

ShortConvProblem MakeShortConvProblem(DType dtype, int64_t batch, int64_t seq,
                                      int64_t channels, int64_t width,
                                      bool state, bool silu, double scale,
                                      bool bias) {
  ShortConvProblem problem;
  problem.dtype = dtype;
  ShortConvReferenceInput& in = problem.in;
  in.batch = batch;
  in.seq = seq;
  in.channels = channels;
  in.width = width;
  in.silu = silu;
  const int64_t n = batch * seq * channels;
  in.x = Rounded(dtype, Uniform(1, n, -scale, scale));
  in.weight = Rounded(DType::kF32, Uniform(2, channels * width));
  if (state) {
    in.state = Rounded(
        dtype, Uniform(3, batch * (width - 1) * channels, -scale, scale));
  }
  if (bias) in.bias = Rounded(DType::kF32, Uniform(5, channels, -scale, scale));
  problem.dy = Rounded(dtype, Uniform(4, n));
  return problem;
}

namespace {

Tensor Place(Context& ctx, DType dtype, const Shape& shape,
             std::vector<double> values, bool in_slice) {
  if (!in_slice) return ToTensor(ctx, dtype, shape, values);
  const int64_t n = shape.numel();
  values.insert(values.begin(), 0.0);
  return ToTensor(ctx, dtype, {n + 1}, values).Slice(1, n + 1).Reshape(shape);
}

}  // namespace

ShortConvActual RunShortConv(Context& ctx, const ShortConvProblem& problem,
                             bool in_slices) {
  const ShortConvReferenceInput& in = problem.in;
  const Shape shape = {in.batch, in.seq, in.channels};
  ShortConvArgs args;
  args.x = Place(ctx, problem.dtype, shape, in.x, in_slices);
  args.weight = ToTensor(ctx, DType::kF32, {in.channels, in.width}, in.weight);
  if (!in.state.empty()) {
    args.initial_state =
        Place(ctx, problem.dtype, {in.batch, in.width - 1, in.channels},
              in.state, in_slices);
  }
  args.silu = in.silu;
  if (!in.bias.empty()) {
    args.bias = ToTensor(ctx, DType::kF32, {in.channels}, in.bias);
  }
  ShortConvResults results;
  LT2_CHECK_OK(ShortConv(ctx, args, &results));
  ShortConvGradResults grads;
  LT2_CHECK_OK(
      ShortConvGrad(ctx,
                    {args.x, args.weight, args.initial_state,
                     Place(ctx, problem.dtype, shape, problem.dy, in_slices),
                     args.silu, args.bias},
                    &grads));
  return {
      {ToDoubles(ctx, results.y), ToDoubles(ctx, results.final_state)},
      {ToDoubles(ctx, grads.dx), ToDoubles(ctx, grads.dweight),
       in.bias.empty() ? std::vector<double>() : ToDoubles(ctx, grads.dbias)}};
}

ShortConvReferenceOutput RunInSegments(Context& ctx,
                                       const ShortConvProblem& problem,
                                       const std::vector<int64_t>& lengths) {
  const ShortConvReferenceInput& in = problem.in;
  ShortConvArgs args;
  args.weight = ToTensor(ctx, DType::kF32, {in.channels, in.width}, in.weight);
  args.silu = in.silu;
  if (!in.bias.empty()) {
    args.bias = ToTensor(ctx, DType::kF32, {in.channels}, in.bias);
  }
  std::vector<double> state = in.state;
  state.resize(in.batch * (in.width - 1) * in.channels);
  args.initial_state = ToTensor(ctx, problem.dtype,
                                {in.batch, in.width - 1, in.channels}, state);
  ShortConvReferenceOutput out;
  out.y.resize(in.x.size());
  int64_t begin = 0;
  for (int64_t length : lengths) {
    std::vector<double> x;
    auto row = [&](int64_t b, int64_t t) {
      return (b * in.seq + begin + t) * in.channels;
    };
    for (int64_t b = 0; b < in.batch; ++b) {
      x.insert(x.end(), in.x.begin() + row(b, 0),
               in.x.begin() + row(b, length));
    }
    args.x = ToTensor(ctx, problem.dtype, {in.batch, length, in.channels}, x);
    ShortConvResults results;
    results.final_state = args.initial_state;
    LT2_CHECK_OK(ShortConv(ctx, args, &results));
    const std::vector<double> y = ToDoubles(ctx, results.y);
    for (int64_t b = 0; b < in.batch; ++b) {
      const auto from = y.begin() + b * length * in.channels;
      std::copy(from, from + length * in.channels, out.y.begin() + row(b, 0));
    }
    begin += length;
  }
  LT2_CHECK(begin == in.seq);
  out.final_state = ToDoubles(ctx, args.initial_state);
  return out;
}

void AddToPool(const ShortConvProblem& problem, const ShortConvActual& actual,
               testing::ContractPool* pool) {
  const auto exact = ShortConvReference<double>(problem.in);
  const auto plain = ShortConvReference<float>(problem.in);
  const auto exact_grad =
      ShortConvGradReference<double>(problem.in, problem.dy);
  const auto plain_grad = ShortConvGradReference<float>(problem.in, problem.dy);
  const DType dtype = problem.dtype;
  const std::string label = problem.ToString();
  pool->Add("y", label, dtype, actual.output.y, Rounded(dtype, plain.y),
            exact.y);
  EXPECT_EQ(actual.output.final_state, exact.final_state) << label;
  pool->Add("dx", label, dtype, actual.grad.dx, Rounded(dtype, plain_grad.dx),
            exact_grad.dx);
  pool->Add("dweight", label, DType::kF32, actual.grad.dweight,
            plain_grad.dweight, exact_grad.dweight);
  if (problem.in.bias.empty()) return;
  pool->Add("dbias", label, DType::kF32, actual.grad.dbias, plain_grad.dbias,
            exact_grad.dbias);
}

}  // namespace lt2::kernels
