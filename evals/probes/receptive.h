// Probe "receptive": how far back looped window attention looks (influence.h),
// on random and on trained window models.

#ifndef LT2_EVALS_PROBES_RECEPTIVE_H_
#define LT2_EVALS_PROBES_RECEPTIVE_H_

#include "evals/probes/probe.h"

namespace lt2::evals {

absl::StatusOr<ProbeReport> ReceptiveProbe(const ProbeOptions& options);

}  // namespace lt2::evals

#endif  // LT2_EVALS_PROBES_RECEPTIVE_H_
