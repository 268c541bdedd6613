// How much an output depends on an input some tokens before it
// (paper.md 1.12 b; paper App. B.2).
//
//   influence(d) = RMS over random directions u of | d(u . h_t(T)) / d h_s(0) |
//
// with s = t - d, t the last token and u of unit length: the Frobenius norm of
// the Jacobian, up to one factor for all distances. It is exactly 0 where no
// path of the masks leads from s to t: T loops of N layers with a window of w
// keys (the token itself among them) reach T N (w - 1) + 1 tokens, and no more
// than t + 1.
//
// How much arrives from there is another matter. With a residual connection
// each block passes on a share alpha of its input and adds 1 - alpha of what it
// attends to, and the paper's estimate of the distance at which eps remains is
//
//   w ln(1/eps) / ln(1/(1 - alpha))     1.54 w at alpha = 0.95, eps = 0.01
//
// for any number of loops. Without residuals the hops of uniform attention make
// a random walk: 2 standard deviations are 0.58 w sqrt(T N), about a mean that
// moves back by T N (w - 1) / 2, as causal hops all go one way.

#ifndef LT2_EVALS_PROBES_INFLUENCE_H_
#define LT2_EVALS_PROBES_INFLUENCE_H_

#include <cstdint>
#include <vector>

#include "evals/probes/models.h"

namespace lt2::evals {

// What lies between h(0) and h(T).
enum class Path {
  kModel,   // the model as it is
  kMixers,  // its mixers and their norms only: h <- Mixer(rms_norm(h))
};

// influence(d) for d = 0 .. inputs.seq - 1, RMS over the rows of `inputs` too.
// The model must have gradients (training = true).
absl::StatusOr<std::vector<double>> Influence(model::LoopedModel& model,
                                              const Inputs& inputs,
                                              int64_t loops, Path path,
                                              int64_t directions,
                                              uint64_t seed);

// The share of a block's input in its output before the feed-forward part:
// mean over blocks of |x| / (|x| + |Mixer(rms_norm(x))|), RMS norms.
absl::StatusOr<double> ResidualShare(model::LoopedModel& model,
                                     const Inputs& inputs, int64_t loops);

inline constexpr double kHorizonEps = 0.01;

struct Horizon {
  // Tokens of which the output depends at all: 1 + the largest d with
  // influence(d) > 0.
  int64_t reach = 0;
  // The first distance from which on influence stays below eps of its maximum;
  // the number of distances if it never does (`censored`).
  int64_t distance = 0;
  bool censored = false;
  // ln influence = a - d / decay over d >= 1 where influence is above 1e-6 of
  // its maximum, by least squares; r2 is the share of the variance that the
  // line explains. decay is infinite for a line that does not fall.
  double decay = 0, r2 = 0;
  // Where that line falls to eps of the maximum.
  double fitted = 0;
  // Mean and standard deviation of d, weighted with influence^2.
  double mean = 0, deviation = 0;
};
Horizon HorizonOf(const std::vector<double>& influence);

// min(tokens, loops layers (window - 1) + 1).
int64_t PredictedReach(int64_t tokens, int64_t window, int64_t layers,
                       int64_t loops);
// w ln(1/eps) / ln(1/(1 - alpha)).
double ResidualHorizon(int64_t window, double alpha);

}  // namespace lt2::evals

#endif  // LT2_EVALS_PROBES_INFLUENCE_H_
