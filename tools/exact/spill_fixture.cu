// Two kernels of the same work for cubin_test: one with the registers that it
// needs, one with so few that the compiler must spill.

namespace {

// 64 sums at once, each of which needs all the others in every round.
template <typename T>
__device__ void Mix(const T* in, T* out, int rounds) {
  constexpr int kValues = 64;
  T values[kValues];
#pragma unroll
  for (int i = 0; i < kValues; ++i) values[i] = in[threadIdx.x * kValues + i];
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      values[i] += values[(i * 7 + 3) % kValues] * values[(i + 1) % kValues];
    }
  }
#pragma unroll
  for (int i = 0; i < kValues; ++i) out[threadIdx.x * kValues + i] = values[i];
}

}  // namespace

namespace lt2::fixture {
namespace {

template <typename T>
__global__ void RoomyKernel(const T* in, T* out, int rounds) {
  __shared__ T tile[96];
  if (threadIdx.x < 96) tile[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  Mix(in, out, rounds + static_cast<int>(tile[(threadIdx.x + 1) % 96]));
}

// 2048 threads share the 65536 registers of a multiprocessor: 32 for each.
template <typename T>
__global__ __launch_bounds__(1024, 2) void SpillingKernel(const T* in, T* out,
                                                          int rounds) {
  Mix(in, out, rounds);
}

template __global__ void RoomyKernel<float>(const float*, float*, int);
template __global__ void SpillingKernel<float>(const float*, float*, int);

}  // namespace
}  // namespace lt2::fixture
