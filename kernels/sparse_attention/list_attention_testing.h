// What the tests of selected and of compressed attention share: cases, inputs,
// the plain formula in the precision under test, calls that run an operator on
// host values, and whole test bodies for the CPU and the GPU.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_LIST_ATTENTION_TESTING_H_
#define LT2_KERNELS_SPARSE_ATTENTION_LIST_ATTENTION_TESTING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/core/context.h"
#include "kernels/sparse_attention/list_attention_reference.h"

namespace lt2::kernels {

// One problem of either operator.
struct ListCase {
  enum Kind { kSelected, kCompressed };

  Kind kind = kSelected;
  ListAttentionShape shape;  // keys: L, or C for compressed attention
  int64_t block_size = 1;
  std::vector<int32_t> lengths;  // empty: undefined
  int64_t index_heads = 1;       // selected: Hi
  int64_t selected = 1;          // selected: n
  int64_t tokens = 0;            // compressed: L

  std::string ToString() const;
};

ListCase SelectedCase(const ListAttentionShape& shape, int64_t block_size,
                      int64_t index_heads, int64_t selected,
                      const std::vector<int32_t>& lengths = {});
// shape.keys becomes tokens / block_size.
ListCase CompressedCase(ListAttentionShape shape, int64_t tokens,
                        int64_t block_size,
                        const std::vector<int32_t>& lengths = {});

// Values already rounded to the type under test; for selected attention lists
// of distinct blocks in random order, one in five -1, some after the query.
struct ListInputs {
  std::vector<double> q, k, v, dout;
  std::vector<int32_t> indices;
};
ListInputs MakeListInputs(const ListCase& c, DType dtype, uint64_t seed,
                          double magnitude = 1.0);
RowLists ListsOf(const ListCase& c, const ListInputs& in);

// The formula one score at a time in float; with bf16 the probabilities (and
// ds) are rounded before their products, as are results.
ListAttentionValues PlainListAttention(const ListCase& c, DType dtype,
                                       const ListInputs& in);
// Probabilities from the lse and delta from the o of the plain forward pass.
ListAttentionGradients PlainListAttentionGrad(const ListCase& c, DType dtype,
                                              const ListInputs& in);

// The operators under test. An error status fails the calling program.
ListAttentionValues RunListAttention(Context& ctx, const ListCase& c,
                                     DType dtype, const ListInputs& in);
ListAttentionGradients RunListAttentionGrad(Context& ctx, const ListCase& c,
                                            DType dtype, const ListInputs& in);

// Small cases around lengths 0, 1, block - 1, block, block + 1 and primes, with
// and without lengths, of any group size, for every pair (D, Dv).
struct Dims {
  int64_t dim, value_dim;
};
std::vector<ListCase> SelectedCases(const std::vector<Dims>& dims);
std::vector<ListCase> CompressedCases(const std::vector<Dims>& dims);

// o and lse equal -inf and 0 exactly where a list is empty, and all cases
// together meet the contract.
void ExpectForwardMeetsContract(Context& ctx, DType dtype,
                                const std::vector<ListCase>& cases);
void ExpectGradientMeetsContract(Context& ctx, DType dtype,
                                 const std::vector<ListCase>& cases);

// Entries of k and v that no query may see (past the length, or never listed)
// are `poison`; the results must be those without.
void ExpectUnseenRowsDoNotMatter(Context& ctx, DType dtype,
                                 const std::vector<ListCase>& cases,
                                 double poison);
// With NaN, which shows in whatever reads it.
void ExpectUnseenRowsAreNotRead(Context& ctx, DType dtype,
                                const std::vector<ListCase>& cases);

// The last queries of a sequence, as a segment with lengths, give the last rows
// of the whole.
void ExpectSegmentsEqualWhole(Context& ctx, DType dtype, const ListCase& whole);

// Same bits twice, and for the last row of the batch alone.
void ExpectSameBits(Context& ctx, DType dtype, const ListCase& c);

// A key after the query, a list that is one entry short: rejected by the
// assertion that accepts the operator's results.
void ExpectWrongTwinsRejected(Context& ctx, DType dtype, const ListCase& c);

// Elements [begin, end) of the second axis of a [batch, n, row] array.
template <typename T>
std::vector<T> Rows(const std::vector<T>& x, int64_t batch, int64_t n,
                    int64_t begin, int64_t end) {
  const int64_t row =
      batch * n > 0 ? static_cast<int64_t>(x.size()) / (batch * n) : 0;
  std::vector<T> result;
  for (int64_t b = 0; b < batch; ++b) {
    result.insert(result.end(), x.begin() + (b * n + begin) * row,
                  x.begin() + (b * n + end) * row);
  }
  return result;
}

// A tensor of lengths, undefined if there are none.
Tensor LengthsTensor(Context& ctx, const std::vector<int32_t>& lengths);
Tensor IndexTensor(Context& ctx, const Shape& shape,
                   const std::vector<int32_t>& indices);
std::vector<int32_t> ToInts(Context& ctx, const Tensor& t);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SPARSE_ATTENTION_LIST_ATTENTION_TESTING_H_
