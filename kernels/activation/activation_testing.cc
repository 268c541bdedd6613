#include "kernels/activation/activation_testing.h"

namespace lt2::kernels {

using ::lt2::testing::Rounded;
using ::lt2::testing::ToDoubles;
using ::lt2::testing::ToTensor;
using ::lt2::testing::Uniform;

std::string ActivationProblem::ToString() const {
  return absl::StrCat(ActivationOpName(op), " ", Name(dtype), " to ", Name(out),
                      " [", rows, ", ", in.dim, "] groups ", in.p.size(),
                      " slope ", in.slope, in.q.empty() ? " no bias" : "");
}

ActivationProblem MakeActivationProblem(ActivationOp op, DType dtype,
                                        int64_t rows, int64_t dim, double scale,
                                        uint64_t seed) {
  ActivationProblem problem;
  problem.op = op;
  problem.dtype = dtype;
  const bool f32 = op == ActivationOp::kDecayGate ||
                   op == ActivationOp::kSigmoid ||
                   op == ActivationOp::kSoftplus;
  problem.out = f32 ? DType::kF32 : dtype;
  problem.rows = rows;
  ActivationInput& in = problem.in;
  in.dim = dim;
  in.scale = 2;
  in.a = Rounded(dtype, Uniform(seed, rows * dim, -scale, scale));
  in.b = Rounded(dtype, Uniform(seed + 1, rows * dim, -scale, scale));
  in.p = Rounded(DType::kF32, Uniform(seed + 2, dim, -1, 1));
  in.q = Rounded(DType::kF32, Uniform(seed + 3, dim, -1, 1));
  in.dy = Rounded(problem.out, Uniform(seed + 4, rows * dim));
  in.r = Rounded(DType::kF32, Uniform(seed + 5, rows, -1, 1));
  return problem;
}

std::vector<ActivationProblem> AllActivationProblems(DType dtype, int64_t rows,
                                                     int64_t dim,
                                                     double scale) {
  std::vector<ActivationProblem> problems;
  for (ActivationOp op : kAllActivationOps) {
    problems.push_back(MakeActivationProblem(op, dtype, rows, dim, scale));
    const ActivationProblem first = problems.back();
    if (op == ActivationOp::kScaledAdd || op == ActivationOp::kDecayGate) {
      for (int64_t groups : {1, 3, 8}) {
        if (groups >= dim || dim % groups != 0) continue;
        problems.push_back(first);
        problems.back().in.p.resize(groups);
      }
    }
    if (op == ActivationOp::kSigmoid || op == ActivationOp::kSoftplus) {
      problems.push_back(first);
      problems.back().in.slope = -1;
      problems.back().in.scale = -1.0 / 16;
    }
    if (op == ActivationOp::kSoftplus) {
      problems.push_back(first);
      problems.back().in.slope = -1;
      problems.back().in.q.clear();
    }
  }
  return problems;
}

ActivationOutput RunActivation(Context& ctx, const ActivationProblem& problem,
                               bool in_slices, bool in_place) {
  const ActivationInput& in = problem.in;
  const int64_t n = problem.rows * in.dim;
  auto place = [&](DType dtype, std::vector<double> values) {
    if (!in_slices) {
      return ToTensor(ctx, dtype, {problem.rows, in.dim}, values);
    }
    values.insert(values.begin(), 0.0);
    return ToTensor(ctx, dtype, {n + 1}, values)
        .Slice(1, n + 1)
        .Reshape({problem.rows, in.dim});
  };
  const Tensor a = place(problem.dtype, in.a), b = place(problem.dtype, in.b);
  const Tensor dy = place(problem.out, in.dy);
  const int64_t groups = in.p.size();
  const Tensor p = ToTensor(ctx, DType::kF32, {groups}, in.p);
  Tensor q;
  if (!in.q.empty()) q = ToTensor(ctx, DType::kF32, {in.dim}, in.q);
  const Tensor r = ToTensor(ctx, DType::kF32, {problem.rows}, in.r);
  const float scale = static_cast<float>(in.scale);
  const float slope = static_cast<float>(in.slope);
  Tensor y = in_place ? place(problem.dtype, in.a) : Tensor();
  const Tensor first = in_place ? y : a;
  Tensor da, db, dp, dq, dr;
  switch (problem.op) {
    case ActivationOp::kSilu:
      LT2_CHECK_OK(Silu(ctx, {first}, &y));
      LT2_CHECK_OK(SiluGrad(ctx, {a, dy}, &da));
      break;
    case ActivationOp::kSigmoid:
      LT2_CHECK_OK(Sigmoid(ctx, {first, scale, problem.out, slope}, &y));
      LT2_CHECK_OK(SigmoidGrad(ctx, {a, dy, scale, slope}, &da));
      break;
    case ActivationOp::kSwiGlu: {
      LT2_CHECK_OK(SwiGlu(ctx, {first, b}, &y));
      SwiGluGradResults grads;
      LT2_CHECK_OK(SwiGluGrad(ctx, {a, b, dy}, &grads));
      da = grads.dgate;
      db = grads.dup;
      break;
    }
    case ActivationOp::kSigmoidGate: {
      LT2_CHECK_OK(SigmoidGate(ctx, {first, b}, &y));
      SigmoidGateGradResults grads;
      LT2_CHECK_OK(SigmoidGateGrad(ctx, {a, b, dy}, &grads));
      da = grads.dx;
      db = grads.dgate;
      break;
    }
    case ActivationOp::kAdd:
      LT2_CHECK_OK(Add(ctx, {first, b}, &y));
      break;
    case ActivationOp::kScaledAdd: {
      LT2_CHECK_OK(ScaledAdd(ctx, {first, b, p}, &y));
      ScaledAddGradResults grads;
      LT2_CHECK_OK(ScaledAddGrad(ctx, {b, p, dy}, &grads));
      db = grads.db;
      dp = grads.drho;
      break;
    }
    case ActivationOp::kDecayGate: {
      LT2_CHECK_OK(DecayGate(ctx, {first, p, q}, &y));
      DecayGateGradResults grads;
      LT2_CHECK_OK(DecayGateGrad(ctx, {a, p, q, dy}, &grads));
      da = grads.da;
      dp = grads.da_log;
      dq = grads.ddt_bias;
      break;
    }
    case ActivationOp::kMultiply: {
      LT2_CHECK_OK(Multiply(ctx, {first, b}, &y));
      MultiplyGradResults grads;
      LT2_CHECK_OK(MultiplyGrad(ctx, {a, b, dy}, &grads));
      da = grads.da;
      db = grads.db;
      break;
    }
    case ActivationOp::kScaleRows: {
      LT2_CHECK_OK(ScaleRows(ctx, {first, r}, &y));
      ScaleRowsGradResults grads;
      LT2_CHECK_OK(ScaleRowsGrad(ctx, {a, r, dy}, &grads));
      da = grads.dx;
      dr = grads.ds;
      break;
    }
    case ActivationOp::kAddBias:
      LT2_CHECK_OK(AddBias(ctx, {first, q}, &y));
      LT2_CHECK_OK(AddBiasGrad(ctx, {dy}, &dq));
      break;
    case ActivationOp::kSoftplus: {
      LT2_CHECK_OK(Softplus(ctx, {first, q, slope, scale}, &y));
      SoftplusGradResults grads;
      LT2_CHECK_OK(SoftplusGrad(ctx, {{a, q, slope, scale}, dy}, &grads));
      da = grads.dx;
      dq = grads.dbias;
      break;
    }
  }
  ActivationOutput out;
  out.y = ToDoubles(ctx, y);
  if (da.defined()) out.da = ToDoubles(ctx, da);
  if (db.defined()) out.db = ToDoubles(ctx, db);
  if (dp.defined()) out.dp = ToDoubles(ctx, dp);
  if (dq.defined()) out.dq = ToDoubles(ctx, dq);
  if (dr.defined()) out.dr = ToDoubles(ctx, dr);
  return out;
}

void AddToPool(const ActivationProblem& problem, const ActivationOutput& actual,
               testing::ContractPool* pool) {
  const auto exact = ActivationReference<double>(problem.op, problem.in);
  const auto plain = ActivationReference<float>(problem.op, problem.in);
  auto add = [&](const char* name, DType dtype,
                 std::vector<double> ActivationOutput::*which) {
    if ((actual.*which).empty()) return;
    pool->Add(absl::StrCat(ActivationOpName(problem.op), " ", name),
              problem.ToString(), dtype, actual.*which,
              Rounded(dtype, plain.*which), exact.*which);
  };
  add("y", problem.out, &ActivationOutput::y);
  add("da", problem.dtype, &ActivationOutput::da);
  add("db", problem.dtype, &ActivationOutput::db);
  add("dp", DType::kF32, &ActivationOutput::dp);
  add("dq", DType::kF32, &ActivationOutput::dq);
  add("dr", DType::kF32, &ActivationOutput::dr);
}

}  // namespace lt2::kernels
