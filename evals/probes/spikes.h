// Summaries of training curves: spikes, roughness, quantiles.

#ifndef LT2_EVALS_PROBES_SPIKES_H_
#define LT2_EVALS_PROBES_SPIKES_H_

#include <cstdint>
#include <vector>

namespace lt2::evals {

inline constexpr int64_t kSpikeWindow = 20;
inline constexpr double kSpikeDeviations = 6;

// A step spikes if its value exceeds the median of the kSpikeWindow values
// before it by more than kSpikeDeviations standard deviations, these estimated
// as 1.4826 times the median absolute deviation from that median (floor: 1 % of
// the median, so that a flat curve has no spikes of rounding). Steps in a row
// are one spike; the first kSpikeWindow steps have none.
// Returns the steps (indices) at which spikes begin.
std::vector<int64_t> SpikeStarts(const std::vector<double>& values);

// Linear interpolation between order statistics; q in [0, 1].
double Quantile(std::vector<double> values, double q);

// Standard deviation of the differences of successive values, after the first
// kSpikeWindow: what is left of a curve when its trend is taken away.
double Roughness(const std::vector<double>& values);

}  // namespace lt2::evals

#endif  // LT2_EVALS_PROBES_SPIKES_H_
