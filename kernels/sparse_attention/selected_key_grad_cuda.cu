// Gradient over lists on a GPU, bf16: dk and dv.
//
//   dv[s] = sum over queries and heads that see s of p dout
//   dk[s] = scale sum of ds q,  ds = p (dout.v - delta)
//
// A thread block has one part of the list of one tile of 64 keys (key_lists_
// cuda.cuh) and 128 columns of dk or of dv: so a head dimension of 576 needs no
// more registers than one of 64. It takes the queries of its list, all heads of
// a group, as rows of tiles of kRows and computes the transposed scores, so
// that p and ds are left operands in registers:
//
//   s [64 keys, kRows] = k q';  dk += ds q;  dv += p dout
//
// Partial sums of parts are f32 and added in order by SumPartsKernel.
//
// Cost: (4 D + 2 Dv) for each 128 columns of dk and 4 D for each of dv, times
// 64 for every query head in a list: rows of a tile that a query does not see
// are computed and masked out.

#include "kernels/sparse_attention/key_lists_cuda.cuh"

namespace lt2::kernels::sparse {
namespace {

constexpr int kColumns = 128;

struct KeyGradParams {
  ListSizes z;
  KeyTiles tiles;
  const Bf16 *q, *k, *v, *dout;
  const float *lse, *delta;
  const uint32_t* sorted;
  const uint2* masks;
  const int32_t *first, *counts, *part_starts;
  float* partials;  // [item, head of the list, kTileRows, D + Dv]
  int64_t lists;
  int part, slots, chunks;
};

// One row of a tile of queries: a query head, or query -1 for none.
struct RowInfo {
  int query, head;  // head within the group
};

// Tiles of k and v, and two stages of q and dout with lse and delta.
int SharedBytes(const ListSizes& z, int rows) {
  const int columns = Padded(z.dim) + Padded(z.value_dim);
  return (kTileRows + 2 * rows) * columns * static_cast<int>(sizeof(Bf16)) +
         4 * rows * static_cast<int>(sizeof(float));
}

// The list that has part `item`: the last one that starts at or before it.
__device__ int64_t FindList(const int32_t* starts, int64_t lists, int item) {
  int64_t begin = 0, end = lists;  // starts[begin] <= item < starts[end]
  while (end - begin > 1) {
    const int64_t middle = (begin + end) / 2;
    if (starts[middle] <= item) {
      begin = middle;
    } else {
      end = middle;
    }
  }
  return begin;
}

template <int kRows>
__global__ __launch_bounds__(kThreads) void KeyGradKernel(KeyGradParams p) {
  const ListSizes& z = p.z;
  constexpr int kGroups = kRows / 8;
  __shared__ RowInfo infos[3][kRows];
  __shared__ uint2 masks[3][kRows];
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;

  const int list_group = z.kv_heads / z.list_heads;  // heads that share lists
  const int chunk = static_cast<int>(blockIdx.x % p.chunks);
  const int in_group = static_cast<int>(blockIdx.x / p.chunks % list_group);
  const int item = static_cast<int>(blockIdx.x / p.chunks / list_group);
  if (item >= p.part_starts[p.lists]) return;  // the whole block
  const int64_t list = FindList(p.part_starts, p.lists, item);
  const int tile = static_cast<int>(list % p.tiles.count);
  const int list_head = static_cast<int>(list / p.tiles.count % z.list_heads);
  const int64_t b = list / p.tiles.count / z.list_heads;
  const int kv_head = list_head * list_group + in_group;
  const int begin = p.tiles.Begin(tile), tile_rows = p.tiles.End(tile) - begin;
  const int entry0 = p.first[list] + (item - p.part_starts[list]) * p.part;
  const int entry1 = min(entry0 + p.part, p.first[list] + p.counts[list]);

  // Columns [column0, column0 + columns) of dk, or of dv.
  const int key_chunks = (z.dim + kColumns - 1) / kColumns;
  const bool is_key = chunk < key_chunks;
  const int column0 = (is_key ? chunk : chunk - key_chunks) * kColumns;
  const int columns = min(kColumns, (is_key ? z.dim : z.value_dim) - column0);

  const int padded = Padded(z.dim), value_padded = Padded(z.value_dim);
  Bf16* k_tile = mma::SharedTiles();
  Bf16* v_tile = k_tile + kTileRows * padded;
  Bf16* stages = v_tile + kTileRows * value_padded;  // [2][q, dout]
  const int stage_size = kRows * (padded + value_padded);
  // [2][lse, delta]
  float* row_stages = reinterpret_cast<float*>(stages + 2 * stage_size);

  // Each step takes `per_step` entries with `heads` heads each; groups of more
  // than kRows heads take several steps for an entry.
  const int heads = min(z.group, kRows);
  const int per_step = kRows / heads;
  const int head_steps = (z.group + heads - 1) / heads;
  const int steps = (entry1 - entry0 + per_step - 1) / per_step * head_steps;

  // What row `thread` of a step is.
  const int row_entry = thread / heads, row_head = thread % heads;
  auto find = [&](int step, RowInfo* info, uint2* mask) {
    *info = {-1, 0};
    *mask = {0, 0};
    const int entry = entry0 + step / head_steps * per_step + row_entry;
    const int head = step % head_steps * heads + row_head;
    if (step >= steps || row_entry >= per_step || entry >= entry1 ||
        head >= z.group) {
      return;
    }
    if (p.sorted == nullptr) {
      *info = {entry, head};
      const uint64_t bits =
          MaskBits(0, min(z.Limit(b, entry) - begin, kTileRows));
      *mask = {static_cast<unsigned>(bits), static_cast<unsigned>(bits >> 32)};
      return;
    }
    const uint32_t slot = p.sorted[entry];
    *info = {static_cast<int>(slot / p.slots / z.list_heads % z.queries), head};
    *mask = p.masks[slot];
  };

  auto copy = [&](int step) {
    const RowInfo* rows = infos[step % 3];
    Bf16* q_tile = stages + step % 2 * stage_size;
    CopyRows<kRows>(q_tile, padded, p.q, z.dim, [&](int r) -> int64_t {
      const RowInfo info = rows[r];
      return info.query < 0
                 ? -1
                 : z.Query(b, info.query, kv_head * z.group + info.head);
    });
    CopyRows<kRows>(q_tile + kRows * padded, value_padded, p.dout, z.value_dim,
                    [&](int r) -> int64_t {
                      const RowInfo info = rows[r];
                      return info.query < 0
                                 ? -1
                                 : z.Output(b, info.query,
                                            kv_head * z.group + info.head);
                    });
    if (thread < 2 * kRows) {
      const RowInfo info = rows[thread % kRows];
      const bool valid = info.query >= 0;
      const int64_t at =
          valid ? z.Lse(b, info.query, kv_head * z.group + info.head) : 0;
      mma::CopyAsync4(row_stages + step % 2 * 2 * kRows + thread,
                      (thread < kRows ? p.lse : p.delta) + at, valid);
    }
    mma::CommitCopies();
  };

  CopyRows<kTileRows>(k_tile, padded, p.k, z.dim, [&](int r) -> int64_t {
    return r < tile_rows ? z.Key(b, begin + r, kv_head) : -1;
  });
  if (is_key) {
    CopyRows<kTileRows>(
        v_tile, value_padded, p.v, z.value_dim, [&](int r) -> int64_t {
          return r < tile_rows ? z.Value(b, begin + r, kv_head) : -1;
        });
  }
  if (thread < kRows) {
    find(0, &infos[0][thread], &masks[0][thread]);
    find(1, &infos[1][thread], &masks[1][thread]);
  }
  __syncthreads();  // rows of the first two steps are known
  copy(0);

  float sum[kColumns / 8][4] = {};
  for (int step = 0; step < steps; ++step) {
    mma::WaitForCopies();
    // This stage and the rows of the next step are here; all have read the
    // other stage.
    __syncthreads();
    if (step + 1 < steps) copy(step + 1);
    RowInfo next;
    uint2 next_mask;
    if (thread < kRows) find(step + 2, &next, &next_mask);

    const Bf16* q_tile = stages + step % 2 * stage_size;
    const Bf16* dout_tile = q_tile + kRows * padded;
    const float* lse = row_stages + step % 2 * 2 * kRows;
    const float* delta = lse + kRows;
    float s[kGroups][4] = {}, ds[kGroups][4] = {};
    Scores<kGroups>(s, k_tile, warp * 16, q_tile, 0, z.dim);
    if (is_key) {
      Scores<kGroups>(ds, v_tile, warp * 16, dout_tile, 0, z.value_dim);
    }
#pragma unroll
    for (int n = 0; n < kGroups; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int column = n * 8 + lane % 4 * 2 + e % 2;
        // The 16 keys of this warp are half a word of the mask.
        const uint2 mask = masks[step % 3][column];
        const unsigned word = warp < 2 ? mask.x : mask.y;
        const int bit = warp % 2 * 16 + lane / 4 + e / 2 * 8;
        float w = mma::Exp2(fmaf(s[n][e], z.scale_log2, -lse[column] * kLog2E));
        if (is_key) w *= ds[n][e] - delta[column];
        s[n][e] = (word >> bit & 1) != 0 ? w : 0.0f;
      }
    }
    const Bf16* right = is_key ? q_tile : dout_tile;
    const int right_padded = is_key ? padded : value_padded;
#pragma unroll
    for (int r = 0; r < kRows; r += 16) {
      const float(&c0)[4] = s[r / 8], (&c1)[4] = s[r / 8 + 1];
      const uint32_t a[4] = {mma::Pack(c0[0], c0[1]), mma::Pack(c0[2], c0[3]),
                             mma::Pack(c1[0], c1[1]), mma::Pack(c1[2], c1[3])};
#pragma unroll
      for (int c = 0; c < kColumns; c += 16) {
        if (c >= columns) continue;
        uint32_t operand[4];
        LoadRight(operand, right, right_padded, r, column0 + c);
        mma::Multiply(sum[c / 8], a, operand[0], operand[1]);
        mma::Multiply(sum[c / 8 + 1], a, operand[2], operand[3]);
      }
    }
    if (thread < kRows) {
      infos[(step + 2) % 3][thread] = next;
      masks[(step + 2) % 3][thread] = next_mask;
    }
  }

