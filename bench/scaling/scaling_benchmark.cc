// The cells of //bench:scaling as Google Benchmarks, for tools that read those:
//
//   bazel run //bench/scaling:scaling_benchmark -- --benchmark_filter=decode
//       --benchmark_repetitions=9 --benchmark_format=json
//
// "decode/gdn/loops:4/batch:1/length:8192". The preset is $LT2_SCALING_PRESET
// (cpu), threads are $LT2_THREADS (1). There is no second way of measuring: one
// iteration is a row of Measurer, its time the row's median, so that
// repetitions are medians. What cannot run is an error that says why.

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "bench/scaling/measure.h"
#include "bench/scaling/results.h"
#include "benchmark/benchmark.h"

namespace lt2::bench {
namespace {

struct Grid {
  Preset preset;
  int threads = 1;
  std::unique_ptr<Measurer> measurer;  // made by the first benchmark that runs
};

void Run(benchmark::State& state, Grid& grid, const Cell& cell) {
  for (auto _ : state) {
    if (grid.measurer == nullptr) {
      auto made = Measurer::Create(grid.preset, grid.threads);
      if (!made.ok()) {
        state.SkipWithError(std::string(made.status().message()).c_str());
        return;
      }
      grid.measurer = *std::move(made);
    }
    const auto row = grid.measurer->Measure(cell, {});
    if (!row.ok() || row->status != Row::kOk) {
      const std::string why =
          row.ok() ? absl::StrCat(NameOf(row->status), ": ", row->message)
                   : std::string(row.status().message());
      state.SkipWithError(why.c_str());
      return;
    }
    const double seconds = MedianSeconds(*row);
    state.SetIterationTime(seconds);
    state.counters["tokens/s"] = TokensOf(*row) / seconds;
    state.counters["FLOP/s"] = static_cast<double>(row->flops) / seconds;
    state.counters["bytes/s"] = static_cast<double>(row->moved_bytes) / seconds;
    state.counters["peak_bytes"] = static_cast<double>(row->peak_bytes);
    state.counters["state_bytes"] = static_cast<double>(row->state_bytes);
  }
}

int Main(int argc, char** argv) {
  const char* name = std::getenv("LT2_SCALING_PRESET");
  const auto preset = MakePreset(name != nullptr ? name : "cpu");
  if (!preset.ok()) {
    std::fprintf(stderr, "LT2_SCALING_PRESET: %s\n",
                 std::string(preset.status().message()).c_str());
    return 1;
  }
  Grid grid;
  grid.preset = *preset;
  if (const char* threads = std::getenv("LT2_THREADS")) {
    grid.threads = std::atoi(threads);
  }
  for (const Cell& cell : CellsOf(*preset)) {
    std::string title = absl::StrCat(NameOf(cell.phase), "/", cell.mixer);
    if (!OfOperator(cell.phase)) absl::StrAppend(&title, "/loops:", cell.loops);
    absl::StrAppend(&title, "/batch:", cell.batch, "/length:", cell.length);
    benchmark::RegisterBenchmark(
        title.c_str(),
        [&grid, cell](benchmark::State& state) { Run(state, grid, cell); })
        ->Iterations(1)
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace lt2::bench

int main(int argc, char** argv) { return lt2::bench::Main(argc, argv); }
