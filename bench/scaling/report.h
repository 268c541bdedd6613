// Tables and figures of scaling results, for people.

#ifndef LT2_BENCH_SCALING_REPORT_H_
#define LT2_BENCH_SCALING_REPORT_H_

#include <string>
#include <utility>
#include <vector>

#include "bench/scaling/results.h"
#include "kernels/core/figure/figure.h"

namespace lt2::bench {

// Times, memory, exponents and crossovers, as Markdown.
std::string ToMarkdown(const Results& results);

// Of the first batch size, with file names: time against length for each T and
// phase, cost against T, memory.
std::vector<std::pair<std::string, Figure>> Figures(const Results& results);

// 0.00123 -> "1.23 ms"; 1234567 bytes -> "1.23 MB".
std::string ShortSeconds(double seconds);
std::string ShortBytes(double bytes);

}  // namespace lt2::bench

#endif  // LT2_BENCH_SCALING_REPORT_H_
