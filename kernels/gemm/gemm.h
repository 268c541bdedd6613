// Matrix product: the one dense operator that everything else is built on.
//
//   c[m, n] = op(a) op(b)            (+ c if accumulate)
//   op(a): [m, k] = a, or the transpose of a [k, m]
//   op(b): [k, n] = b, or the transpose of b [n, k]
//
// Leading dimensions are folded: a tensor [.., k] is the matrix [rows(), k], so
// that a linear layer y = x W^T of x [batch, seq, in] and W [out, in] is
// Gemm({x, w, false, true}), its input gradient Gemm({dy, w}), and its weight
// gradient Gemm({dy, x, true, false}).
//
// Cost: 2 m n k FLOPs; (m k + k n) elements read and m n written.
//
// CPU: OpenBLAS, f32. The product is cut into pieces by its shape alone and
// the pieces are shared among the Context's threads, so the bits do not depend
// on the number of threads. Several Contexts may call at once.
// GPU: cuBLASLt. bf16 x bf16 -> bf16 or f32, accumulated in f32; f32 x f32 ->
// f32 in full f32 (no tf32). One algorithm per shape, without split-K
// reductions: the same bits every run, and a row of c depends only on its own
// row of op(a). The algorithm is chosen the first time that a shape is seen, so
// run once before capturing a CUDA graph.
//
// Not supported: aliasing of c with a or b, batches of matrices, bf16 on the
// CPU, accumulation into bf16.

#ifndef LT2_KERNELS_GEMM_GEMM_H_
#define LT2_KERNELS_GEMM_GEMM_H_

#include "kernels/core/context.h"

namespace lt2::kernels {

struct GemmArgs {
  Tensor a;  // act [.., k], or [.., m] (folded rows are k) if transpose_a
  Tensor b;  // a's type [.., n] (folded rows are k), or [.., k] if transpose_b
  bool transpose_a = false;
  bool transpose_b = false;
  bool accumulate = false;  // c must be f32
};

// The extents of a product.
struct GemmShape {
  int64_t m = 0, n = 0, k = 0;
};

// The extents, or an error naming the shapes, types or devices that disagree.
absl::StatusOr<GemmShape> GemmSupports(const GemmArgs& args, const Tensor& c);

// c: defined by the caller, f32 or a's type, [.., n] with m folded rows.
// k = 0 sets c to zero, or leaves it if accumulate.
absl::Status Gemm(Context& ctx, const GemmArgs& args, Tensor* c);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_GEMM_GEMM_H_
