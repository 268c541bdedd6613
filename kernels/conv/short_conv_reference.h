// The definition of short_conv.h, made runnable: one output after the other.
// Real = double is the reference; Real = float is the plain formula that the
// error contract compares with.

#ifndef LT2_KERNELS_CONV_SHORT_CONV_REFERENCE_H_
#define LT2_KERNELS_CONV_SHORT_CONV_REFERENCE_H_

#include <cstdint>
#include <vector>

#include "kernels/conv/short_conv.h"

namespace lt2::kernels {

struct ShortConvReferenceInput {
  int64_t batch = 1, seq = 1, channels = 1, width = 4;
  std::vector<double> x;       // [batch, seq, channels]
  std::vector<double> weight;  // [channels, width]
  std::vector<double> state;   // [batch, width - 1, channels], or empty
  bool silu = true;
  std::vector<double> bias;  // [channels], or empty
};

struct ShortConvReferenceOutput {
  std::vector<double> y, final_state;
};
template <typename Real>
ShortConvReferenceOutput ShortConvReference(const ShortConvReferenceInput& in);

struct ShortConvReferenceGrad {
  std::vector<double> dx, dweight, dbias;
};
template <typename Real>
ShortConvReferenceGrad ShortConvGradReference(const ShortConvReferenceInput& in,
                                              const std::vector<double>& dy);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_CONV_SHORT_CONV_REFERENCE_H_
