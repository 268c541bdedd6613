// SHA-256 (FIPS 180-4), for tests that compare with recorded sums.

#ifndef LT2_TASKS_TOKENIZER_SHA256_H_
#define LT2_TASKS_TOKENIZER_SHA256_H_

#include <array>
#include <bit>
#include <cstdint>
#include <string>

#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace lt2::tasks {

// The first 32 bits of the fraction of the square or cube root of a prime, the
// constants of the standard. By bisection on integers: a double is too short
// for the larger roots.
inline uint32_t RootFraction(uint64_t prime, int root) {
  // The largest x with x^root <= prime * 2^(32 root).
  unsigned __int128 low = 0, high = static_cast<unsigned __int128>(1) << 36;
  while (high - low > 1) {
    const unsigned __int128 middle = (low + high) / 2;
    // middle < 2^36, so its cube is below 2^108.
    unsigned __int128 power = middle * middle;
    if (root == 3) power *= middle;
    const unsigned __int128 target = static_cast<unsigned __int128>(prime)
                                     << (32 * root);
    (power <= target ? low : high) = middle;
  }
  return static_cast<uint32_t>(low);
}

// 64 hexadecimal digits.
inline std::string Sha256(absl::string_view bytes) {
  std::array<uint32_t, 64> k;
  std::array<uint32_t, 8> h;
  int count = 0;
  for (uint64_t n = 2; count < 64; ++n) {
    bool prime = true;
    for (uint64_t d = 2; d * d <= n; ++d) prime &= n % d != 0;
    if (!prime) continue;
    if (count < 8) h[count] = RootFraction(n, 2);
    k[count++] = RootFraction(n, 3);
  }
  // The end: a 1 bit, zeros, the length in bits as 64 bits.
  std::string tail(bytes.substr(bytes.size() / 64 * 64));
  tail.push_back(static_cast<char>(0x80));
  while (tail.size() % 64 != 56) tail.push_back(0);
  for (int shift = 56; shift >= 0; shift -= 8) {
    tail.push_back(static_cast<char>(uint64_t{bytes.size()} * 8 >> shift));
  }
  const auto block = [&](const char* data) {
    std::array<uint32_t, 64> w;
    for (int i = 0; i < 16; ++i) {
      w[i] = 0;
      for (int j = 0; j < 4; ++j) {
        w[i] = w[i] << 8 | static_cast<unsigned char>(data[4 * i + j]);
      }
    }
    for (int i = 16; i < 64; ++i) {
      const uint32_t a = w[i - 15], b = w[i - 2];
      w[i] = w[i - 16] + w[i - 7] +
             (std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3) +
             (std::rotr(b, 17) ^ std::rotr(b, 19) ^ b >> 10);
    }
    std::array<uint32_t, 8> s = h;
    for (int i = 0; i < 64; ++i) {
      const uint32_t t1 =
          s[7] +
          (std::rotr(s[4], 6) ^ std::rotr(s[4], 11) ^ std::rotr(s[4], 25)) +
          ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
      const uint32_t t2 =
          (std::rotr(s[0], 2) ^ std::rotr(s[0], 13) ^ std::rotr(s[0], 22)) +
          ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
      s = {t1 + t2, s[0], s[1], s[2], s[3] + t1, s[4], s[5], s[6]};
    }
    for (int i = 0; i < 8; ++i) h[i] += s[i];
  };
  for (size_t at = 0; at + 64 <= bytes.size(); at += 64) {
    block(bytes.data() + at);
  }
  for (size_t at = 0; at < tail.size(); at += 64) block(tail.data() + at);
  std::string text;
  for (uint32_t word : h) absl::StrAppendFormat(&text, "%08x", word);
  return text;
}

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TOKENIZER_SHA256_H_
