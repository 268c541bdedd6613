// What the tests of attention share: inputs, the plain formula in the
// precision under test, and one call that runs an operator on host values.

#ifndef LT2_KERNELS_ATTENTION_ATTENTION_TESTING_H_
#define LT2_KERNELS_ATTENTION_ATTENTION_TESTING_H_

#include <cstdint>
#include <ostream>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/attention/attention_reference.h"

namespace lt2::kernels {

std::ostream& operator<<(std::ostream& out, const AttentionShape& shape);

// Inputs of one case, already rounded to the type under test.
struct AttentionInputs {
  std::vector<double> q, k, v, dout;
};
AttentionInputs MakeAttentionInputs(const AttentionShape& shape, DType dtype,
                                    uint64_t seed, double magnitude = 1.0);

// Inputs whose scores alternate between about +1e4 and -1e4 along the keys,
// with differences of order 1 among the large ones, so that the softmax is not
// one-hot and every row counts.
AttentionInputs ExtremeInputs(DType dtype, AttentionShape* shape);

// The formula without blocks: float scores and softmax; with bf16 the
// probabilities (and ds) are rounded before their products, as are results.
AttentionValues PlainAttention(const AttentionShape& shape, DType dtype,
                               const AttentionInputs& in);
// Probabilities from the lse and delta from the o of the plain forward pass.
AttentionGradients PlainAttentionGrad(const AttentionShape& shape, DType dtype,
                                      const AttentionInputs& in);

// The operators under test. An error status fails the calling program.
AttentionValues RunAttention(Context& ctx, const AttentionShape& shape,
                             DType dtype, const AttentionInputs& in);
AttentionGradients RunAttentionGrad(Context& ctx, const AttentionShape& shape,
                                    DType dtype, const AttentionInputs& in);
// shape.queries is 1 and shape.keys the capacity.
std::vector<double> RunDecode(Context& ctx, const AttentionShape& shape,
                              DType dtype, const AttentionInputs& in,
                              const std::vector<int32_t>& lengths);

// Keys or queries [begin, end) of a [batch, n, row] array.
std::vector<double> Segment(const std::vector<double>& x, int64_t batch,
                            int64_t n, int64_t begin, int64_t end);

// Attention of queries [cuts[i], cuts[i + 1]) with the keys up to theirs, one
// segment after the other, meets the contract of the whole.
void ExpectSegmentsMatchWhole(Context& ctx, const AttentionShape& whole,
                              DType dtype, const AttentionInputs& in,
                              const std::vector<int64_t>& cuts);

// Token by token through a ring of 13 entries, after a prefill that is appended
// at once, gives what attention with a window of 13 gives on the whole.
void ExpectRingDecodingEqualsWindow(Context& ctx, DType dtype, uint64_t seed);

// Shapes around the tile sizes (64 and 128), with and without window, grouping
// and earlier keys. `dims` are the head dimensions to go through.
std::vector<AttentionShape> EdgeShapes(const std::vector<int64_t>& dims);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ATTENTION_ATTENTION_TESTING_H_
