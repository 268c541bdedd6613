// Pack: a few consecutive elements (a power of two) that a thread loads and
// stores at once, in accesses of at most 16 bytes, and works on as floats.
//
//   float x[V];
//   LoadPack<V>(pointer, x);      // pointer aligned to 16 bytes if V > 1
//   StorePack<V>(pointer, x);
//
// Kernels have code for V = 1 and V = kPackSize; CanPack says which to use.

#ifndef LT2_KERNELS_CORE_PACK_CUH_
#define LT2_KERNELS_CORE_PACK_CUH_

#include <cstdint>

#include "kernels/core/cuda_util.cuh"

namespace lt2::cuda {

// Eight bf16 are 16 bytes; eight floats are two such accesses.
inline constexpr int kPackSize = 8;

template <typename T, int V>
struct alignas(V * sizeof(T) < 16 ? V * sizeof(T) : 16) Pack {
  T value[V];
};

template <int V, typename T>
__device__ __forceinline__ void LoadPack(const T* from, float (&to)[V]) {
  const Pack<T, V> pack = *reinterpret_cast<const Pack<T, V>*>(from);
#pragma unroll
  for (int i = 0; i < V; ++i) to[i] = AsFloat(pack.value[i]);
}

template <int V, typename T>
__device__ __forceinline__ void StorePack(T* to, const float (&from)[V]) {
  Pack<T, V> pack;
#pragma unroll
  for (int i = 0; i < V; ++i) pack.value[i] = FromFloat<T>(from[i]);
  *reinterpret_cast<Pack<T, V>*>(to) = pack;
}

// True if every address (null counts as one) is a multiple of 16.
template <typename... Pointers>
bool Aligned(Pointers... addresses) {
  return ((reinterpret_cast<uintptr_t>(addresses) % 16 == 0) && ...);
}

// True if rows of `dim` elements that start at these addresses can be read in
// packs.
template <typename... Pointers>
bool CanPack(int64_t dim, Pointers... addresses) {
  return dim % kPackSize == 0 && Aligned(addresses...);
}

}  // namespace lt2::cuda

#endif  // LT2_KERNELS_CORE_PACK_CUH_
