// Selected and compressed attention on a GPU where a key head has few query
// heads, bf16 with tensor cores: forward pass and dq, one WARP for a query and
// a key head. The tiles of selected_cuda.cuh have 16 rows for the heads of a
// group and four warps that wait for each other three times in 64 keys; with
// one head there is nothing to share, 15 rows of 16 are empty and most of the
// time is waiting. Here everything is in registers: no shared memory, no
// barrier.
//
// A step takes 16 list positions and up to 8 heads. Keys are the 16 rows of a
// product, heads its 8 columns; lane 4 g + t:
//
//   s^T [16 keys, 8 heads] = k q^T     rows g and g + 8 of k, pieces t + 4 n
//   o^T [Dv, 8 heads]     += v^T p^T   rows 2t, 2t + 1, 2t + 8, 2t + 9 of v,
//                                      pieces g + 8 n
//
// a piece being 8 columns, one load of 16 bytes. Which column is which element
// of a product's inner or outer index does not matter to a sum, so pieces need
// no rearrangement except that p^T and v^T want two keys in one register. dq is
// the same twice over: s^T, dp^T = v dout^T, then dq^T += k^T ds^T.
//
// Memory read: K rows of k and v for each query and key head. The warps of a
// block have consecutive queries of one key head, whose lists overlap, so that
// many rows come from the first-level cache.

#include <cmath>

#include "kernels/sparse_attention/selected_cuda.cuh"

namespace lt2::kernels::sparse {
namespace {

constexpr int kWarpHeads = 8;
constexpr int kWarpColumns = 128;  // most, of D and of Dv
constexpr int kWarps = 8;          // most of a block, each with a query
constexpr unsigned kAll = 0xffffffffu;

struct WarpParams {
  ListSizes z;
  const Bf16 *q, *k, *v;
  Bf16* o;     // forward
  float* lse;  // written forward, read backward
  const Bf16* dout;
  const float* delta;
  Bf16* dq;
};

// The transpose of an 8 x 8 matrix, in the layout of a product's fragments.
__device__ __forceinline__ uint32_t Transpose(uint32_t x) {
  uint32_t y;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;\n"
               : "=r"(y)
               : "r"(x));
  return y;
}

// Rows of k, v, q, ... of one batch row and head.
struct WarpRows {
  // Eight columns; zeros past the last column and for row -1, as zero times
  // whatever an unseen row holds need not be zero.
  __device__ uint4 Piece(int row, int piece) const {
    if (row < 0 || piece * 8 >= dim) return make_uint4(0, 0, 0, 0);
    return __ldg(
        reinterpret_cast<const uint4*>(first + row * stride + piece * 8));
  }
  const Bf16* first;
  int64_t stride;  // from row to row
  int dim;
};

// Left operands of products with heads: two keys of 16 for each lane.
template <int kColumns>
struct KeyPieces {
  static constexpr int kPieces = kColumns / 32;
  __device__ KeyPieces(const WarpRows& rows, const int (&tokens)[2]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < kPieces; ++n) {
      low[n] = rows.Piece(tokens[0], lane % 4 + 4 * n);
      high[n] = rows.Piece(tokens[1], lane % 4 + 4 * n);
    }
  }
  // [16 keys, 8 heads] = keys times the transpose of heads. Of a lane: heads
  // 2t and 2t + 1 for its first key, then for its second.
  __device__ void TimesHeads(const uint4 (&heads)[kPieces],
                             float (&out)[4]) const {
#pragma unroll
    for (int n = 0; n < kPieces; ++n) {
      mma::Multiply(out, {low[n].x, high[n].x, low[n].y, high[n].y}, heads[n].x,
                    heads[n].y);
      mma::Multiply(out, {low[n].z, high[n].z, low[n].w, high[n].w}, heads[n].z,
                    heads[n].w);
    }
  }
  uint4 low[kPieces], high[kPieces];
};

// Row g of q or dout, zeros past the group: right operand of TimesHeads.
template <int kPieces>
__device__ __forceinline__ void LoadHeads(uint4 (&heads)[kPieces],
                                          const WarpRows& rows, int group) {
  const int lane = threadIdx.x % 32, head = lane / 4 < group ? lane / 4 : -1;
#pragma unroll
  for (int n = 0; n < kPieces; ++n)
    heads[n] = rows.Piece(head, lane % 4 + 4 * n);
}

