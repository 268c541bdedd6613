#include "evals/ranking/groups.h"

#include <cmath>

#include "evals/stats/stats.h"

namespace lt2::evals {
namespace {

constexpr double kLevel = 0.05;

// P-value of "no difference"; 1 if the examples are not the same.
double PairedP(const Row& a, const Row& b) {
  if (a.items.size() != b.items.size()) return 1;
  std::vector<double> num_a, num_b, den;
  for (size_t i = 0; i < a.items.size(); ++i) {
    const ItemScore &x = a.items[i], &y = b.items[i];
    if (x.index != y.index || x.scored != y.scored) return 1;
    const bool accuracy = a.metric == Metric::kAccuracy;
    num_a.push_back(accuracy ? static_cast<double>(x.correct) : x.nll);
    num_b.push_back(accuracy ? static_cast<double>(y.correct) : y.nll);
    den.push_back(static_cast<double>(x.scored));
  }
  BootstrapOptions options;
  options.resamples = 2000;  // resolves 0.001
  const auto difference = PairedRatioBootstrap(num_a, den, num_b, den, options);
  return difference.ok() ? difference->p_value : 1;
}

std::string Letters(int group) {
  std::string text;
  for (; group >= 0; group = group / 26 - 1) {
    text.insert(text.begin(), static_cast<char>('a' + group % 26));
  }
  return text;
}

}  // namespace

std::vector<std::string> Groups(const std::vector<const Row*>& ranked) {
  std::vector<std::string> groups;
  int group = -1;
  for (size_t begin = 0; begin < ranked.size();) {
    // All that follow, against the best of this group.
    std::vector<double> p_values;
    for (size_t i = begin + 1; i < ranked.size(); ++i) {
      p_values.push_back(PairedP(*ranked[begin], *ranked[i]));
    }
    const auto adjusted = AdjustForFalseDiscoveries(p_values);
    size_t end = begin + 1;
    while (end < ranked.size() &&
           !(adjusted.ok() && (*adjusted)[end - begin - 1] <= kLevel)) {
      ++end;
    }
    ++group;
    for (; begin < end; ++begin) groups.push_back(Letters(group));
  }
  return groups;
}

}  // namespace lt2::evals
