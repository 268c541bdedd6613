// Finite groups as multiplication tables.
//
// A group is named by factors joined with 'x': S_n and A_n (n <= 5), Z_n
// (n <= 120), e.g. "S5", "A5", "Z60", "A4xZ5". The elements are numbered:
//
//   S_n, A_n   permutations p of {0, ..., n-1} in lexicographic order of
//              p(0) p(1) ... p(n-1); A_n keeps the even ones
//   Z_n        the residues 0, ..., n-1
//   G x H      (g, h) has number g * |H| + h
//
// so the identity is always 0. Composition is fixed once and for all:
//
//   (p * q)(i) = p(q(i))        apply q first, then p
//
// S_3 tells the two orders apart: with 1 = (0 2 1) and 2 = (1 0 2) in one-line
// notation, 1 * 2 = 4 = (2 0 1) and 2 * 1 = 3 = (1 2 0).

#ifndef LT2_TASKS_GROUP_H_
#define LT2_TASKS_GROUP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lt2::tasks {

class Group {
 public:
  // At most kMaxOrder elements.
  static constexpr int64_t kMaxOrder = 2048;
  static absl::StatusOr<Group> Create(absl::string_view name);

  const std::string& name() const { return name_; }
  int64_t order() const { return order_; }

  // p * q, for elements in [0, order()).
  int32_t Multiply(int32_t p, int32_t q) const {
    return table_[p * order_ + q];
  }

 private:
  std::string name_;
  int64_t order_ = 1;
  std::vector<uint16_t> table_;  // [order, order]
};

// The permutations of {0, ..., n-1} in lexicographic order; only the even
// ones if asked.
std::vector<std::vector<int>> Permutations(int n, bool even_only);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_GROUP_H_
