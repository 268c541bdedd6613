// Gradient over lists on a GPU, bf16: delta, the choice of a form, and dq of
// gathered lists. The key side is in selected_key_grad_cuda.cu, the other form
// in selected_masked_grad_cuda.cu.
//
//   delta = rowsum(dout * o);  p = e^(scale q.k - lse)
//   ds    = p (dout.v - delta);  dq = scale sum_s ds k[s]
//
// As in the forward pass a thread block has one query and up to 16 heads.

#include "kernels/sparse_attention/selected_cuda.cuh"

namespace lt2::kernels::sparse {
namespace {

struct QueryGradParams {
  ListSizes z;
  const Bf16 *q, *k, *v, *dout;
  const float *lse, *delta;
  Bf16* dq;
};

int SharedBytes(const ListSizes& z) {
  const int rows =
      (kHeads + kKeys) * (Padded(z.dim) + Padded(z.value_dim)) + kHeads * kKeys;
  return rows * static_cast<int>(sizeof(Bf16));
}

// One warp for each query head.
__global__ void DeltaKernel(ListSizes z, int64_t rows, const Bf16* o,
                            const Bf16* dout, float* delta) {
  const int64_t row = blockIdx.x * int64_t{8} + threadIdx.x / 32;
  if (row >= rows) return;  // the whole warp
  float sum = 0;
  for (int d = static_cast<int>(threadIdx.x) % 32 * 2; d < z.value_dim;
       d += 64) {
    const int64_t at = row * z.value_dim + d;
    const float2 x =
        __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(o + at));
    const float2 y =
        __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(dout + at));
    sum += x.x * y.x + x.y * y.y;
  }
  sum = cuda::WarpSum(sum);
  if (threadIdx.x % 32 == 0) {
    const int h = static_cast<int>(row % z.heads);
    const int64_t i = row / z.heads % z.queries, b = row / z.heads / z.queries;
    delta[z.Lse(b, i, h)] = sum;
  }
}

// kGroups: 16-column groups of dq for each warp.
template <int kGroups>
__global__ __launch_bounds__(kThreads) void ListQueryGradKernel(
    QueryGradParams p) {
  const ListSizes& z = p.z;
  const int padded = Padded(z.dim), value_padded = Padded(z.value_dim);
  Bf16* q_tile = mma::SharedTiles();
  Bf16* dout_tile = q_tile + kHeads * padded;
  Bf16* k_tile = dout_tile + kHeads * value_padded;
  Bf16* v_tile = k_tile + kKeys * padded;
  Bf16* ds_tile = v_tile + kKeys * value_padded;
  __shared__ int tokens[2][kKeys];
  __shared__ int scratch[kThreads / 32];
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const BlockTask task(z);
  const TokenList list(z, task.b, task.i, task.kv_head, scratch);

  auto copy_k = [&](int stage) {
    CopyRows<kKeys>(k_tile, padded, p.k, z.dim, [&](int r) -> int64_t {
      const int token = tokens[stage][r];
      return token < 0 ? -1 : z.Key(task.b, token, task.kv_head);
    });
    mma::CommitCopies();
  };
  auto copy_v = [&](int stage) {
    CopyRows<kKeys>(
        v_tile, value_padded, p.v, z.value_dim, [&](int r) -> int64_t {
          const int token = tokens[stage][r];
          return token < 0 ? -1 : z.Value(task.b, token, task.kv_head);
        });
    mma::CommitCopies();
  };

  if (thread < kKeys) tokens[0][thread] = list.At(thread);
  CopyRows<kHeads>(q_tile, padded, p.q, z.dim, [&](int r) -> int64_t {
    return r < task.rows ? z.Query(task.b, task.i, task.head + r) : -1;
  });
  CopyRows<kHeads>(
      dout_tile, value_padded, p.dout, z.value_dim, [&](int r) -> int64_t {
        return r < task.rows ? z.Output(task.b, task.i, task.head + r) : -1;
      });
  __syncthreads();  // tokens are here
  copy_k(0);
  copy_v(0);

  // Of this lane's two rows. Rows past the last head compute on zeros,
  // unstored.
  float lse[2], delta[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = lane / 4 + 8 * half;
    const bool valid = row < task.rows;
    const int64_t at = z.Lse(task.b, task.i, task.head + (valid ? row : 0));
    lse[half] = valid ? p.lse[at] * kLog2E : 0.0f;
    delta[half] = valid ? p.delta[at] : 0.0f;
  }

  float dq[kGroups][2][4] = {};
  int stage = 0;
  for (int first = 0; first < list.count(); first += kKeys, stage ^= 1) {
    mma::WaitForCopies();
    __syncthreads();  // k and v are here; all have read the last ds
    if (thread < kKeys) {
      tokens[stage ^ 1][thread] = list.At(first + kKeys + thread);
    }
    float s[2][4] = {}, ds[2][4] = {};
    Scores<2>(s, q_tile, 0, k_tile, warp * 16, z.dim);
    Scores<2>(ds, dout_tile, 0, v_tile, warp * 16, z.value_dim);
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int column = warp * 16 + n * 8 + lane % 4 * 2 + e % 2;
        const float w = mma::Exp2(fmaf(s[n][e], z.scale_log2, -lse[e / 2]));
        ds[n][e] =
            tokens[stage][column] < 0 ? 0.0f : w * (ds[n][e] - delta[e / 2]);
      }
    }
    StoreWeights(ds, ds_tile, warp * 16);
    __syncthreads();  // ds and the next tokens are here; all have read v
    const bool more = first + kKeys < list.count();
    if (more) copy_v(stage ^ 1);
    MultiplyWeights<kGroups>(dq, ds_tile, k_tile, z.dim);
    __syncthreads();  // all have read k
    if (more) copy_k(stage ^ 1);
  }
  // Copies of an empty list must not outlive the block.
  mma::WaitForCopies();
  const float scale[2] = {z.scale, z.scale};
  StoreOutput<kGroups>(dq, scale, p.dq + z.Query(task.b, task.i, task.head),
                       task.rows, z.dim);
}

