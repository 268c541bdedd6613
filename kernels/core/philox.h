// Philox 4x32-10, a counter-based generator (Salmon et al., "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011).
//
// A block of four 32-bit words is a pure function of a 128-bit counter and a
// 64-bit key, so sample `index` of a task needs no earlier sample: it is the
// same on every machine and for any number of threads.
//
//   Philox rng(seed, index, task_stream);
//   uint32_t bits = rng.Next();
//   int64_t die = rng.Below(6);
//
// The word order and rounds are those of the Random123 reference; known
// answers are in philox_test.cc. Usable in device code.

#ifndef LT2_KERNELS_CORE_PHILOX_H_
#define LT2_KERNELS_CORE_PHILOX_H_

#include <cmath>
#include <cstdint>
#include <utility>

#ifdef __CUDACC__
#define LT2_HOST_DEVICE __host__ __device__
#else
#define LT2_HOST_DEVICE
#endif

namespace lt2 {

struct PhiloxBlock {
  uint32_t word[4];
};

// The four words for one counter and key.
LT2_HOST_DEVICE inline PhiloxBlock Philox4x32(const uint32_t (&counter)[4],
                                              uint64_t key) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c0;
    const uint64_t p1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return PhiloxBlock{{c0, c1, c2, c3}};
}

// Uniform in (0, 1], exact in float: never 0, so that log() is finite.
LT2_HOST_DEVICE inline float UnitFloat(uint32_t bits) {
  return static_cast<float>((bits >> 8) + 1) * 0x1p-24f;
}

// A stream of numbers named by (key, a, b): counter words 1..3 hold the name,
// word 0 counts blocks, so a stream has 2^34 words.
class Philox {
 public:
  Philox(uint64_t key, uint64_t a, uint32_t b = 0)
      : key_(key),
        counter_{0, static_cast<uint32_t>(a), static_cast<uint32_t>(a >> 32),
                 b} {}

  uint32_t Next() {
    if (used_ == 4) {
      block_ = Philox4x32(counter_, key_);
      ++counter_[0];
      used_ = 0;
    }
    return block_.word[used_++];
  }

  uint64_t Next64() {
    const uint64_t low = Next();
    return low | (static_cast<uint64_t>(Next()) << 32);
  }

  // Uniform in {0, ..., n-1}, exactly: the multiply-shift method with
  // rejection (Lemire 2019). Requires 1 <= n <= 2^32.
  int64_t Below(int64_t n) {
    const uint64_t range = static_cast<uint64_t>(n);
    uint64_t product = Next() * range;
    uint32_t low = static_cast<uint32_t>(product);
    if (low < range) {
      const uint32_t threshold =
          static_cast<uint32_t>((uint64_t{1} << 32) % range);
      while (low < threshold) {
        product = Next() * range;
        low = static_cast<uint32_t>(product);
      }
    }
    return static_cast<int64_t>(product >> 32);
  }

  // Uniform in (0, 1].
  float Uniform() { return UnitFloat(Next()); }

  // Standard normal (Box-Muller, one of the pair).
  float Normal() {
    const double u = UnitFloat(Next());
    const double v = UnitFloat(Next());
    return static_cast<float>(std::sqrt(-2.0 * std::log(u)) *
                              std::cos(6.283185307179586 * v));
  }

  // Fisher-Yates, in place.
  template <typename Container>
  void Shuffle(Container& items) {
    for (int64_t i = static_cast<int64_t>(items.size()) - 1; i > 0; --i) {
      std::swap(items[i], items[Below(i + 1)]);
    }
  }

 private:
  uint64_t key_;
  uint32_t counter_[4];
  PhiloxBlock block_{};
  int used_ = 4;
};

}  // namespace lt2

#endif  // LT2_KERNELS_CORE_PHILOX_H_
