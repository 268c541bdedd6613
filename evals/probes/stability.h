// Probe "stability": short training runs of every mixer of the registry, and
// of two hybrids, side by side (paper.md 3.5).

#ifndef LT2_EVALS_PROBES_STABILITY_H_
#define LT2_EVALS_PROBES_STABILITY_H_

#include "evals/probes/probe.h"

namespace lt2::evals {

absl::StatusOr<ProbeReport> StabilityProbe(const ProbeOptions& options);

}  // namespace lt2::evals

#endif  // LT2_EVALS_PROBES_STABILITY_H_
