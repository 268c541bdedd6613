// The effective transition of a token in a looped delta rule, and its spectrum
// (paper.md 1.12 a; paper App. B).
//
// One application of the rule at token t is S <- Diag(e^g) S, then
// S <- (I - beta k k') S + beta k v'. Its linear part over the applications
// tau = 1..n at that token (loops, and steps of DeltaProduct within a loop) is
//
//   A = prod_tau (I - beta_tau k_tau k_tau') Diag(e^g_tau)      [d_k, d_k]
//   P = prod_tau (I - beta_tau k_tau k_tau')                    A without decay
//
// This is an idealisation: it is what happens to one state that passes through
// all loops. In the models each (loop, layer) pair has a state of its own and
// nothing is carried from loop to loop, so A bounds what a loop could do with
// the keys that the model makes; it is no matrix that the model applies.
//
// "Rank" is that of I - P: each application changes P by a matrix of rank one,
// so rank(I - P) <= n. It is 1 if all keys are the same and min(n, d_k) if they
// are orthogonal. A and P themselves have full rank unless some beta is 1, and
// I - A has full rank as soon as there is a decay: neither tells anything.

#ifndef LT2_EVALS_PROBES_TRANSITION_H_
#define LT2_EVALS_PROBES_TRANSITION_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "kernels/core/status.h"

namespace lt2::evals {

// A product that grows by one factor at a time. O(d_k^2) work for each.
class Transition {
 public:
  explicit Transition(int64_t d_k);

  // `log_decay` g: empty, one number, or d_k.
  void Apply(absl::Span<const double> k, double beta,
             absl::Span<const double> log_decay = {});

  int64_t d_k() const { return d_k_; }
  int64_t applied() const { return applied_; }
  const std::vector<double>& a() const { return a_; }
  // I - P, accumulated as itself: no cancellation, so that its rank is exact
  // to rounding however small beta is.
  const std::vector<double>& change() const { return change_; }
  std::vector<double> p() const;

 private:
  int64_t d_k_, applied_ = 0;
  std::vector<double> a_, change_;
};

struct Spectrum {
  int64_t rank = 0;           // of I - P, above fp64 rounding
  int64_t rank_percent = 0;   // singular values above 1 % of the largest
  double effective_rank = 0;  // of I - P (svd.h)
  double norm = 0;            // largest singular value of A
  double norm_undecayed = 0;  // of P
};
absl::StatusOr<Spectrum> SpectrumOf(const Transition& transition);

}  // namespace lt2::evals

#endif  // LT2_EVALS_PROBES_TRANSITION_H_