  const float scale = is_key ? z.scale : 1.0f;
  const int width = z.dim + z.value_dim;
  float* to =
      p.partials +
      (static_cast<int64_t>(item) * list_group + in_group) * kTileRows * width +
      (is_key ? 0 : z.dim) + column0 + lane % 4 * 2;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = warp * 16 + lane / 4 + 8 * half;
    if (row >= tile_rows) continue;
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n) {
      if (n * 8 >= columns) continue;
      *reinterpret_cast<float2*>(to + row * width + n * 8) = {
          sum[n][2 * half] * scale, sum[n][2 * half + 1] * scale};
    }
  }
}

// Four columns of one row of dk or dv for each thread.
__global__ void SumPartsKernel(KeyGradParams p, int64_t total, Bf16* dk,
                               Bf16* dv) {
  const ListSizes& z = p.z;
  const int64_t n = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (n >= total) return;
  const int width = z.dim + z.value_dim;
  const int column = static_cast<int>(n % (width / 4)) * 4;
  int64_t row = n / (width / 4);
  const int kv_head = static_cast<int>(row % z.kv_heads);
  row /= z.kv_heads;
  const int key = static_cast<int>(row % z.keys);
  const int64_t b = row / z.keys;
  const int list_group = z.kv_heads / z.list_heads;
  const int tile = p.tiles.Of(key);
  const int64_t list =
      (b * z.list_heads + kv_head / list_group) * p.tiles.count + tile;
  const int64_t stride = static_cast<int64_t>(list_group) * kTileRows * width;
  const float* from =
      p.partials + kv_head % list_group * int64_t{kTileRows} * width +
      static_cast<int64_t>(key - p.tiles.Begin(tile)) * width + column;
  float4 sum{0, 0, 0, 0};
  for (int item = p.part_starts[list]; item < p.part_starts[list + 1]; ++item) {
    const float4 x = *reinterpret_cast<const float4*>(from + item * stride);
    sum.x += x.x;
    sum.y += x.y;
    sum.z += x.z;
    sum.w += x.w;
  }
  const uint2 packed{mma::Pack(sum.x, sum.y), mma::Pack(sum.z, sum.w)};
  Bf16* to = column < z.dim ? dk + z.Key(b, key, kv_head) + column
                            : dv + z.Value(b, key, kv_head) + column - z.dim;
  *reinterpret_cast<uint2*>(to) = packed;
}

