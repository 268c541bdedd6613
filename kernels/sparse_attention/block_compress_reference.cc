#include "kernels/sparse_attention/block_compress_reference.h"

#include <algorithm>
#include <cmath>

namespace lt2::kernels {

std::vector<double> BlockMeanReference(int64_t batch, int64_t tokens,
                                       int64_t row, int64_t block_size,
                                       const std::vector<double>& x) {
  const int64_t blocks = tokens / block_size;
  std::vector<double> mean(batch * blocks * row, 0.0);
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t s = 0; s < blocks * block_size; ++s) {
      for (int64_t d = 0; d < row; ++d) {
        mean[(b * blocks + s / block_size) * row + d] +=
            x[(b * tokens + s) * row + d] / static_cast<double>(block_size);
      }
    }
  }
  return mean;
}

std::vector<double> BlockMeanGradReference(int64_t batch, int64_t tokens,
                                           int64_t row, int64_t block_size,
                                           const std::vector<double>& dmean) {
  const int64_t blocks = tokens / block_size;
  std::vector<double> dx(batch * tokens * row, 0.0);
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t s = 0; s < blocks * block_size; ++s) {
      for (int64_t d = 0; d < row; ++d) {
        dx[(b * tokens + s) * row + d] =
            dmean[(b * blocks + s / block_size) * row + d] /
            static_cast<double>(block_size);
      }
    }
  }
  return dx;
}

std::vector<std::vector<double>> BlockScoresReference(
    const ListAttentionShape& shape, const BlockChoice& choice,
    const std::vector<double>& q, const std::vector<double>& kc,
    const std::vector<double>& lse) {
  const RowLists visible =
      CompressedLists(shape, choice.tokens, choice.block_size, choice.lengths);
  const int64_t group = shape.heads / shape.kv_heads;
  std::vector<std::vector<double>> result;
  for (int64_t b = 0; b < shape.batch; ++b) {
    for (int64_t i = 0; i < shape.queries; ++i) {
      for (int64_t kv = 0; kv < shape.kv_heads; ++kv) {
        std::vector<double> scores;
        for (int64_t c : ListOf(shape, visible, b, i, kv * group)) {
          double sum = 0;
          for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
            double dot = 0;
            for (int64_t d = 0; d < shape.dim; ++d) {
              dot += q[shape.QueryRow(b, i, h) + d] *
                     kc[shape.KeyRow(b, c, h) + d];
            }
            sum += std::exp(shape.scale * dot - lse[shape.LseIndex(b, i, h)]);
          }
          scores.push_back(sum / static_cast<double>(group));
        }
        result.push_back(scores);
      }
    }
  }
  return result;
}

std::vector<int64_t> ForcedBlocks(int64_t position, int64_t block_size) {
  if (position < 0) return {};
  const int64_t own = position / block_size;
  std::vector<int64_t> forced = {own};
  if (own > 0) forced.push_back(0);
  if (own > 1) forced.push_back(own - 1);
  return forced;
}

std::vector<int32_t> ChooseBlocks(const std::vector<double>& scores,
                                  int64_t position, int64_t block_size,
                                  int64_t top_n) {
  std::vector<int64_t> chosen = ForcedBlocks(position, block_size);
  if (static_cast<int64_t>(chosen.size()) > top_n) chosen.resize(top_n);
  const std::vector<int64_t> forced = ForcedBlocks(position, block_size);
  std::vector<int64_t> others;
  for (int64_t c = 0; c < static_cast<int64_t>(scores.size()); ++c) {
    if (std::find(forced.begin(), forced.end(), c) == forced.end()) {
      others.push_back(c);
    }
  }
  std::stable_sort(others.begin(), others.end(), [&](int64_t x, int64_t y) {
    if (std::isnan(scores[x]) || std::isnan(scores[y])) {
      return !std::isnan(scores[x]) && std::isnan(scores[y]);
    }
    return scores[x] > scores[y];
  });
  for (int64_t c : others) {
    if (static_cast<int64_t>(chosen.size()) < top_n) chosen.push_back(c);
  }
  std::sort(chosen.begin(), chosen.end());
  std::vector<int32_t> result(chosen.begin(), chosen.end());
  result.resize(top_n, -1);
  return result;
}

std::vector<int32_t> SelectBlocksReference(const ListAttentionShape& shape,
                                           const BlockChoice& choice,
                                           const std::vector<double>& q,
                                           const std::vector<double>& kc,
                                           const std::vector<double>& lse) {
  const auto scores = BlockScoresReference(shape, choice, q, kc, lse);
  std::vector<int32_t> result;
  for (int64_t row = 0; row < static_cast<int64_t>(scores.size()); ++row) {
    const int64_t query = row / shape.kv_heads;
    const int64_t position =
        PositionOf(choice.lengths, choice.tokens, shape.queries,
                   query / shape.queries, query % shape.queries);
    for (int32_t c :
         ChooseBlocks(scores[row], position, choice.block_size, choice.top_n)) {
      result.push_back(c);
    }
  }
  return result;
}

}  // namespace lt2::kernels
