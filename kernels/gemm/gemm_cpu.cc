#include <algorithm>
#include <mutex>

#include "cblas.h"
#include "kernels/gemm/gemm_internal.h"

namespace lt2::kernels {
namespace {

// OpenBLAS's own threads are switched off: it would share them among all
// Contexts (its setting is global), and how it cuts a product depends on their
// number. The pieces below depend on the shape alone.
void UseOneOpenBlasThread() {
  static std::once_flag once;
  std::call_once(once, [] { openblas_set_num_threads(1); });
}

// Rows (or columns) per piece. At most 16 pieces, so that repacking the shared
// operand for each piece stays a few percent; at least 64 rows; none at all
// below a million multiplications, where a piece would cost more than it saves.
int64_t PieceLength(const GemmShape& shape) {
  const int64_t longest = std::max(shape.m, shape.n);
  if (shape.m * shape.n * shape.k < (1 << 20)) return longest;
  const int64_t sixteenth = (longest + 15) / 16;
  return std::max<int64_t>(64, (sixteenth + 15) / 16 * 16);
}

// OpenBLAS computes a product with few columns in an order that depends on
// where in the matrix a row stands, so that a row's score would depend on its
// place in the batch. Dot products in a fixed order instead: c = a b'.
constexpr int64_t kFewColumns = 16;

float Dot(const float* x, const float* y, int64_t n) {
  constexpr int kLanes = 16;
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) lanes[l] += x[i + l] * y[i + l];
  }
  float sum = 0;
  for (; i < n; ++i) sum += x[i] * y[i];
  for (float lane : lanes) sum += lane;
  return sum;
}

void FewColumns(Context& ctx, const GemmArgs& args, const GemmShape& shape,
                Tensor* c) {
  const float* a = args.a.data<float>();
  const float* b = args.b.data<float>();
  float* out = c->data<float>();
  ctx.ParallelFor(shape.m, 256, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = 0; j < shape.n; ++j) {
        const float dot = Dot(a + i * shape.k, b + j * shape.k, shape.k);
        float& cell = out[i * shape.n + j];
        cell = args.accumulate ? cell + dot : dot;
      }
    }
  });
}

}  // namespace

absl::Status GemmCpu(Context& ctx, const GemmArgs& args, const GemmShape& shape,
                     Tensor* c) {
  if (shape.n < kFewColumns && !args.transpose_a && args.transpose_b) {
    FewColumns(ctx, args, shape, c);
    return absl::OkStatus();
  }
  UseOneOpenBlasThread();
  const bool by_rows = shape.m >= shape.n;
  const int64_t length = by_rows ? shape.m : shape.n;
  const int64_t piece = PieceLength(shape);
  const int64_t pieces = (length + piece - 1) / piece;
  const int64_t lda = args.a.dim(-1), ldb = args.b.dim(-1);
  // Distance between consecutive rows of op(a) and columns of op(b).
  const int64_t row_step = args.transpose_a ? 1 : lda;
  const int64_t column_step = args.transpose_b ? ldb : 1;
  const float* a = args.a.data<float>();
  const float* b = args.b.data<float>();
  float* out = c->data<float>();

  ctx.ParallelFor(pieces, 1, [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; ++p) {
      const int64_t begin = p * piece;
      const int64_t count = std::min(piece, length - begin);
      const int64_t row = by_rows ? begin : 0;
      const int64_t column = by_rows ? 0 : begin;
      cblas_sgemm(CblasRowMajor, args.transpose_a ? CblasTrans : CblasNoTrans,
                  args.transpose_b ? CblasTrans : CblasNoTrans,
                  static_cast<blasint>(by_rows ? count : shape.m),
                  static_cast<blasint>(by_rows ? shape.n : count),
                  static_cast<blasint>(shape.k), 1.0f, a + row * row_step,
                  static_cast<blasint>(lda), b + column * column_step,
                  static_cast<blasint>(ldb), args.accumulate ? 1.0f : 0.0f,
                  out + row * shape.n + column, static_cast<blasint>(shape.n));
    }
  });
  return absl::OkStatus();
}

}  // namespace lt2::kernels
