#include "evals/probes/transition.h"

#include <cmath>
#include <limits>

#include "evals/probes/svd.h"

namespace lt2::evals {

Transition::Transition(int64_t d_k)
    : d_k_(d_k), a_(d_k * d_k), change_(d_k * d_k) {
  for (int64_t i = 0; i < d_k; ++i) a_[i * d_k + i] = 1;
}

void Transition::Apply(absl::Span<const double> k, double beta,
                       absl::Span<const double> log_decay) {
  LT2_CHECK(static_cast<int64_t>(k.size()) == d_k_);
  const int64_t n = static_cast<int64_t>(log_decay.size());
  LT2_CHECK(n == 0 || n == 1 || n == d_k_);
  for (int64_t i = 0; i < d_k_ && n > 0; ++i) {
    const double decay = std::exp(log_decay[n == 1 ? 0 : i]);
    for (int64_t j = 0; j < d_k_; ++j) a_[i * d_k_ + j] *= decay;
  }
  // M <- (I - beta k k') M, and with D = I - M: D <- D + beta k (k' - k' D).
  for (int64_t j = 0; j < d_k_; ++j) {
    double along_a = 0, along_change = 0;
    for (int64_t i = 0; i < d_k_; ++i) {
      along_a += k[i] * a_[i * d_k_ + j];
      along_change += k[i] * change_[i * d_k_ + j];
    }
    for (int64_t i = 0; i < d_k_; ++i) {
      a_[i * d_k_ + j] -= beta * k[i] * along_a;
      change_[i * d_k_ + j] += beta * k[i] * (k[j] - along_change);
    }
  }
  ++applied_;
}

std::vector<double> Transition::p() const {
  std::vector<double> p(change_.size());
  for (int64_t i = 0; i < d_k_ * d_k_; ++i) {
    p[i] = (i % (d_k_ + 1) == 0 ? 1 : 0) - change_[i];
  }
  return p;
}

absl::StatusOr<Spectrum> SpectrumOf(const Transition& transition) {
  const int64_t d = transition.d_k();
  Spectrum spectrum;
  LT2_ASSIGN_OR_RETURN(const std::vector<double> change,
                       SingularValues(transition.change(), d, d));
  // Each of the n updates rounds entries of the change by some 2^-53 of it.
  const double rounding = 4.0 * static_cast<double>(d) *
                          static_cast<double>(transition.applied() + 1) *
                          std::numeric_limits<double>::epsilon();
  spectrum.rank = NumericalRank(change, rounding);
  spectrum.rank_percent = NumericalRank(change, 0.01);
  spectrum.effective_rank = EffectiveRank(change);
  LT2_ASSIGN_OR_RETURN(const std::vector<double> a,
                       SingularValues(transition.a(), d, d));
  LT2_ASSIGN_OR_RETURN(const std::vector<double> p,
                       SingularValues(transition.p(), d, d));
  spectrum.norm = a.empty() ? 0 : a[0];
  spectrum.norm_undecayed = p.empty() ? 0 : p[0];
  return spectrum;
}

}  // namespace lt2::evals
