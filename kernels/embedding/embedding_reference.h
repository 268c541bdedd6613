// The definition of an embedding and of its table's gradient, made runnable.
// Real = double is the reference, Real = float the plain formula in single
// precision that errors are compared with.

#ifndef LT2_KERNELS_EMBEDDING_EMBEDDING_REFERENCE_H_
#define LT2_KERNELS_EMBEDDING_EMBEDDING_REFERENCE_H_

#include <cstdint>
#include <vector>

namespace lt2::kernels {

// [n, dim] rows of table [.., dim].
std::vector<double> EmbeddingReference(const std::vector<int32_t>& ids,
                                       const std::vector<double>& table,
                                       int64_t dim);

// [vocab, dim] from dout [n, dim].
template <typename Real>
std::vector<double> EmbeddingGradReference(const std::vector<int32_t>& ids,
                                           const std::vector<double>& dout,
                                           int64_t vocab, int64_t dim);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_EMBEDDING_EMBEDDING_REFERENCE_H_
