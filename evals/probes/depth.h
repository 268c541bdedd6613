// Probe "depth": what one looped model makes of each loop. Its score after
// 1, 2, ..., 2 T loops (T as trained), and how much a loop still changes the
// state.

#ifndef LT2_EVALS_PROBES_DEPTH_H_
#define LT2_EVALS_PROBES_DEPTH_H_

#include "evals/probes/models.h"
#include "evals/probes/probe.h"

namespace lt2::evals {

// After `loops` loops. cos and change compare h(loops) with h(loops - 1).
struct DepthState {
  int64_t loops = 0;
  double cosine = 0;  // mean over tokens
  double change = 0;  // RMS of the difference / RMS of h(loops - 1)
  double rms = 0;     // of h(loops)
};

// Of loops 1..loops, on ids [batch, seq].
absl::StatusOr<std::vector<DepthState>> DepthStates(model::LoopedModel& model,
                                                    const Inputs& inputs,
                                                    int64_t loops);

absl::StatusOr<ProbeReport> DepthProbe(const ProbeOptions& options);

}  // namespace lt2::evals

#endif  // LT2_EVALS_PROBES_DEPTH_H_
