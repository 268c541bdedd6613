// What tables and figures share.

#ifndef LT2_BENCH_SCALING_REPORT_INTERNAL_H_
#define LT2_BENCH_SCALING_REPORT_INTERNAL_H_

#include <string>
#include <vector>

#include "bench/scaling/results.h"

namespace lt2::bench::internal {

// Null if the cell was not tried.
const Row* Find(const Results& results, const Cell& cell);
// "prefill, T = 4, batch 1"; an operator has no T.
std::string TitleOf(Phase phase, int64_t loops, int64_t batch);
// Those that have the phase.
std::vector<std::string> MixersOf(const Preset& preset, Phase phase);
// Whether any of these was measured, or tried.
bool Any(const Results& results, Phase phase, int64_t loops, int64_t batch);

}  // namespace lt2::bench::internal

#endif  // LT2_BENCH_SCALING_REPORT_INTERNAL_H_
