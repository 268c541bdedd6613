#include "model/training/schedule.h"

#include <algorithm>
#include <cmath>

namespace lt2::model {

double LearningRate(const Schedule& s, int64_t step) {
  if (step < s.warmup) {
    return s.lr * static_cast<double>(step + 1) / static_cast<double>(s.warmup);
  }
  // Fraction done of what comes after the warm-up.
  const double done = std::clamp(
      static_cast<double>(step - s.warmup) /
          static_cast<double>(std::max<int64_t>(1, s.steps - s.warmup)),
      0.0, 1.0);
  switch (s.shape) {
    case ScheduleShape::kConstant:
      return s.lr;
    case ScheduleShape::kCosine:
      return s.lr * (s.final + (1 - s.final) * 0.5 *
                                   (1 + std::cos(3.141592653589793 * done)));
    case ScheduleShape::kWsd: {
      const double into = (done - (1 - s.decay)) / std::max(s.decay, 1e-12);
      return s.lr * (1 - (1 - s.final) * std::clamp(into, 0.0, 1.0));
    }
  }
  return s.lr;
}

}  // namespace lt2::model