template <int kGroups>
absl::Status Launch(Context& ctx, const ListSizes& z,
                    const QueryGradParams& params) {
  const int bytes = SharedBytes(z);
  LT2_RETURN_IF_ERROR(cuda::AllowShared(ListQueryGradKernel<kGroups>, bytes));
  const int64_t blocks =
      z.batch * z.queries * z.kv_heads * cuda::CeilDiv(z.group, kHeads);
  LT2_RETURN_IF_ERROR(CheckListSizes(z, blocks));
  const auto grid = static_cast<unsigned>(blocks);
  ListQueryGradKernel<kGroups>
      <<<grid, kThreads, bytes, cuda::StreamOf(ctx)>>>(params);
  LT2_RETURN_LAUNCH_ERROR("sparse attention gradient of queries");
  return absl::OkStatus();
}

}  // namespace

absl::Status QueryGrad(Context& ctx, const ListSizes& z, const GradArgs& args,
                       const Tensor& delta) {
  if (OneWarpPerQuery(z)) return WarpQueryGrad(ctx, z, args, delta);
  const QueryGradParams params{z,
                               cuda::Data<BFloat16>(args.q),
                               cuda::Data<BFloat16>(args.k),
                               cuda::Data<BFloat16>(args.v),
                               cuda::Data<BFloat16>(args.dout),
                               cuda::Data<float>(args.lse),
                               cuda::Data<float>(delta),
                               cuda::Data<BFloat16>(args.dq)};
  return z.dim <= 128 ? Launch<2>(ctx, z, params) : Launch<9>(ctx, z, params);
}

absl::Status ListGrad(Context& ctx, const ListSizes& z, const GradArgs& args) {
  if (args.q.dtype() != DType::kBF16) {
    return InvalidArgument("the gradient of sparse attention on a GPU needs ",
                           Name(DType::kBF16), ", q is ", args.q.ToString());
  }
  const int64_t rows = z.batch * z.queries * z.heads;
  const int64_t blocks = cuda::CeilDiv(rows, 8);
  LT2_RETURN_IF_ERROR(CheckListSizes(z, blocks));
  LT2_ASSIGN_OR_RETURN(Tensor delta,
                       ctx.Empty(DType::kF32, {z.batch, z.heads, z.queries}));
  DeltaKernel<<<static_cast<unsigned>(blocks), 256, 0, cuda::StreamOf(ctx)>>>(
      z, rows, cuda::Data<BFloat16>(args.o), cuda::Data<BFloat16>(args.dout),
      cuda::Data<float>(delta));
  LT2_RETURN_LAUNCH_ERROR("sparse attention delta");
  if (UsesMaskedGrad(z)) return MaskedGrad(ctx, z, args, delta);
  LT2_RETURN_IF_ERROR(QueryGrad(ctx, z, args, delta));
  return KeyGrad(ctx, z, args, delta);
}

}  // namespace lt2::kernels::sparse
