// What the tests of the indexer share: cases, inputs, plain formulas, calls on
// host values, whole test bodies for the CPU and the GPU.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_INDEXER_TESTING_H_
#define LT2_KERNELS_SPARSE_ATTENTION_INDEXER_TESTING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/core/context.h"
#include "kernels/sparse_attention/indexer_reference.h"
#include "kernels/sparse_attention/list_attention_testing.h"

namespace lt2::kernels {

// One problem of the indexer. The target's shape follows that of the indexer.
struct IndexerCase {
  IndexerShape shape;
  int64_t top_k = 1;
  bool weighted = true;
  bool dense = false;                        // the loss: no indices
  int64_t heads = 2, kv_heads = 1, dim = 8;  // the main attention's

  std::string ToString() const;
};

struct IndexerInputs {
  IndexerValues values;
  std::vector<int32_t> indices;  // [B, S, top_k] for the loss, random
  IndexerTarget target;          // lse: of attention over the loss's sets
};
IndexerInputs MakeIndexerInputs(const IndexerCase& c, DType dtype,
                                uint64_t seed);

// Small integers: every score is exact in f32 in any order of summation, and
// there are many ties.
IndexerInputs MakeIntegerInputs(const IndexerCase& c, uint64_t seed);

// Scores in float, one head after the other.
std::vector<std::vector<double>> PlainIndexerScores(const IndexerShape& shape,
                                                    const IndexerValues& in);
// In float; with bf16 the coefficients of dq and dk are rounded before their
// products, as are results (loss and dw are f32 always).
IndexerLossValues PlainIndexerLoss(const IndexerCase& c, DType dtype,
                                   const IndexerInputs& in);

// The operators under test. An error status fails the calling program.
std::vector<int32_t> RunIndexerTopK(Context& ctx, const IndexerCase& c,
                                    DType dtype, const IndexerInputs& in);
IndexerLossValues RunIndexerLoss(Context& ctx, const IndexerCase& c,
                                 DType dtype, const IndexerInputs& in,
                                 double dloss = 1.0);

// One row of indices is a top-k of the scores: distinct, ascending, -1 at the
// end, as many as there can be; and no score left out exceeds one chosen by
// more than `tolerance`.
::testing::AssertionResult IsTopK(const std::vector<int32_t>& row,
                                  const std::vector<double>& scores,
                                  double tolerance);

// Lengths around tiles and around top_k, all options.
std::vector<IndexerCase> IndexerCases(const std::vector<int64_t>& dims);

// On integers the indices are those of the reference; on other inputs they are
// a top-k within twice the plain formula's error.
void ExpectTopKIsExact(Context& ctx, DType dtype,
                       const std::vector<IndexerCase>& cases);
void ExpectLossMeetsContract(Context& ctx, DType dtype,
                             const std::vector<IndexerCase>& cases);
// Tokens that are not in the sets are NaN: same loss, same gradients.
void ExpectLossReadsOnlyItsSets(Context& ctx, DType dtype);
// The last queries of a sequence, with lengths, choose what they chose in it.
void ExpectTopKOfSegmentsEqualsWhole(Context& ctx, DType dtype);
// NaN ranks last, +0 and -0 are equal, infinities are ordered.
void ExpectTopKOrdersSpecialValues(Context& ctx, DType dtype);
void ExpectIndexerSameBits(Context& ctx, DType dtype);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SPARSE_ATTENTION_INDEXER_TESTING_H_
