#include "bench/scaling/timer.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "bench/scaling/statistics.h"

namespace lt2::bench {
namespace {

constexpr double kSpan = 1e-3;        // of a sample, at least
constexpr double kResolution = 0.01;  // of the median
constexpr size_t kFewest = 9;         // samples before looking at it

double WallClock() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

double Round(double seconds) {  // to the tenth of a nanosecond, at least one
  return std::max(1.0, std::round(seconds * 1e10)) / 1e10;
}

}  // namespace

double Timer::Now() const {
  timespec t;
  if (!cpu_clock_ || clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0) {
    return WallClock();
  }
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

absl::StatusOr<std::unique_ptr<Timer>> Timer::Create(Context& ctx,
                                                     bool cpu_clock) {
  auto timer =
      std::unique_ptr<Timer>(new Timer(ctx, cpu_clock && !ctx.is_cuda()));
#if LT2_HAVE_CUDA
  if (ctx.is_cuda()) {
    LT2_ASSIGN_OR_RETURN(timer->facts_, ReadGpuFacts());
    LT2_ASSIGN_OR_RETURN(timer->events_, GpuEvents::Create());
    timer->clock_ = SmClock::Open(timer->facts_.pci_bus_id);
  }
#endif
  return timer;
}

absl::Status Timer::Span(const Step& call, int first, int n, double* seconds,
                         double* wall) {
  LT2_RETURN_IF_ERROR(ctx_.Synchronize());
  const double start = Now(), wall_start = WallClock();
#if LT2_HAVE_CUDA
  if (events_ != nullptr) LT2_RETURN_IF_ERROR(events_->Start(ctx_));
#endif
  for (int i = 0; i < n; ++i) LT2_RETURN_IF_ERROR(call(first + i));
#if LT2_HAVE_CUDA
  if (events_ != nullptr) LT2_RETURN_IF_ERROR(events_->Stop(ctx_));
#endif
  LT2_RETURN_IF_ERROR(ctx_.Synchronize());
  *seconds = Round((Now() - start) / n);
  *wall = Round((WallClock() - wall_start) / n);
#if LT2_HAVE_CUDA
  if (events_ != nullptr) {
    LT2_ASSIGN_OR_RETURN(const double measured, events_->Seconds());
    *seconds = Round(measured / n);
  }
#endif
  return absl::OkStatus();
}

absl::StatusOr<Timing> Timer::Measure(const TimerLimits& limits,
                                      const Step& prepare, const Step& call) {
  Timing timing;
  double seconds = 0, wall = 0;
  int calls = 0;
  const double begin = Now();
  // The first call loads kernels and fills the arena, the second one tells how
  // long a call takes. A call too long for two is not warmed up twice.
  for (int warmup = 0; warmup < 2; ++warmup) {
    if (warmup > 0 && std::min(seconds, wall) > limits.seconds) break;
    LT2_RETURN_IF_ERROR(prepare(warmup));
    LT2_RETURN_IF_ERROR(Span(call, calls++, 1, &seconds, &wall));
  }
  if (ctx_.is_cuda()) {
    timing.calls = std::clamp(static_cast<int>(std::ceil(kSpan / seconds)), 1,
                              std::max(1, limits.max_calls));
  }
  timing.clock_mhz[0] = clock_mhz();
  std::vector<double> walls;
  timing.stopped = "samples";
  for (int i = 0; i < limits.max_samples; ++i) {
    LT2_RETURN_IF_ERROR(prepare(2 + i));
    LT2_RETURN_IF_ERROR(Span(call, calls, timing.calls, &seconds, &wall));
    calls += timing.calls;
    timing.samples.push_back(seconds);
    walls.push_back(wall);
    if (timing.samples.size() >= kFewest) {
      LT2_ASSIGN_OR_RETURN(const MedianInterval m, MedianOf(timing.samples));
      if ((m.high - m.low) / 2 < kResolution * m.median) {
        timing.stopped = "resolution";
        break;
      }
    }
    if (Now() - begin + seconds * timing.calls > limits.seconds) {
      timing.stopped = "time";
      break;
    }
  }
  timing.clock_mhz[1] = clock_mhz();
  LT2_ASSIGN_OR_RETURN(const MedianInterval m, MedianOf(walls));
  timing.wall_s = m.median;
  return timing;
}

}  // namespace lt2::bench
