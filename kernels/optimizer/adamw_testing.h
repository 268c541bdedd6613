// What the CPU and the CUDA tests share: a few steps over several tensors, by
// the operators and by the reference.

#ifndef LT2_KERNELS_OPTIMIZER_ADAMW_TESTING_H_
#define LT2_KERNELS_OPTIMIZER_ADAMW_TESTING_H_

#include <cmath>

#include "kernels/core/testing.h"
#include "kernels/optimizer/adamw.h"
#include "kernels/optimizer/adamw_reference.h"

namespace lt2::kernels {

struct AdamWCase {
  std::vector<int64_t> sizes;  // of the tensors
  AdamWOptions options;
  int steps = 3;
  float lr = 0.01f;
  double grad_scale = 1;
  bool compute = false;  // with bf16 copies
  int64_t offset = 0;    // first element of the tensors in their buffers
};

// After the last step, all tensors one after another.
struct AdamWOutputs {
  std::vector<double> value, m, v, compute, norm;
};

inline double WeightDecay(size_t tensor) {
  return static_cast<float>(tensor % 3 == 0 ? 0.1 : 0.0);
}
inline double LrScale(size_t tensor) { return tensor % 2 == 0 ? 1.0 : 0.5; }
inline std::vector<double> InitialValue(size_t tensor, int64_t n) {
  return testing::Rounded(DType::kF32, testing::Uniform(100 + tensor, n));
}
inline std::vector<double> Gradient(const AdamWCase& c, int step,
                                    size_t tensor) {
  return testing::Rounded(
      DType::kF32, testing::Uniform(1000 * step + tensor, c.sizes[tensor],
                                    -c.grad_scale, c.grad_scale));
}
inline std::vector<double> Schedule(const AdamWCase& c, int step) {
  return testing::Rounded(
      DType::kF32, {c.lr, 1 - std::pow(double{c.options.beta1}, step + 1),
                    1 - std::pow(double{c.options.beta2}, step + 1)});
}

inline AdamWOutputs RunAdamW(Context& ctx, const AdamWCase& c) {
  auto tensor = [&](const std::vector<double>& values) {
    std::vector<double> padded(c.offset, 0.0);
    padded.insert(padded.end(), values.begin(), values.end());
    const int64_t n = static_cast<int64_t>(padded.size());
    return testing::ToTensor(ctx, DType::kF32, {n}, padded).Slice(c.offset, n);
  };
  std::vector<AdamWParameter> parameters(c.sizes.size());
  for (size_t i = 0; i < c.sizes.size(); ++i) {
    AdamWParameter& p = parameters[i];
    p.value = tensor(InitialValue(i, c.sizes[i]));
    p.m = tensor(std::vector<double>(c.sizes[i], 0.0));
    p.v = tensor(std::vector<double>(c.sizes[i], 0.0));
    if (c.compute) p.compute = *ctx.Empty(DType::kBF16, {c.sizes[i]});
    p.weight_decay = static_cast<float>(WeightDecay(i));
    p.lr_scale = static_cast<float>(LrScale(i));
  }
  AdamWOutputs out;
  for (int step = 0; step < c.steps; ++step) {
    std::vector<Tensor> grads;
    for (size_t i = 0; i < c.sizes.size(); ++i) {
      parameters[i].grad = tensor(Gradient(c, step, i));
      grads.push_back(parameters[i].grad);
    }
    Tensor norm;
    absl::Status status = GlobalNorm(ctx, grads, &norm);
    EXPECT_TRUE(status.ok()) << status;
    const Tensor schedule =
        testing::ToTensor(ctx, DType::kF32, {3}, Schedule(c, step));
    status = AdamWStep(ctx, parameters, c.options, schedule, norm);
    EXPECT_TRUE(status.ok()) << status;
    out.norm.push_back(testing::ToDoubles(ctx, norm)[0]);
  }
  auto append = [&](const Tensor& t, std::vector<double>* to) {
    const auto values = testing::ToDoubles(ctx, t);
    to->insert(to->end(), values.begin(), values.end());
  };
  for (const AdamWParameter& p : parameters) {
    append(p.value, &out.value);
    append(p.m, &out.m);
    append(p.v, &out.v);
    if (c.compute) append(p.compute, &out.compute);
  }
  return out;
}

template <typename Real>
AdamWOutputs ReferenceAdamW(const AdamWCase& c) {
  AdamWOutputs out;
  std::vector<double> norms;
  for (int step = 0; step < c.steps; ++step) {
    std::vector<std::vector<double>> grads;
    for (size_t i = 0; i < c.sizes.size(); ++i) {
      grads.push_back(Gradient(c, step, i));
    }
    out.norm.push_back(GlobalNormReference<Real>(grads));
  }
  for (size_t i = 0; i < c.sizes.size(); ++i) {
    std::vector<double> value = InitialValue(i, c.sizes[i]);
    std::vector<double> m(c.sizes[i], 0.0), v(c.sizes[i], 0.0);
    for (int step = 0; step < c.steps; ++step) {
      const auto schedule = Schedule(c, step);
      AdamWReferenceOptions options;
      options.beta1 = c.options.beta1;
      options.beta2 = c.options.beta2;
      options.eps = c.options.eps;
      options.max_grad_norm = c.options.max_grad_norm;
      options.lr = schedule[0] * LrScale(i);
      options.bc1 = schedule[1];
      options.bc2 = schedule[2];
      options.weight_decay = WeightDecay(i);
      AdamWReference<Real>(options, Gradient(c, step, i), out.norm[step],
                           &value, &m, &v);
    }
    out.value.insert(out.value.end(), value.begin(), value.end());
    out.m.insert(out.m.end(), m.begin(), m.end());
    out.v.insert(out.v.end(), v.begin(), v.end());
  }
  out.compute = testing::Rounded(DType::kBF16, out.value);
  return out;
}

// Every output of `actual` meets the contract; false if any does not.
inline ::testing::AssertionResult MeetsAdamWContract(const AdamWOutputs& actual,
                                                     const AdamWCase& c) {
  const AdamWOutputs plain = ReferenceAdamW<float>(c);
  const AdamWOutputs fp64 = ReferenceAdamW<double>(c);
  auto check = [&](std::vector<double> AdamWOutputs::*member,
                   const char* name) {
    return testing::MeetsContract(actual.*member, plain.*member, fp64.*member,
                                  DType::kF32)
           << " in " << name;
  };
  ::testing::AssertionResult result = check(&AdamWOutputs::value, "value");
  if (result) result = check(&AdamWOutputs::m, "m");
  if (result) result = check(&AdamWOutputs::v, "v");
  if (result) result = check(&AdamWOutputs::norm, "norm");
  return result;
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_OPTIMIZER_ADAMW_TESTING_H_
