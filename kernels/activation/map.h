// Map: the loop of elementwise operators on the CPU.

#ifndef LT2_KERNELS_ACTIVATION_MAP_H_
#define LT2_KERNELS_ACTIVATION_MAP_H_

#include "kernels/core/context.h"

namespace lt2::kernels {

// f(i) for i in [0, n), in any order. f must hold its pointers by value and may
// write only element i of its outputs: that is what lets the loop vectorise.
template <typename F>
void Map(Context& ctx, int64_t n, const F& f) {
  constexpr int64_t kGrain = 8192;  // some microseconds of work
  ctx.ParallelFor(n, kGrain, [&f](int64_t begin, int64_t end) {
    const F local = f;
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) local(i);
  });
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ACTIVATION_MAP_H_
