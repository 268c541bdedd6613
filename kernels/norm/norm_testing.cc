#include "kernels/norm/norm_testing.h"

#include <algorithm>

namespace lt2::kernels {

using ::lt2::testing::Rounded;
using ::lt2::testing::ToDoubles;
using ::lt2::testing::ToTensor;
using ::lt2::testing::Uniform;

std::string NormKindName(NormKind kind) {
  switch (kind) {
    case NormKind::kRms:
      return "rms";
    case NormKind::kSiluGated:
      return "silu-gated rms";
    case NormKind::kSigmoidGated:
      return "sigmoid-gated rms";
    case NormKind::kL2:
      return "l2";
  }
  return "?";
}

std::string NormProblem::ToString() const {
  return absl::StrCat(NormKindName(kind), " ", Name(dtype), " [", rows, ", ",
                      in.dim, "]");
}

NormProblem MakeNormProblem(NormKind kind, DType dtype, int64_t rows,
                            int64_t dim, double scale, uint64_t seed) {
  NormProblem problem;
  problem.kind = kind;
  problem.dtype = dtype;
  problem.rows = rows;
  NormReferenceInput& in = problem.in;
  in.dim = dim;
  in.x = Rounded(dtype, Uniform(seed, rows * dim, -scale, scale));
  in.mean = kind != NormKind::kL2;
  in.eps = kind == NormKind::kRms || kind == NormKind::kL2 ? 1e-6f : 1e-5f;
  if (kind != NormKind::kL2) {
    in.weight = Rounded(DType::kF32, Uniform(seed + 1, dim, 0.5, 1.5));
  }
  if (kind == NormKind::kSiluGated || kind == NormKind::kSigmoidGated) {
    in.gate = Rounded(dtype, Uniform(seed + 2, rows * dim, -4, 4));
  }
  in.activation = kind == NormKind::kSigmoidGated ? GateActivation::kSigmoid
                                                  : GateActivation::kSilu;
  problem.dy = Rounded(dtype, Uniform(seed + 3, rows * dim));
  return problem;
}

namespace {

// `values` as a tensor; with `in_slice`, one that starts one element into its
// buffer.
Tensor Place(Context& ctx, DType dtype, int64_t rows, int64_t dim,
             std::vector<double> values, bool in_slice) {
  if (!in_slice) return ToTensor(ctx, dtype, {rows, dim}, values);
  const int64_t n = rows * dim;
  values.insert(values.begin(), 0.0);
  return ToTensor(ctx, dtype, {n + 1}, values)
      .Slice(1, n + 1)
      .Reshape({rows, dim});
}

}  // namespace

NormActual RunNorm(Context& ctx, const NormProblem& problem, bool in_slices) {
  const NormReferenceInput& in = problem.in;
  auto place = [&](const std::vector<double>& values) {
    return Place(ctx, problem.dtype, problem.rows, in.dim, values, in_slices);
  };
  const Tensor x = place(in.x), dy = place(problem.dy);
  const float eps = static_cast<float>(in.eps);
  NormActual actual;
  auto read = [&](const Tensor& t, std::vector<double>* values) {
    *values = ToDoubles(ctx, t);
  };
  if (problem.kind == NormKind::kL2) {
    L2NormResults results;
    LT2_CHECK_OK(L2Norm(ctx, {x, eps}, &results));
    read(results.y, &actual.output.y);
    read(results.rstd, &actual.output.rstd);
    Tensor dx;
    LT2_CHECK_OK(L2NormGrad(ctx, {results.y, results.rstd, dy}, &dx));
    read(dx, &actual.grad.dx);
    return actual;
  }
  const Tensor weight = ToTensor(ctx, DType::kF32, {in.dim}, in.weight);
  if (problem.kind == NormKind::kRms) {
    RmsNormResults results;
    LT2_CHECK_OK(RmsNorm(ctx, {x, weight, eps}, &results));
    read(results.y, &actual.output.y);
    read(results.rstd, &actual.output.rstd);
    RmsNormGradResults grads;
    LT2_CHECK_OK(RmsNormGrad(ctx, {x, weight, results.rstd, dy}, &grads));
    read(grads.dx, &actual.grad.dx);
    read(grads.dweight, &actual.grad.dweight);
    return actual;
  }
  const Tensor gate = place(in.gate);
  GatedRmsNormResults results;
  LT2_CHECK_OK(
      GatedRmsNorm(ctx, {x, gate, weight, eps, in.activation}, &results));
  read(results.y, &actual.output.y);
  read(results.rstd, &actual.output.rstd);
  GatedRmsNormGradResults grads;
  LT2_CHECK_OK(GatedRmsNormGrad(
      ctx, {x, gate, weight, results.rstd, dy, in.activation}, &grads));
  read(grads.dx, &actual.grad.dx);
  read(grads.dgate, &actual.grad.dgate);
  read(grads.dweight, &actual.grad.dweight);
  return actual;
}

NormActual ExactNorm(const NormProblem& problem) {
  return {NormReference<double>(problem.in),
          NormGradReference<double>(problem.in, problem.dy)};
}

NormActual PlainNorm(const NormProblem& problem) {
  NormActual plain = {NormReference<float>(problem.in),
                      NormGradReference<float>(problem.in, problem.dy)};
  plain.output.y = Rounded(problem.dtype, plain.output.y);
  if (problem.kind == NormKind::kL2) {
    // The operator's gradient starts from y as it was stored.
    const int64_t dim = problem.in.dim;
    for (int64_t row = 0; row < problem.rows; ++row) {
      const float rstd = static_cast<float>(plain.output.rstd[row]);
      const double* const y = &plain.output.y[row * dim];
      const double* const dy = &problem.dy[row * dim];
      float dot = 0;
      for (int64_t i = 0; i < dim; ++i) {
        dot += static_cast<float>(y[i]) * static_cast<float>(dy[i]);
      }
      for (int64_t i = 0; i < dim; ++i) {
        plain.grad.dx[row * dim + i] =
            rstd * (static_cast<float>(dy[i]) - static_cast<float>(y[i]) * dot);
      }
    }
  }
  plain.grad.dx = Rounded(problem.dtype, plain.grad.dx);
  plain.grad.dgate = Rounded(problem.dtype, plain.grad.dgate);
  return plain;
}

void AddToPool(const NormProblem& problem, const NormActual& actual,
               testing::ContractPool* pool) {
  const NormActual exact = ExactNorm(problem), plain = PlainNorm(problem);
  const DType dtype = problem.dtype;
  const std::string label = problem.ToString();
  pool->Add("y", label, dtype, actual.output.y, plain.output.y, exact.output.y);
  pool->Add("rstd", label, DType::kF32, actual.output.rstd, plain.output.rstd,
            exact.output.rstd);
  pool->Add("dx", label, dtype, actual.grad.dx, plain.grad.dx, exact.grad.dx);
  pool->Add("dgate", label, dtype, actual.grad.dgate, plain.grad.dgate,
            exact.grad.dgate);
  pool->Add("dweight", label, DType::kF32, actual.grad.dweight,
            plain.grad.dweight, exact.grad.dweight);
}

}  // namespace lt2::kernels