// Left operands of products with weights: four keys of 16 for each lane.
template <int kColumns>
struct ColumnPieces {
  static constexpr int kPieces = kColumns / 64;
  __device__ ColumnPieces(const WarpRows& rows, const int (&tokens)[4]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < kPieces; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e)
        x[n][e] = rows.Piece(tokens[e], lane / 4 + 8 * n);
    }
  }
  // sums [columns, 8 heads] += the transpose of these rows times weights, which
  // are as TimesHeads leaves them.
  __device__ void AddWeighted(const float (&weights)[4],
                              float (&sums)[kPieces][4][4]) const {
    const uint32_t first = Transpose(mma::Pack(weights[0], weights[1]));
    const uint32_t last = Transpose(mma::Pack(weights[2], weights[3]));
#pragma unroll
    for (int n = 0; n < kPieces; ++n) {
      AddPair(x[n][0].x, x[n][1].x, x[n][2].x, x[n][3].x, first, last,
              sums[n][0]);
      AddPair(x[n][0].y, x[n][1].y, x[n][2].y, x[n][3].y, first, last,
              sums[n][1]);
      AddPair(x[n][0].z, x[n][1].z, x[n][2].z, x[n][3].z, first, last,
              sums[n][2]);
      AddPair(x[n][0].w, x[n][1].w, x[n][2].w, x[n][3].w, first, last,
              sums[n][3]);
    }
  }
  // Two columns of four keys, of which the even one is in the low halves.
  static __device__ void AddPair(uint32_t k0, uint32_t k1, uint32_t k8,
                                 uint32_t k9, uint32_t first, uint32_t last,
                                 float (&sum)[4]) {
    mma::Multiply(sum,
                  {__byte_perm(k0, k1, 0x5410), __byte_perm(k0, k1, 0x7632),
                   __byte_perm(k8, k9, 0x5410), __byte_perm(k8, k9, 0x7632)},
                  first, last);
  }
  uint4 x[kPieces][4];
};

// Stores these sums, times the scales of heads 2t and 2t + 1, for the heads of
// the group.
template <int kPieces>
__device__ __forceinline__ void StoreSums(const float (&sums)[kPieces][4][4],
                                          const float (&scale)[2], Bf16* to,
                                          int group, int dim) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int head = lane % 4 * 2 + h;
    if (head >= group) continue;
#pragma unroll
    for (int n = 0; n < kPieces; ++n) {
      const int column = (lane / 4 + 8 * n) * 8;
      if (column >= dim) continue;
      uint32_t x[4];
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        x[e] =
            mma::Pack(sums[n][e][h] * scale[h], sums[n][e][h + 2] * scale[h]);
      }
      *reinterpret_cast<uint4*>(to + head * dim + column) =
          make_uint4(x[0], x[1], x[2], x[3]);
    }
  }
}

// The query and key head of a warp, and its steps.
struct WarpTask {
  __device__ explicit WarpTask(const ListSizes& z) {
    const unsigned warps = blockDim.x / 32;
    const unsigned tiles = (z.queries + warps - 1) / warps;
    unsigned block = blockIdx.x;
    i = static_cast<int>(block % tiles * warps + threadIdx.x / 32);
    block /= tiles;
    kv_head = static_cast<int>(block % z.kv_heads);
    b = block / z.kv_heads;
    head = kv_head * z.group;
  }
  __device__ WarpRows Keys(const ListSizes& z, const Bf16* k) const {
    return {k + z.Key(b, 0, kv_head), int64_t{z.kv_heads} * z.dim, z.dim};
  }
  __device__ WarpRows Values(const ListSizes& z, const Bf16* v) const {
    return {v + z.Value(b, 0, kv_head), int64_t{z.kv_heads} * z.value_dim,
            z.value_dim};
  }
  // step(rows of KeyPieces, rows of ColumnPieces) for every 16 positions.
  template <typename Step>
  __device__ void ForEachStep(const ListSizes& z, const Step& step) const {
    const TokenList list(z, b, i, kv_head);
    const int lane = threadIdx.x % 32;
    for (int first = 0; first < list.count(); first += 32) {
      const int token = list.At(first + lane);
      for (int at = 0; at < 32 && first + at < list.count(); at += 16) {
        const int g = at + lane / 4, t = at + lane % 4 * 2;
        const int keys[2] = {__shfl_sync(kAll, token, g),
                             __shfl_sync(kAll, token, g + 8)};
        const int columns[4] = {
            __shfl_sync(kAll, token, t), __shfl_sync(kAll, token, t + 1),
            __shfl_sync(kAll, token, t + 8), __shfl_sync(kAll, token, t + 9)};
        step(keys, columns);
      }
    }
  }
  int64_t b;
  int i, kv_head, head;  // head: the first of the group
};

