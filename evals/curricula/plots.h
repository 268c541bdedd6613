// Figures of the results of a preset.

#ifndef LT2_EVALS_CURRICULA_PLOTS_H_
#define LT2_EVALS_CURRICULA_PLOTS_H_

#include "evals/curricula/results.h"
#include "kernels/core/figure/figure.h"

namespace lt2::evals {

// The medians of the main table. Without an axis: value against column (T), a
// panel for each write strength. With one: value against the axis (d), a panel
// for each column. Cells without a run that counts are left out.
Figure MedianFigure(const Results& results);

}  // namespace lt2::evals

#endif  // LT2_EVALS_CURRICULA_PLOTS_H_
