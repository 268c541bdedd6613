// Turns lists of keys by query into lists of queries by tile of keys, without
// atomics on floats and without anything of size S x L:
//
//   1. each query marks the rows that it sees in a bit mask in shared memory
//      and emits (tile, slot) for each tile with a bit set, slots in order;
//   2. a stable radix sort brings the entries of a tile together, queries
//      ascending;
//   3. binary search finds where each list begins, a scan how many parts the
//      lists before it have.
//
// Cost: O(S n) to read the lists, 24 bytes of memory for each slot, two or
// three passes of the sort.

#include <algorithm>

#include "kernels/sparse_attention/key_lists_cuda.cuh"
#include "kernels/sparse_attention/sort_pairs_cuda.h"

namespace lt2::kernels::sparse {
namespace {

constexpr int kInvertThreads = 256;
// Tiles whose masks are in shared memory at once.
constexpr int kWindow = 2048;
constexpr int kScanThreads = 1024;

__global__ __launch_bounds__(kInvertThreads) void InvertKernel(
    ListSizes z, KeyTiles tiles, int slots, uint32_t none, uint32_t* keys,
    uint32_t* values, uint2* masks) {
  __shared__ unsigned window[2 * kWindow];
  __shared__ int counts[kInvertThreads / 32];
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const int64_t row = blockIdx.x;  // query and list head
  const int list_head = static_cast<int>(row % z.list_heads);
  const int64_t i = row / z.list_heads % z.queries;
  const int64_t b = row / z.list_heads / z.queries;
  const int32_t* list = z.indices + row * z.entries;
  const int limit = z.Limit(b, i);
  const int blocks = (limit + z.block_size - 1) / z.block_size;
  const int visible = limit > 0 ? tiles.Of(limit - 1) + 1 : 0;
  const int64_t slot = row * slots;
  const auto list_base =
      static_cast<uint32_t>((b * z.list_heads + list_head) * tiles.count);
  int used = 0;

  for (int begin = 0; begin < visible; begin += kWindow) {
    const int end = min(visible, begin + kWindow);
    for (int t = thread; t < 2 * (end - begin); t += kInvertThreads) {
      window[t] = 0;
    }
    __syncthreads();
    for (int e = thread; e < z.entries; e += kInvertThreads) {
      const int index = list[e];
      if (index < 0 || index >= blocks) continue;
      const int first = index * z.block_size;
      const int last = min(first + z.block_size, limit) - 1;
      for (int t = max(tiles.Of(first), begin); t <= tiles.Of(last) && t < end;
           ++t) {
        const int row0 = tiles.Begin(t);
        const uint64_t bits =
            MaskBits(max(first - row0, 0), min(last + 1 - row0, kTileRows));
        const auto low = static_cast<unsigned>(bits);
        const auto high = static_cast<unsigned>(bits >> 32);
        if (low != 0) atomicOr(&window[2 * (t - begin)], low);
        if (high != 0) atomicOr(&window[2 * (t - begin) + 1], high);
      }
    }
    __syncthreads();
    for (int t0 = begin; t0 < end; t0 += kInvertThreads) {
      const int t = t0 + thread;
      uint2 mask{0, 0};
      if (t < end) {
        mask = {window[2 * (t - begin)], window[2 * (t - begin) + 1]};
      }
      const unsigned found = __ballot_sync(0xffffffffu, (mask.x | mask.y) != 0);
      if (lane == 0) counts[warp] = __popc(found);
      __syncthreads();
      int n = used + __popc(found & ((1u << lane) - 1));
      for (int w = 0; w < kInvertThreads / 32; ++w) {
        if (w < warp) n += counts[w];
        used += counts[w];
      }
      // No number twice: at most `slots` tiles. If a caller breaks that rule,
      // nothing is written out of place.
      if ((mask.x | mask.y) != 0 && n < slots) {
        keys[slot + n] = list_base + t;
        values[slot + n] = static_cast<uint32_t>(slot + n);
        masks[slot + n] = mask;
      }
      __syncthreads();  // counts and the window may be written again
    }
  }
  for (int n = used + thread; n < slots; n += kInvertThreads) {
    keys[slot + n] = none;
    values[slot + n] = static_cast<uint32_t>(slot + n);
  }
}

// The first entry whose key is at least `key`.
__device__ int LowerBound(const uint32_t* keys, int n, uint32_t key) {
  int begin = 0, end = n;
  while (begin < end) {
    const int middle = begin + (end - begin) / 2;
    if (keys[middle] < key) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

__global__ void ListBoundsKernel(int64_t lists, const uint32_t* keys,
                                 int entries, int32_t* first, int32_t* counts) {
  const int64_t list = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (list >= lists) return;
  const auto key = static_cast<uint32_t>(list);
  const int begin = LowerBound(keys, entries, key);
  first[list] = begin;
  counts[list] = LowerBound(keys, entries, key + 1) - begin;
}

// Of prefix lists: query i sees row r if position + 1 >= (r + 1) block_size.
__global__ void PrefixBoundsKernel(ListSizes z, KeyTiles tiles, int64_t lists,
                                   int32_t* first, int32_t* counts) {
  const int64_t list = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (list >= lists) return;
  const int64_t b = list / tiles.count;
  const int64_t row = tiles.Begin(static_cast<int>(list % tiles.count));
  const int64_t query = (row + 1) * z.block_size - 1 - z.positions.Of(b, 0);
  const int64_t i =
      min(max(query, int64_t{0}), static_cast<int64_t>(z.queries));
  first[list] = static_cast<int32_t>(i);
  counts[list] = static_cast<int32_t>(z.queries - i);
}

// starts[l] = sum over the lists before l of their parts. One block.
__global__ __launch_bounds__(kScanThreads) void PartStartsKernel(
    int64_t lists, int part, const int32_t* counts, int32_t* starts) {
  __shared__ int sums[kScanThreads / 32];
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  int before = 0;  // parts of all earlier rounds
  for (int64_t base = 0; base < lists; base += kScanThreads) {
    const int64_t list = base + thread;
    const int n = list < lists ? (counts[list] + part - 1) / part : 0;
    int inclusive = n;
    for (int step = 1; step < 32; step *= 2) {
      const int other = __shfl_up_sync(0xffffffffu, inclusive, step);
      if (lane >= step) inclusive += other;
    }
    if (lane == 31) sums[warp] = inclusive;
    __syncthreads();
    int start = before + inclusive - n;
    for (int w = 0; w < kScanThreads / 32; ++w) {
      if (w < warp) start += sums[w];
      before += sums[w];
    }
    if (list < lists) starts[list] = start;
    __syncthreads();  // sums may be written again
  }
  if (thread == 0) starts[lists] = before;
}

// Fewest query heads worth a thread block, and about how many parts make
// enough of them; the bits of a row of the batch depend on it alone.
constexpr int64_t kPartHeads = 8192;
constexpr int64_t kParts = 512;

absl::Status Invert(Context& ctx, const ListSizes& z, KeyLists* to) {
  const Shape shape{to->entries};
  Tensor keys[2], values[2], masks;
  for (int n = 0; n < 2; ++n) {
    LT2_ASSIGN_OR_RETURN(keys[n], ctx.Empty(DType::kI32, shape));
    LT2_ASSIGN_OR_RETURN(values[n], ctx.Empty(DType::kI32, shape));
  }
  LT2_ASSIGN_OR_RETURN(masks, ctx.Empty(DType::kI32, {to->entries, 2}));
  const auto none = static_cast<uint32_t>(to->lists);
  if (to->entries > 0) {
    const auto rows = static_cast<unsigned>(z.batch * z.queries * z.list_heads);
    InvertKernel<<<rows, kInvertThreads, 0, cuda::StreamOf(ctx)>>>(
        z, to->tiles, to->slots, none, static_cast<uint32_t*>(keys[0].raw()),
        static_cast<uint32_t*>(values[0].raw()),
        static_cast<uint2*>(masks.raw()));
    LT2_RETURN_LAUNCH_ERROR("inversion of index lists");
    int bits = 1;
    while (none >> bits != 0) ++bits;
    LT2_ASSIGN_OR_RETURN(const int at, SortPairs(ctx, keys, values, bits));
    std::swap(keys[0], keys[at]);
    std::swap(values[0], values[at]);
  }
  ListBoundsKernel<<<static_cast<unsigned>(cuda::CeilDiv(to->lists, 128)), 128,
                     0, cuda::StreamOf(ctx)>>>(
      to->lists, static_cast<const uint32_t*>(keys[0].raw()),
      static_cast<int>(to->entries), to->storage[0].data<int32_t>(),
      to->storage[1].data<int32_t>());
  LT2_RETURN_LAUNCH_ERROR("bounds of lists");
  to->sorted = static_cast<const uint32_t*>(values[0].raw());
  to->masks = static_cast<const uint2*>(masks.raw());
  to->storage[3] = values[0];
  to->storage[4] = masks;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<KeyLists> MakeKeyLists(Context& ctx, const ListSizes& z) {
  KeyLists to(z);
  const int64_t tiles = to.tiles.count;
  const int64_t rows = z.batch * z.queries * z.list_heads;
  to.lists = z.batch * z.list_heads * tiles;
  to.slots = static_cast<int>(
      z.prefix ? tiles : std::min(int64_t{z.entries} * to.tiles.parts, tiles));
  to.entries = rows * to.slots;
  if (to.entries > INT32_MAX || to.lists >= INT32_MAX) {
    return InvalidArgument("sparse attention gradient over ", to.entries,
                           " pairs of a query and a tile of ", kTileRows,
                           " keys; at most 2^31 - 1");
  }
  to.part =
      static_cast<int>(std::max(cuda::CeilDiv(kPartHeads, z.group),
                                cuda::CeilDiv(to.entries / z.batch, kParts)));
  to.items = to.lists + to.entries / to.part;
  LT2_ASSIGN_OR_RETURN(to.storage[0], ctx.Empty(DType::kI32, {to.lists}));
  LT2_ASSIGN_OR_RETURN(to.storage[1], ctx.Empty(DType::kI32, {to.lists}));
  LT2_ASSIGN_OR_RETURN(to.storage[2], ctx.Empty(DType::kI32, {to.lists + 1}));
  if (z.prefix) {
    PrefixBoundsKernel<<<static_cast<unsigned>(cuda::CeilDiv(to.lists, 128)),
                         128, 0, cuda::StreamOf(ctx)>>>(
        z, to.tiles, to.lists, to.storage[0].data<int32_t>(),
        to.storage[1].data<int32_t>());
    LT2_RETURN_LAUNCH_ERROR("bounds of prefix lists");
  } else {
    LT2_RETURN_IF_ERROR(Invert(ctx, z, &to));
  }
  to.first = to.storage[0].data<int32_t>();
  to.counts = to.storage[1].data<int32_t>();
  to.part_starts = to.storage[2].data<int32_t>();
  PartStartsKernel<<<1, kScanThreads, 0, cuda::StreamOf(ctx)>>>(
      to.lists, to.part, to.counts, to.storage[2].data<int32_t>());
  LT2_RETURN_LAUNCH_ERROR("parts of lists");
  return to;
}

}  // namespace lt2::kernels::sparse