// kColumns: at least D and Dv.
template <int kColumns>
__global__ __launch_bounds__(kWarps * 32) void WarpForwardKernel(WarpParams p) {
  const ListSizes& z = p.z;
  const WarpTask task(z);
  if (task.i >= z.queries) return;  // the whole warp
  const int lane = threadIdx.x % 32;
  const WarpRows k = task.Keys(z, p.k), v = task.Values(z, p.v);
  uint4 q[kColumns / 32];
  LoadHeads(q, {p.q + z.Query(task.b, task.i, task.head), z.dim, z.dim},
            z.group);

  // Of heads 2t and 2t + 1; a lane's sum is over its own keys.
  float max[2] = {-INFINITY, -INFINITY}, sum[2] = {};
  float o[kColumns / 64][4][4] = {};
  task.ForEachStep(z, [&](const int(&keys)[2], const int(&columns)[4]) {
    const KeyPieces<kColumns> k_pieces(k, keys);
    const ColumnPieces<kColumns> v_pieces(v, columns);
    float s[4] = {};
    k_pieces.TimesHeads(q, s);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if (keys[e / 2] < 0) s[e] = -INFINITY;
    }
    float factor[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float m = fmaxf(s[h], s[h + 2]);
#pragma unroll
      for (int x = 4; x < 32; x *= 2) {
        m = fmaxf(m, __shfl_xor_sync(kAll, m, x));
      }
      m = fmaxf(m, max[h]);
      // A head that has seen no key yet must not compute inf - inf.
      const float base = m == -INFINITY ? 0.0f : m * z.scale_log2;
      factor[h] = mma::Exp2(fmaf(max[h], z.scale_log2, -base));
      max[h] = m;
      s[h] = mma::Exp2(fmaf(s[h], z.scale_log2, -base));
      s[h + 2] = mma::Exp2(fmaf(s[h + 2], z.scale_log2, -base));
      sum[h] = sum[h] * factor[h] + (s[h] + s[h + 2]);
    }
#pragma unroll
    for (int n = 0; n < kColumns / 64; ++n) {
#pragma unroll
      for (int w = 0; w < 4; ++w) {
#pragma unroll
        for (int e = 0; e < 4; ++e) o[n][w][e] *= factor[e % 2];
      }
    }
    v_pieces.AddWeighted(s, o);
  });

  float inverse[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float total = sum[h];
#pragma unroll
    for (int x = 4; x < 32; x *= 2) total += __shfl_xor_sync(kAll, total, x);
    inverse[h] = total == 0 ? 0.0f : 1.0f / total;
    const int head = lane % 4 * 2 + h;
    if (lane < 4 && head < z.group) {
      // Of an empty list: minus infinity plus log 0.
      p.lse[z.Lse(task.b, task.i, task.head + head)] =
          max[h] * z.scale + logf(total);
    }
  }
  StoreSums(o, inverse, p.o + z.Output(task.b, task.i, task.head), z.group,
            z.value_dim);
}

