// Reads what Google Benchmark writes with --benchmark_format=json.
//
// A name such as "cuda/forward/batch:16/2048/real_time" becomes the benchmark
// "cuda/forward" with parameters batch = 16 and arg0 = 2048 (places without a
// name are counted); how long and how often it ran (min_time, repeats, ...) is
// no parameter. The suite is the program's name. Aggregates (mean, stddev) are
// left out: the tool makes its own. A benchmark that failed has one sample NaN.

#ifndef LT2_BENCH_TRACKING_GOOGLE_BENCHMARK_H_
#define LT2_BENCH_TRACKING_GOOGLE_BENCHMARK_H_

#include <map>
#include <string>
#include <vector>

#include "bench/tracking/records.h"

namespace lt2::bench {

struct GoogleBenchmarkOptions {
  // "real_time", "cpu_time" or a counter. Counters are better if higher when
  // they end with "_per_second" or "/s".
  std::string metric = "real_time";
  // kProcess: one sample, the median of the repetitions. kRepetition: each
  // repetition, where there is only one process.
  Sampling sampling = Sampling::kProcess;
  // Of every record. num_cpus and library_build_type are added.
  std::map<std::string, std::string> machine, build;
  std::string commit;
};

absl::StatusOr<std::vector<Record>> ParseGoogleBenchmark(
    absl::string_view text, absl::string_view source,
    const GoogleBenchmarkOptions& options);

// Whether the text is one JSON object with "benchmarks", not lines of records.
bool LooksLikeGoogleBenchmark(absl::string_view text);

}  // namespace lt2::bench

#endif  // LT2_BENCH_TRACKING_GOOGLE_BENCHMARK_H_
