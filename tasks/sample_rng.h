// The random numbers of one example.

#ifndef LT2_TASKS_SAMPLE_RNG_H_
#define LT2_TASKS_SAMPLE_RNG_H_

#include <cmath>
#include <cstdint>

#include "kernels/core/philox.h"
#include "tasks/task.h"

namespace lt2::tasks {

// The stream of example `index`: key = seed, counter = (block, index, split).
// Streams of different (split, index) share no counter.
inline Philox SampleRng(Split split, uint64_t seed, int64_t index) {
  return Philox(seed, static_cast<uint64_t>(index),
                static_cast<uint32_t>(split));
}

// Exponential with mean 1, from 53 random bits.
inline double Exponential(Philox& rng) {
  const double u = static_cast<double>((rng.Next64() >> 11) + 1) * 0x1p-53;
  return -std::log(u);
}

// The error that Generate returns for a negative index.
inline absl::Status CheckIndex(int64_t index) {
  if (index >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError("example index must be >= 0");
}

}  // namespace lt2::tasks

#endif  // LT2_TASKS_SAMPLE_RNG_H_
