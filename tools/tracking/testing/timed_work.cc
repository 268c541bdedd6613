// A benchmark program to try the tracking of speed on, with nothing in it but
// work of known length: it writes what Google Benchmark would.
//
//   timed_work --benchmark_out=FILE [--benchmark_filter=REGEX]
//
// has two benchmarks, "chain/1" and "chain/2", a chain of dependent integer
// operations of 1 and 2 units. LT2_TIMED_WORK_PERMILLE, a define of the build,
// is how many thousandths of work chain/2 has too much, as if a commit had
// slowed it.
//
// By default the time is real: the median of 25 repetitions. With
// LT2_TIMED_WORK_NOISE=FILE in the environment the clock is virtual, for tests
// that must say the same on any machine: the time of a unit is 1 ms times a
// factor drawn from the file (one factor a line, recorded from real processes),
// a pure function of the process's number LT2_TRACK_PROCESS, which
// //tools:track sets, and LT2_TIMED_WORK_SEED.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <regex>
#include <string>
#include <vector>

#include "kernels/core/philox.h"

#ifndef LT2_TIMED_WORK_PERMILLE
#define LT2_TIMED_WORK_PERMILLE 0
#endif

namespace {

constexpr int64_t kSteps = 400000;  // of a unit, about 1 ms
constexpr int kRepetitions = 25;

int64_t Steps(int units) {
  const int64_t steps = units * kSteps;
  return units == 2 ? steps + steps * LT2_TIMED_WORK_PERMILLE / 1000 : steps;
}

// Nanoseconds of one run of `steps` steps of xorshift.
double RealTime(int64_t steps) {
  std::vector<double> times;
  volatile uint64_t sink = 88172645463325252u;
  for (int i = 0; i < kRepetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    uint64_t x = sink;
    for (int64_t step = 0; step < steps; ++step) {
      x ^= x << 13;
      x ^= x >> 7;
      x ^= x << 17;
    }
    sink = x;
    const std::chrono::duration<double, std::nano> time =
        std::chrono::steady_clock::now() - start;
    times.push_back(time.count());
  }
  std::nth_element(times.begin(), times.begin() + kRepetitions / 2,
                   times.end());
  return times[kRepetitions / 2];
}

uint64_t Number(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? 0 : std::strtoull(value, nullptr, 10);
}

double VirtualTime(int64_t steps, int units, const char* noise_file) {
  std::vector<double> factors;
  std::ifstream file(noise_file);
  for (double factor; file >> factor;) factors.push_back(factor);
  if (factors.empty()) {
    std::fprintf(stderr, "timed_work: no factors in %s\n", noise_file);
    std::exit(1);
  }
  lt2::Philox rng(Number("LT2_TIMED_WORK_SEED"),
                  Number("LT2_TRACK_PROCESS") * 2 + units - 1);
  const double factor = factors[static_cast<size_t>(
      rng.Below(static_cast<int64_t>(factors.size())))];
  return 1e6 * factor * static_cast<double>(steps) / kSteps;
}

// The value of --NAME=VALUE, or "".
std::string Flag(int argc, char** argv, const std::string& name) {
  const std::string prefix = "--" + name + "=";
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind(prefix, 0) == 0) return argument.substr(prefix.size());
  }
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  const std::string path = Flag(argc, argv, "benchmark_out");
  const std::regex filter(Flag(argc, argv, "benchmark_filter"));
  const char* noise = std::getenv("LT2_TIMED_WORK_NOISE");
  std::string rows;
  for (int units = 1; units <= 2; ++units) {
    const std::string name = "chain/" + std::to_string(units);
    if (!std::regex_search(name, filter)) continue;
    const int64_t steps = Steps(units);
    const double time =
        noise == nullptr ? RealTime(steps) : VirtualTime(steps, units, noise);
    char row[200];
    std::snprintf(
        row, sizeof(row),
        "%s\n  {\"name\": \"%s\", \"run_name\": \"%s\", \"run_type\": "
        "\"iteration\", \"real_time\": %.17g, \"time_unit\": \"ns\"}",
        rows.empty() ? "" : ",", name.c_str(), name.c_str(), time);
    rows += row;
  }
  std::FILE* file = path.empty() ? stdout : std::fopen(path.c_str(), "w");
  if (file == nullptr) return 1;
  std::fprintf(file,
               "{\"context\": {\"executable\": \"timed_work\"},\n"
               "\"benchmarks\": [%s]}\n",
               rows.c_str());
  return std::fclose(file) == 0 ? 0 : 1;
}