template <int kRows>
absl::Status Launch(Context& ctx, const ListSizes& z, int64_t blocks,
                    const KeyGradParams& params) {
  const int bytes = SharedBytes(z, kRows);
  LT2_RETURN_IF_ERROR(cuda::AllowShared(KeyGradKernel<kRows>, bytes));
  KeyGradKernel<kRows>
      <<<static_cast<unsigned>(blocks), kThreads, bytes, cuda::StreamOf(ctx)>>>(
          params);
  LT2_RETURN_LAUNCH_ERROR("sparse attention gradient of keys");
  return absl::OkStatus();
}

// Shared memory of a block that leaves room for the static part.
constexpr int kMaxSharedBytes = 221 * 1024;

}  // namespace

absl::Status KeyGrad(Context& ctx, const ListSizes& z, const GradArgs& args,
                     const Tensor& delta) {
  LT2_ASSIGN_OR_RETURN(const KeyLists lists, MakeKeyLists(ctx, z));
  const int64_t list_group = z.kv_heads / z.list_heads;
  const int64_t width = z.dim + z.value_dim;
  LT2_ASSIGN_OR_RETURN(
      Tensor partials,
      ctx.Empty(DType::kF32, {lists.items, list_group, kTileRows, width}));
  const int64_t chunks =
      cuda::CeilDiv(z.dim, kColumns) + cuda::CeilDiv(z.value_dim, kColumns);
  const KeyGradParams params{z,
                             lists.tiles,
                             cuda::Data<BFloat16>(args.q),
                             cuda::Data<BFloat16>(args.k),
                             cuda::Data<BFloat16>(args.v),
                             cuda::Data<BFloat16>(args.dout),
                             cuda::Data<float>(args.lse),
                             cuda::Data<float>(delta),
                             lists.sorted,
                             lists.masks,
                             lists.first,
                             lists.counts,
                             lists.part_starts,
                             cuda::Data<float>(partials),
                             lists.lists,
                             lists.part,
                             lists.slots,
                             static_cast<int>(chunks)};
  const int64_t blocks = lists.items * list_group * chunks;
  const int64_t total = z.batch * z.keys * z.kv_heads * width / 4;
  LT2_RETURN_IF_ERROR(CheckListSizes(z, blocks));
  LT2_RETURN_IF_ERROR(CheckListSizes(z, cuda::CeilDiv(total, 256)));
  if (SharedBytes(z, 64) <= kMaxSharedBytes) {
    LT2_RETURN_IF_ERROR(Launch<64>(ctx, z, blocks, params));
  } else {
    LT2_RETURN_IF_ERROR(Launch<16>(ctx, z, blocks, params));
  }
  SumPartsKernel<<<static_cast<unsigned>(cuda::CeilDiv(total, 256)), 256, 0,
                   cuda::StreamOf(ctx)>>>(params, total,
                                          cuda::Data<BFloat16>(args.dk),
                                          cuda::Data<BFloat16>(args.dv));
  LT2_RETURN_LAUNCH_ERROR("sum of parts of dk and dv");
  return absl::OkStatus();
}

}  // namespace lt2::kernels::sparse

namespace lt2::kernels {

absl::Status SelectedAttentionGradCuda(Context& ctx,
                                       const SelectedAttentionGradArgs& args,
                                       SelectedAttentionGradResults* results) {
  const SelectedAttentionArgs& f = args.forward;
  return sparse::ListGrad(ctx, sparse::ListSizes(f),
                          {f.q, f.k, f.v, args.o, args.lse, args.dout,
                           results->dq, results->dk, results->dv});
}

}  // namespace lt2::kernels
