#include "kernels/core/testing.h"

#include <cmath>
#include <cstdlib>
#include <limits>

#include "kernels/core/philox.h"

namespace lt2::testing {
namespace {

std::unique_ptr<Context> Poisoned(Device device, int threads) {
  ContextOptions options;
  options.poison = true;
  options.threads = threads;
  auto ctx = Context::Create(device, options);
  LT2_CHECK(ctx.ok(), ctx.status().ToString());
  return std::move(ctx).value();
}

double UnitRoundoff(DType dtype) {
  return dtype == DType::kBF16 ? std::ldexp(1.0, -9) : std::ldexp(1.0, -24);
}

}  // namespace

std::unique_ptr<Context> CpuContext(int threads) {
  return Poisoned(Device::kCPU, threads);
}
std::unique_ptr<Context> CudaContext() { return Poisoned(Device::kCUDA, 1); }

std::vector<double> Uniform(uint64_t seed, int64_t n, double low, double high) {
  Philox rng(seed, 0);
  std::vector<double> values(n);
  for (double& v : values) {
    v = low + (high - low) * (rng.Next() * std::ldexp(1.0, -32));
  }
  return values;
}

Tensor ToTensor(Context& ctx, DType dtype, const Shape& shape,
                const std::vector<double>& values) {
  LT2_CHECK(static_cast<int64_t>(values.size()) == shape.numel());
  auto make = [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> host;
    for (double v : values) {
      if constexpr (std::is_same_v<T, BFloat16>) {
        host.push_back(ToBFloat16(static_cast<float>(v)));
      } else {
        host.push_back(static_cast<T>(v));
      }
    }
    auto t = ctx.FromHost<T>(host, shape);
    LT2_CHECK(t.ok(), t.status().ToString());
    return std::move(t).value();
  };
  switch (dtype) {
    case DType::kF32:
      return make(float{});
    case DType::kBF16:
      return make(BFloat16{});
    case DType::kI32:
      return make(int32_t{});
    case DType::kI64:
      return make(int64_t{});
    case DType::kU8:
      return make(uint8_t{});
  }
  return Tensor();
}

std::vector<double> ToDoubles(Context& ctx, const Tensor& t) {
  auto read = [&](auto zero) {
    using T = decltype(zero);
    auto host = ctx.ToHost<T>(t);
    LT2_CHECK(host.ok(), host.status().ToString());
    std::vector<double> values;
    for (T v : *host) {
      if constexpr (std::is_same_v<T, BFloat16>) {
        values.push_back(ToFloat(v));
      } else {
        values.push_back(static_cast<double>(v));
      }
    }
    return values;
  };
  switch (t.dtype()) {
    case DType::kF32:
      return read(float{});
    case DType::kBF16:
      return read(BFloat16{});
    case DType::kI32:
      return read(int32_t{});
    case DType::kI64:
      return read(int64_t{});
    case DType::kU8:
      return read(uint8_t{});
  }
  return {};
}

std::vector<double> Rounded(DType dtype, const std::vector<double>& values) {
  std::vector<double> result;
  for (double v : values) {
    const float f = static_cast<float>(v);
    result.push_back(dtype == DType::kBF16 ? ToFloat(ToBFloat16(f)) : f);
  }
  return result;
}

double RmsRatio(const std::vector<double>& actual,
                const std::vector<double>& expected) {
  if (actual.size() != expected.size()) {
    return std::numeric_limits<double>::infinity();
  }
  double error = 0, norm = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double difference = actual[i] - expected[i];
    if (!std::isfinite(difference)) {
      return std::numeric_limits<double>::infinity();
    }
    error += difference * difference;
    norm += expected[i] * expected[i];
  }
  if (error == 0) return 0;
  return std::sqrt(error / std::max(norm, 1e-300));
}

::testing::AssertionResult MeetsContract(const std::vector<double>& actual,
                                         const std::vector<double>& plain,
                                         const std::vector<double>& fp64,
                                         DType dtype) {
  const double error = RmsRatio(actual, fp64);
  const double allowed = 2 * RmsRatio(plain, fp64) + UnitRoundoff(dtype);
  if (error <= allowed) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "relative RMS error " << error << " exceeds " << allowed
         << " (twice the plain formula's in the same precision)";
}

::testing::AssertionResult Near(const std::vector<double>& actual,
                                const std::vector<double>& fp64, double limit) {
  const double error = RmsRatio(actual, fp64);
  if (error <= limit) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "relative RMS error " << error << " exceeds " << limit;
}

std::vector<double> FiniteDifferences(
    const std::function<double(const std::vector<double>&)>& f,
    const std::vector<double>& x, double step) {
  std::vector<double> gradient(x.size());
  std::vector<double> moved = x;
  for (size_t i = 0; i < x.size(); ++i) {
    moved[i] = x[i] + step;
    const double up = f(moved);
    moved[i] = x[i] - step;
    const double down = f(moved);
    moved[i] = x[i];
    gradient[i] = (up - down) / (2 * step);
  }
  return gradient;
}

std::string Env(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace lt2::testing
