// Probe "rank": the spectrum of the effective per-token transition of looped
// delta-rule layers against the number of loops (transition.h says what it is
// and what it is not).

#ifndef LT2_EVALS_PROBES_RANK_H_
#define LT2_EVALS_PROBES_RANK_H_

#include "evals/probes/models.h"
#include "evals/probes/probe.h"
#include "evals/probes/transition.h"

namespace lt2::evals {

// Means and extremes over tokens and heads of one layer, after `loops` loops.
struct RankRow {
  std::string model;
  int64_t layer = 0, loops = 0;
  int64_t steps = 1;  // of the delta rule for each token and loop
  int64_t d_k = 0;
  int64_t samples = 0;                                    // (token, head) pairs
  double rank = 0, rank_percent = 0, effective_rank = 0;  // means
  int64_t rank_min = 0, rank_max = 0;
  double norm = 0, norm_max = 0, norm_undecayed_max = 0;
  double beta = 0;        // mean
  double key_cosine = 0;  // mean |k . k'| of successive applications
};

// One more sample into the means and extremes of the spectrum.
void AddSample(const Spectrum& spectrum, RankRow* row);

// Of every layer with a delta rule, on ids [batch, seq]: `positions` tokens of
// each row, evenly spread. Rows for 1, 2, ..., loops.
absl::StatusOr<std::vector<RankRow>> RankRows(model::LoopedModel& model,
                                              const Inputs& inputs,
                                              int64_t loops, int64_t positions);

absl::StatusOr<ProbeReport> RankProbe(const ProbeOptions& options);

}  // namespace lt2::evals

#endif  // LT2_EVALS_PROBES_RANK_H_
