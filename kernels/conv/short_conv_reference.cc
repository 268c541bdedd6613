#include "kernels/conv/short_conv_reference.h"

#include <cmath>

namespace lt2::kernels {
namespace {

// x[b, t, c], also before t = 0.
double Input(const ShortConvReferenceInput& in, int64_t b, int64_t t,
             int64_t c) {
  if (t >= 0) return in.x[(b * in.seq + t) * in.channels + c];
  if (in.state.empty()) return 0;
  const int64_t row = b * (in.width - 1) + in.width - 1 + t;
  return in.state[row * in.channels + c];
}

template <typename Real>
Real Pre(const ShortConvReferenceInput& in, int64_t b, int64_t t, int64_t c) {
  Real sum = 0;
  for (int64_t j = 0; j < in.width; ++j) {
    sum += static_cast<Real>(in.weight[c * in.width + j]) *
           static_cast<Real>(Input(in, b, t - in.width + 1 + j, c));
  }
  if (!in.bias.empty()) sum += static_cast<Real>(in.bias[c]);
  return sum;
}

}  // namespace

template <typename Real>
ShortConvReferenceOutput ShortConvReference(const ShortConvReferenceInput& in) {
  ShortConvReferenceOutput out;
  for (int64_t b = 0; b < in.batch; ++b) {
    for (int64_t t = 0; t < in.seq; ++t) {
      for (int64_t c = 0; c < in.channels; ++c) {
        const Real pre = Pre<Real>(in, b, t, c);
        out.y.push_back(in.silu ? pre / (Real{1} + std::exp(-pre)) : pre);
      }
    }
    for (int64_t t = in.seq - in.width + 1; t < in.seq; ++t) {
      for (int64_t c = 0; c < in.channels; ++c) {
        out.final_state.push_back(Input(in, b, t, c));
      }
    }
  }
  return out;
}

template <typename Real>
ShortConvReferenceGrad ShortConvGradReference(const ShortConvReferenceInput& in,
                                              const std::vector<double>& dy) {
  std::vector<Real> dx(in.x.size()), dweight(in.weight.size());
  std::vector<Real> dbias(in.bias.size());
  for (int64_t b = 0; b < in.batch; ++b) {
    for (int64_t t = 0; t < in.seq; ++t) {
      for (int64_t c = 0; c < in.channels; ++c) {
        Real dpre = static_cast<Real>(dy[(b * in.seq + t) * in.channels + c]);
        if (in.silu) {
          const Real pre = Pre<Real>(in, b, t, c);
          const Real s = Real{1} / (Real{1} + std::exp(-pre));
          dpre *= s * (1 + pre * (1 - s));
        }
        if (!dbias.empty()) dbias[c] += dpre;
        for (int64_t j = 0; j < in.width; ++j) {
          const int64_t from = t - in.width + 1 + j;
          dweight[c * in.width + j] +=
              dpre * static_cast<Real>(Input(in, b, from, c));
          if (from < 0) continue;
          dx[(b * in.seq + from) * in.channels + c] +=
              dpre * static_cast<Real>(in.weight[c * in.width + j]);
        }
      }
    }
  }
  ShortConvReferenceGrad out;
  out.dx.assign(dx.begin(), dx.end());
  out.dweight.assign(dweight.begin(), dweight.end());
  out.dbias.assign(dbias.begin(), dbias.end());
  return out;
}

template ShortConvReferenceOutput ShortConvReference<double>(
    const ShortConvReferenceInput&);
template ShortConvReferenceOutput ShortConvReference<float>(
    const ShortConvReferenceInput&);
template ShortConvReferenceGrad ShortConvGradReference<double>(
    const ShortConvReferenceInput&, const std::vector<double>&);
template ShortConvReferenceGrad ShortConvGradReference<float>(
    const ShortConvReferenceInput&, const std::vector<double>&);

}  // namespace lt2::kernels
