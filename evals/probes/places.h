// Probe "places": which places of its array can a model of the program task
// read? Programs of n bits and 8 swaps, n up to 256 whatever the model was
// trained with; a question asks for the bit at one place, so the answers sort
// by place. A model that has learned the places up to 128 answers half of
// n = 256 and guesses at the rest: a score of 0.75 that looks like half an
// ability everywhere. Where there is softmax attention (or dsa) its weight on
// the bit asked for says whether attention finds it, and from which token.

#ifndef LT2_EVALS_PROBES_PLACES_H_
#define LT2_EVALS_PROBES_PLACES_H_

#include "evals/probes/probe.h"

namespace lt2::evals {

// Models of the family "program".
absl::StatusOr<ProbeReport> PlacesProbe(const ProbeOptions& options);

}  // namespace lt2::evals

#endif  // LT2_EVALS_PROBES_PLACES_H_
