#include "tasks/group.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernels/core/status.h"

namespace lt2::tasks {
namespace {

bool IsEven(const std::vector<int>& p) {
  int inversions = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    for (size_t j = i + 1; j < p.size(); ++j) inversions += p[i] > p[j];
  }
  return inversions % 2 == 0;
}

using Table = std::vector<uint16_t>;

Table PermutationTable(int n, bool even_only) {
  const std::vector<std::vector<int>> elements = Permutations(n, even_only);
  std::map<std::vector<int>, uint16_t> number;
  for (const auto& p : elements) {
    number.emplace(p, static_cast<uint16_t>(number.size()));
  }
  // std::map sorts as the elements are sorted, so the numbers agree.
  Table table;
  std::vector<int> product(n);
  for (const auto& p : elements) {
    for (const auto& q : elements) {
      for (int i = 0; i < n; ++i) product[i] = p[q[i]];
      table.push_back(number.at(product));
    }
  }
  return table;
}

Table CyclicTable(int n) {
  Table table;
  for (int p = 0; p < n; ++p) {
    for (int q = 0; q < n; ++q) {
      table.push_back(static_cast<uint16_t>((p + q) % n));
    }
  }
  return table;
}

Table ProductTable(const Table& a, int64_t a_order, const Table& b,
                   int64_t b_order) {
  const int64_t order = a_order * b_order;
  Table table(order * order);
  for (int64_t p = 0; p < order; ++p) {
    for (int64_t q = 0; q < order; ++q) {
      const int64_t g = a[(p / b_order) * a_order + q / b_order];
      const int64_t h = b[(p % b_order) * b_order + q % b_order];
      table[p * order + q] = static_cast<uint16_t>(g * b_order + h);
    }
  }
  return table;
}

}  // namespace

std::vector<std::vector<int>> Permutations(int n, bool even_only) {
  std::vector<int> p(n);
  std::iota(p.begin(), p.end(), 0);
  std::vector<std::vector<int>> all;
  do {
    if (!even_only || IsEven(p)) all.push_back(p);
  } while (std::next_permutation(p.begin(), p.end()));
  return all;
}

absl::StatusOr<Group> Group::Create(absl::string_view name) {
  const std::string expected =
      "expected S1..S5, A1..A5, Z1..Z120, or a product such as A4xZ5";
  Group group;
  group.name_ = std::string(name.substr(0, 100));
  group.table_ = {0};
  for (absl::string_view factor : absl::StrSplit(name, 'x')) {
    int n = 0;
    const bool digits =
        factor.size() >= 2 && factor.size() <= 4 && factor[1] != '0' &&
        factor.find_first_not_of("0123456789", 1) == absl::string_view::npos &&
        absl::SimpleAtoi(factor.substr(1), &n);
    const char kind = factor.empty() ? '?' : factor[0];
    const int limit = kind == 'Z' ? 120 : 5;
    if (!digits || (kind != 'S' && kind != 'A' && kind != 'Z') || n < 1 ||
        n > limit) {
      return InvalidArgument("unknown group \"", group.name_, "\"; ", expected);
    }
    int64_t order = n;
    if (kind != 'Z') {
      order = 1;
      for (int i = 2; i <= n; ++i) order *= i;
      if (kind == 'A' && n >= 2) order /= 2;
    }
    if (group.order_ * order > kMaxOrder) {
      return InvalidArgument("group \"", group.name_, "\" has more than ",
                             kMaxOrder, " elements");
    }
    const Table table =
        kind == 'Z' ? CyclicTable(n) : PermutationTable(n, kind == 'A');
    group.table_ = ProductTable(group.table_, group.order_, table, order);
    group.order_ *= order;
  }
  return group;
}

}  // namespace lt2::tasks
