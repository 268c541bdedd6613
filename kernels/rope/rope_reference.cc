#include "kernels/rope/rope_reference.h"

#include <cmath>

namespace lt2::kernels {

template <typename Real>
std::vector<double> RopeReference(const RopeReferenceInput& in) {
  std::vector<double> y(in.x.size());
  for (int64_t b = 0; b < in.batch; ++b) {
    for (int64_t s = 0; s < in.seq; ++s) {
      for (int64_t h = 0; h < in.heads; ++h) {
        const int64_t head = ((b * in.seq + s) * in.heads + h) * in.dim;
        for (int64_t i = 0; i < in.dim / 2; ++i) {
          const double angle =
              static_cast<double>(in.positions[b] + s) *
              std::pow(in.theta, -2.0 * static_cast<double>(i) / in.dim);
          const Real cosine = static_cast<Real>(std::cos(angle));
          const Real sine = static_cast<Real>(std::sin(angle));
          const bool interleaved = in.layout == RopeLayout::kInterleaved;
          const int64_t i1 = head + (interleaved ? 2 * i : i);
          const int64_t i2 = head + (interleaved ? 2 * i + 1 : i + in.dim / 2);
          const Real x1 = static_cast<Real>(in.x[i1]);
          const Real x2 = static_cast<Real>(in.x[i2]);
          y[i1] = x1 * cosine - x2 * sine;
          y[i2] = x1 * sine + x2 * cosine;
        }
      }
    }
  }
  return y;
}

template std::vector<double> RopeReference<double>(const RopeReferenceInput&);
template std::vector<double> RopeReference<float>(const RopeReferenceInput&);

}  // namespace lt2::kernels
