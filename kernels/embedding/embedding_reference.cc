#include "kernels/embedding/embedding_reference.h"

#include <cstddef>

namespace lt2::kernels {

std::vector<double> EmbeddingReference(const std::vector<int32_t>& ids,
                                       const std::vector<double>& table,
                                       int64_t dim) {
  std::vector<double> out;
  for (int32_t id : ids) {
    for (int64_t d = 0; d < dim; ++d) out.push_back(table[id * dim + d]);
  }
  return out;
}

template <typename Real>
std::vector<double> EmbeddingGradReference(const std::vector<int32_t>& ids,
                                           const std::vector<double>& dout,
                                           int64_t vocab, int64_t dim) {
  std::vector<Real> table(vocab * dim, Real{0});
  for (std::size_t i = 0; i < ids.size(); ++i) {
    for (int64_t d = 0; d < dim; ++d) {
      table[ids[i] * dim + d] += static_cast<Real>(dout[i * dim + d]);
    }
  }
  return std::vector<double>(table.begin(), table.end());
}

template std::vector<double> EmbeddingGradReference<double>(
    const std::vector<int32_t>&, const std::vector<double>&, int64_t, int64_t);
template std::vector<double> EmbeddingGradReference<float>(
    const std::vector<int32_t>&, const std::vector<double>&, int64_t, int64_t);

}  // namespace lt2::kernels