template <int kColumns>
__global__ __launch_bounds__(kWarps *
                             32) void WarpQueryGradKernel(WarpParams p) {
  const ListSizes& z = p.z;
  const WarpTask task(z);
  if (task.i >= z.queries) return;  // the whole warp
  const int lane = threadIdx.x % 32;
  const WarpRows k = task.Keys(z, p.k), v = task.Values(z, p.v);
  uint4 q[kColumns / 32], dout[kColumns / 32];
  LoadHeads(q, {p.q + z.Query(task.b, task.i, task.head), z.dim, z.dim},
            z.group);
  LoadHeads(
      dout,
      {p.dout + z.Output(task.b, task.i, task.head), z.value_dim, z.value_dim},
      z.group);
  // Heads past the group compute on zeros, unstored.
  float lse[2], delta[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int head = lane % 4 * 2 + h;
    const bool valid = head < z.group;
    const int64_t at = z.Lse(task.b, task.i, task.head + (valid ? head : 0));
    lse[h] = valid ? p.lse[at] * kLog2E : 0.0f;
    delta[h] = valid ? p.delta[at] : 0.0f;
  }

  float dq[kColumns / 64][4][4] = {};
  task.ForEachStep(z, [&](const int(&keys)[2], const int(&columns)[4]) {
    const KeyPieces<kColumns> k_pieces(k, keys), v_pieces(v, keys);
    // The rows of k_pieces again, in other lanes: from the first-level cache.
    const ColumnPieces<kColumns> k_columns(k, columns);
    float s[4] = {}, ds[4] = {};
    k_pieces.TimesHeads(q, s);
    v_pieces.TimesHeads(dout, ds);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const float w = mma::Exp2(fmaf(s[e], z.scale_log2, -lse[e % 2]));
      ds[e] = keys[e / 2] < 0 ? 0.0f : w * (ds[e] - delta[e % 2]);
    }
    k_columns.AddWeighted(ds, dq);
  });
  const float scale[2] = {z.scale, z.scale};
  StoreSums(dq, scale, p.dq + z.Query(task.b, task.i, task.head), z.group,
            z.dim);
}

// Launches `narrow` or `wide`, which are one kernel for at most 64 and for at
// most 128 columns.
absl::Status Launch(Context& ctx, const WarpParams& params,
                    void (*narrow)(WarpParams), void (*wide)(WarpParams)) {
  const ListSizes& z = params.z;
  const bool is_narrow = z.dim <= 64 && z.value_dim <= 64;
  // The wide kernels' registers leave room for more small blocks than large
  // ones. Few queries (decoding): no warps without one.
  const int most = is_narrow ? kWarps : kWarps / 2;
  const int warps = z.queries < most ? z.queries : most;
  const int64_t blocks = z.batch * z.kv_heads * cuda::CeilDiv(z.queries, warps);
  LT2_RETURN_IF_ERROR(CheckListSizes(z, blocks));
  auto* kernel = is_narrow ? narrow : wide;
  kernel<<<static_cast<unsigned>(blocks), warps * 32, 0, cuda::StreamOf(ctx)>>>(
      params);
  LT2_RETURN_LAUNCH_ERROR("sparse attention of one warp to a query");
  return absl::OkStatus();
}

}  // namespace

bool OneWarpPerQuery(const ListSizes& z) {
  return z.group <= kWarpHeads && z.dim <= kWarpColumns &&
         z.value_dim <= kWarpColumns;
}

absl::Status WarpForward(Context& ctx, const ListSizes& z,
                         const ForwardArgs& args) {
  WarpParams params{};
  params.z = z;
  params.q = cuda::Data<BFloat16>(args.q);
  params.k = cuda::Data<BFloat16>(args.k);
  params.v = cuda::Data<BFloat16>(args.v);
  params.o = cuda::Data<BFloat16>(args.o);
  params.lse = cuda::Data<float>(args.lse);
  return Launch(ctx, params, WarpForwardKernel<64>, WarpForwardKernel<128>);
}

absl::Status WarpQueryGrad(Context& ctx, const ListSizes& z,
                           const GradArgs& args, const Tensor& delta) {
  WarpParams params{};
  params.z = z;
  params.q = cuda::Data<BFloat16>(args.q);
  params.k = cuda::Data<BFloat16>(args.k);
  params.v = cuda::Data<BFloat16>(args.v);
  params.lse = cuda::Data<float>(args.lse);
  params.dout = cuda::Data<BFloat16>(args.dout);
  params.delta = cuda::Data<float>(delta);
  params.dq = cuda::Data<BFloat16>(args.dq);
  return Launch(ctx, params, WarpQueryGradKernel<64>, WarpQueryGradKernel<128>);
}

}  // namespace lt2::kernels::sparse
