// Learning-rate schedules.
//
//   warm-up:   lr * (step + 1) / warmup            for step < warmup
//   constant:  lr
//   cosine:    from lr to final * lr along half a cosine, ending at `steps`
//   wsd:       lr, then a straight line to final * lr over the last `decay`
//              fraction of the steps (warm-up, stable, decay)

#ifndef LT2_MODEL_TRAINING_SCHEDULE_H_
#define LT2_MODEL_TRAINING_SCHEDULE_H_

#include <cstdint>

namespace lt2::model {

enum class ScheduleShape { kConstant, kCosine, kWsd };

struct Schedule {
  ScheduleShape shape = ScheduleShape::kCosine;
  double lr = 3e-4;
  int64_t warmup = 0;
  int64_t steps = 1;   // where cosine and wsd end
  double final = 0.0;  // fraction of lr at the end
  double decay = 0.2;  // wsd: fraction of the steps spent decaying
};

// The rate of step 0, 1, ...; past `steps` it stays at the final value.
double LearningRate(const Schedule& schedule, int64_t step);

}  // namespace lt2::model

#endif  // LT2_MODEL_TRAINING_SCHEDULE_H_
