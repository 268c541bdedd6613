// Times one piece of work: samples of calls, until they say enough.
//
// On a GPU the seconds of a sample are those between two CUDA events around
// `calls` launches of the work in a row (so many that a sample takes a
// millisecond, where the limits allow it), for each of them; on the CPU wall
// clock, or on request the processor's time of this process (of all its
// threads), which counts no waiting for other programs. The wall clock is kept
// beside both: where it is much longer, the host is slow, or busy. Two calls
// that are not counted come first.
//
// Sampling ends when half of the 95 % interval of the median is below 1 % of it
// ("resolution"), at the most samples ("samples"), or when the time is over
// ("time").

#ifndef LT2_BENCH_SCALING_TIMER_H_
#define LT2_BENCH_SCALING_TIMER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/scaling/gpu_events.h"
#include "bench/scaling/sm_clock.h"
#include "kernels/core/context.h"

namespace lt2::bench {

struct TimerLimits {
  double seconds = 1;  // for all samples
  int max_samples = 51;
  int max_calls = 1;  // in a sample
};

struct Timing {
  std::vector<double> samples;  // seconds of one call
  double wall_s = 0;            // of one call, median
  int calls = 1;                // in each sample
  int clock_mhz[2] = {0, 0};    // of a GPU, before and after; 0 = unknown
  std::string stopped;
};

class Timer {
 public:
  // `cpu_clock`: the processor's time; not for a GPU.
  static absl::StatusOr<std::unique_ptr<Timer>> Create(Context& ctx,
                                                       bool cpu_clock = false);

  // `prepare(i)` is run before sample i and not timed; `call(i)` counts through
  // all calls, so that it can rotate its inputs.
  using Step = std::function<absl::Status(int)>;
  absl::StatusOr<Timing> Measure(const TimerLimits& limits, const Step& prepare,
                                 const Step& call);

  int clock_mhz() const { return clock_ ? clock_->MHz() : 0; }
  // Bytes of the last cache that calls share; 0 = unknown.
  int64_t cache_bytes() const { return facts_.l2_bytes; }
  const GpuFacts& facts() const { return facts_; }

 private:
  Timer(Context& ctx, bool cpu_clock) : ctx_(ctx), cpu_clock_(cpu_clock) {}
  double Now() const;
  // Seconds of `n` calls from number `first` on, by events and by wall clock.
  absl::Status Span(const Step& call, int first, int n, double* seconds,
                    double* wall);

  Context& ctx_;
  const bool cpu_clock_;
  GpuFacts facts_;
  std::unique_ptr<SmClock> clock_;
#if LT2_HAVE_CUDA
  std::unique_ptr<GpuEvents> events_;
#endif
};

}  // namespace lt2::bench

#endif  // LT2_BENCH_SCALING_TIMER_H_
