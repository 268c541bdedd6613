// 64-bit FNV-1a: hash = (hash ^ byte) * prime, byte after byte. Names things
// (parameter streams, digests of files and examples); not for hostile input.

#ifndef LT2_KERNELS_CORE_HASH_H_
#define LT2_KERNELS_CORE_HASH_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace lt2 {

inline constexpr uint64_t kFnv1aEmpty = 14695981039346656037u;

// The hash of `bytes`, or of what `before` is the hash of followed by `bytes`.
constexpr uint64_t Fnv1a(absl::string_view bytes,
                         uint64_t before = kFnv1aEmpty) {
  uint64_t hash = before;
  for (char c : bytes) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  }
  return hash;
}

}  // namespace lt2

#endif  // LT2_KERNELS_CORE_HASH_H_
