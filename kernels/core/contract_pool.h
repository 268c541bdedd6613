// The error contract over many small cases.
//
// One case may have a single value, whose rounding errors are a matter of luck;
// RMS errors mean something over many. A pool collects the values of all cases
// of a test by name and checks each name once. It loses no teeth: one wrong
// value among N puts the relative error near 1/sqrt(N), far above roundings.
// Values of very different magnitude belong in different pools.

#ifndef LT2_KERNELS_CORE_CONTRACT_POOL_H_
#define LT2_KERNELS_CORE_CONTRACT_POOL_H_

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"

namespace lt2::testing {

class ContractPool {
 public:
  // `label` says which case these values are from.
  void Add(const std::string& name, const std::string& label, DType dtype,
           const std::vector<double>& actual, const std::vector<double>& plain,
           const std::vector<double>& exact) {
    ASSERT_EQ(actual.size(), exact.size()) << name << " of " << label;
    Series& s = series_[name];
    s.dtype = dtype;
    s.actual.insert(s.actual.end(), actual.begin(), actual.end());
    s.plain.insert(s.plain.end(), plain.begin(), plain.end());
    s.exact.insert(s.exact.end(), exact.begin(), exact.end());
    const double error = RmsRatio(actual, exact);
    if (error > s.worst_error) {
      s.worst_error = error;
      s.worst_label = label;
    }
  }

  void Check() const {
    for (const auto& [name, s] : series_) {
      EXPECT_TRUE(MeetsContract(s.actual, s.plain, s.exact, s.dtype))
          << name << "; worst case " << s.worst_label << " with error "
          << s.worst_error;
    }
  }

 private:
  struct Series {
    DType dtype = DType::kF32;
    std::vector<double> actual, plain, exact;
    double worst_error = 0;
    std::string worst_label;
  };
  std::map<std::string, Series> series_;
};

}  // namespace lt2::testing

#endif  // LT2_KERNELS_CORE_CONTRACT_POOL_H_
