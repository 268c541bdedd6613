// AdamW on the GPU: a launch serves up to kTensors tensors. Their addresses
// travel in the kernel's arguments, so that a captured graph holds them and
// nothing has to be copied to the device.

#include <cmath>

#include "kernels/core/cuda_util.cuh"
#include "kernels/optimizer/adamw_internal.h"

namespace lt2::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kChunk = 8192;  // elements per block
constexpr int kNormTensors = 112;
constexpr int kStepTensors = 48;

bool Aligned(const Tensor& t) {
  return reinterpret_cast<uintptr_t>(t.raw()) % 16 == 0;
}

// ---- Norm -------------------------------------------------------------------

struct NormEntry {
  const float* data;
  int64_t n;
  int32_t first_block;
  int32_t aligned;
};
struct NormTable {
  NormEntry entry[kNormTensors];
  int count;
};
static_assert(sizeof(NormTable) <= 3584);

// The entry that this block works on: the last one that starts at or before it.
template <typename Table>
__device__ int FindEntry(const Table& table) {
  int low = 0, high = table.count - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (table.entry[middle].first_block <= static_cast<int>(blockIdx.x)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

__global__ void NormPartialKernel(const __grid_constant__ NormTable table,
                                  double* partials) {
  __shared__ float scratch[32];
  const NormEntry& entry = table.entry[FindEntry(table)];
  const int64_t begin =
      static_cast<int64_t>(static_cast<int>(blockIdx.x) - entry.first_block) *
      kChunk;
  const float* x = entry.data + begin;
  const int count = static_cast<int>(min(kChunk, entry.n - begin));
  const int vectors = entry.aligned ? count / 4 : 0;
  float sum = 0.0f;
  for (int i = threadIdx.x; i < vectors; i += kThreads) {
    const float4 v = reinterpret_cast<const float4*>(x)[i];
    sum += (v.x * v.x + v.y * v.y) + (v.z * v.z + v.w * v.w);
  }
  for (int i = 4 * vectors + threadIdx.x; i < count; i += kThreads) {
    sum += x[i] * x[i];
  }
  sum = cuda::BlockSum(sum, scratch);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

__global__ void NormFinishKernel(const double* partials, int64_t n,
                                 float* norm) {
  __shared__ double sums[kThreads];
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) sum += partials[i];
  sums[threadIdx.x] = sum;
  __syncthreads();
  for (int width = kThreads / 2; width > 0; width /= 2) {
    if (threadIdx.x < width) sums[threadIdx.x] += sums[threadIdx.x + width];
    __syncthreads();
  }
  if (threadIdx.x == 0) norm[0] = static_cast<float>(sqrt(sums[0]));
}

// ---- Step -------------------------------------------------------------------

struct StepEntry {
  float* value;
  const float* grad;
  float* m;
  float* v;
  __nv_bfloat16* compute;  // or null
  int64_t n;
  float weight_decay;
  float lr_scale;
  int32_t first_block;
  int32_t aligned;
};
struct StepTable {
  StepEntry entry[kStepTensors];
  int count;
};
static_assert(sizeof(StepTable) <= 3584);

struct Scalars {
  float beta1, beta2, eps, clip, bc1, bc2, rate, decay;
};

__device__ __forceinline__ void Update(const Scalars& s, float grad,
                                       float& value, float& m, float& v) {
  const float g = grad * s.clip;
  m = s.beta1 * m + (1.0f - s.beta1) * g;
  v = s.beta2 * v + (1.0f - s.beta2) * g * g;
  const float step = (m / s.bc1) / (sqrtf(v / s.bc2) + s.eps);
  value -= s.rate * (step + s.decay * value);
}

__global__ void AdamWKernel(const __grid_constant__ StepTable table,
                            const AdamWOptions options, const float* schedule,
                            const float* norm) {
  const StepEntry& entry = table.entry[FindEntry(table)];
  Scalars s;
  s.beta1 = options.beta1;
  s.beta2 = options.beta2;
  s.eps = options.eps;
  s.clip = 1.0f;
  if (options.max_grad_norm > 0) {
    const float ratio = options.max_grad_norm / (norm[0] + kClipEpsilon);
    s.clip = ratio >= 1.0f ? 1.0f : ratio;  // NaN stays NaN
  }
  s.bc1 = schedule[1];
  s.bc2 = schedule[2];
  s.rate = schedule[0] * entry.lr_scale;
  s.decay = entry.weight_decay;

  const int64_t begin =
      static_cast<int64_t>(static_cast<int>(blockIdx.x) - entry.first_block) *
      kChunk;
  const int count = static_cast<int>(min(kChunk, entry.n - begin));
  const int vectors = entry.aligned ? count / 4 : 0;
  float* value = entry.value + begin;
  const float* grad = entry.grad + begin;
  float* m = entry.m + begin;
  float* v = entry.v + begin;
  __nv_bfloat16* compute =
      entry.compute == nullptr ? nullptr : entry.compute + begin;
  for (int i = threadIdx.x; i < vectors; i += kThreads) {
    float4 p4 = reinterpret_cast<float4*>(value)[i];
    const float4 g4 = reinterpret_cast<const float4*>(grad)[i];
    float4 m4 = reinterpret_cast<float4*>(m)[i];
    float4 v4 = reinterpret_cast<float4*>(v)[i];
    Update(s, g4.x, p4.x, m4.x, v4.x);
    Update(s, g4.y, p4.y, m4.y, v4.y);
    Update(s, g4.z, p4.z, m4.z, v4.z);
    Update(s, g4.w, p4.w, m4.w, v4.w);
    reinterpret_cast<float4*>(value)[i] = p4;
    reinterpret_cast<float4*>(m)[i] = m4;
    reinterpret_cast<float4*>(v)[i] = v4;
    if (compute != nullptr) {
      alignas(8) __nv_bfloat162 pair[2] = {__floats2bfloat162_rn(p4.x, p4.y),
                                           __floats2bfloat162_rn(p4.z, p4.w)};
      reinterpret_cast<uint2*>(compute)[i] =
          *reinterpret_cast<const uint2*>(pair);
    }
  }
  for (int i = 4 * vectors + threadIdx.x; i < count; i += kThreads) {
    Update(s, grad[i], value[i], m[i], v[i]);
    if (compute != nullptr) compute[i] = __float2bfloat16(value[i]);
  }
}

// Fills tables of at most `capacity` of the tensors that are not empty, and
// calls launch(table, blocks) for each. fill(i, &entry) sets all of an entry
// but first_block, and its n.
template <typename Table, typename Fill, typename Launch>
absl::Status ForEachTable(size_t tensors, int capacity, Fill fill,
                          Launch launch) {
  Table table;
  table.count = 0;
  int64_t blocks = 0;
  for (size_t i = 0; i < tensors; ++i) {
    auto& entry = table.entry[table.count];
    fill(i, &entry);
    if (entry.n > 0) {
      entry.first_block = static_cast<int32_t>(blocks);
      blocks += cuda::CeilDiv(entry.n, kChunk);
      if (blocks >= (int64_t{1} << 31)) {
        return InvalidArgument("adamw: tensor of ", entry.n,
                               " elements is too large");
      }
      ++table.count;
    }
    if (table.count == capacity || (i + 1 == tensors && table.count > 0)) {
      LT2_RETURN_IF_ERROR(launch(table, blocks));
      table.count = 0;
      blocks = 0;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status GlobalNormCuda(Context& ctx, absl::Span<const Tensor> tensors,
                            Tensor* norm) {
  int64_t total = 0;
  for (const Tensor& t : tensors) total += cuda::CeilDiv(t.numel(), kChunk);
  LT2_ASSIGN_OR_RETURN(Tensor sums, ctx.Empty(DType::kI64, {total}));
  double* partials = static_cast<double*>(sums.raw());
  int64_t done = 0;
  LT2_RETURN_IF_ERROR(ForEachTable<NormTable>(
      tensors.size(), kNormTensors,
      [&](size_t i, NormEntry* entry) {
        entry->data = cuda::Data<float>(tensors[i]);
        entry->n = tensors[i].numel();
        entry->aligned = Aligned(tensors[i]);
      },
      [&](const NormTable& table, int64_t blocks) {
        NormPartialKernel<<<static_cast<unsigned>(blocks), kThreads, 0,
                            cuda::StreamOf(ctx)>>>(table, partials + done);
        LT2_RETURN_LAUNCH_ERROR("NormPartialKernel");
        done += blocks;
        return absl::OkStatus();
      }));
  LT2_CHECK(done == total);
  NormFinishKernel<<<1, kThreads, 0, cuda::StreamOf(ctx)>>>(
      partials, total, cuda::Data<float>(*norm));
  LT2_RETURN_LAUNCH_ERROR("NormFinishKernel");
  return absl::OkStatus();
}

absl::Status AdamWStepCuda(Context& ctx,
                           absl::Span<const AdamWParameter> parameters,
                           const AdamWOptions& options, const Tensor& schedule,
                           const Tensor& norm) {
  return ForEachTable<StepTable>(
      parameters.size(), kStepTensors,
      [&](size_t i, StepEntry* entry) {
        const AdamWParameter& p = parameters[i];
        entry->value = cuda::Data<float>(p.value);
        entry->grad = cuda::Data<float>(p.grad);
        entry->m = cuda::Data<float>(p.m);
        entry->v = cuda::Data<float>(p.v);
        entry->compute = cuda::Data<BFloat16>(p.compute);
        entry->n = p.value.numel();
        entry->weight_decay = p.weight_decay;
        entry->lr_scale = p.lr_scale;
        entry->aligned = Aligned(p.value) && Aligned(p.grad) && Aligned(p.m) &&
                         Aligned(p.v) &&
                         (!p.compute.defined() || Aligned(p.compute));
      },
      [&](const StepTable& table, int64_t blocks) {
        AdamWKernel<<<static_cast<unsigned>(blocks), kThreads, 0,
                      cuda::StreamOf(ctx)>>>(table, options,
                                             cuda::Data<float>(schedule),
                                             cuda::Data<float>(norm));
        LT2_RETURN_LAUNCH_ERROR("AdamWKernel");
        return absl::OkStatus();
      });
}

}  // namespace lt2::kernels
