#include "bench/scaling/run.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/scaling/report.h"
#include "kernels/core/json/strict_json.h"
#include "model/io/atomic_file.h"

namespace lt2::bench {
namespace {

double Now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

double Load() {
  double load = 0;
  return getloadavg(&load, 1) == 1 ? load : 0;
}

}  // namespace

absl::StatusOr<RunSummary> RunPreset(const Preset& preset,
                                     const RunOptions& options) {
  const double start = Now();
  for (const std::string& mixer : preset.mixers) {
    LT2_RETURN_IF_ERROR(ConfigOf(preset, mixer).status());
  }
  LT2_ASSIGN_OR_RETURN(const auto measurer,
                       Measurer::Create(preset, options.threads));
  Results results;
  results.preset = preset;
  results.device = preset.device == Device::kCPU ? "cpu" : "cuda";
  results.processor = measurer->ctx().info().name;
  results.threads = options.threads;
  results.build = absl::StrCat("g++ ", __VERSION__);
  results.command = options.command;
  results.load[0] = Load();

  const std::string path = absl::StrCat(options.out, "/scaling.json");
  RunSummary summary;
  if (access(path.c_str(), F_OK) == 0) {
    LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
    LT2_ASSIGN_OR_RETURN(const nlohmann::json file, ParseJson(text, path));
    LT2_RETURN_IF_ERROR(Annotate(TakeRows(file, &results), path));
  }
  const double earlier = results.seconds;
  double written = start;
  auto write = [&] {
    results.seconds = earlier + Now() - start;
    results.load[1] = Load();
    written = Now();
    return model::WriteFileAtomically(path, ToText(ToJson(results)));
  };
  for (const Cell& cell : CellsOf(preset)) {
    if (results.rows.count(cell.Key()) > 0) {
      ++summary.taken;
      continue;
    }
    if (Now() - start > preset.total_seconds) {
      ++summary.pending;
      continue;
    }
    LT2_ASSIGN_OR_RETURN(const Row row, measurer->Measure(cell, results.rows));
    ++summary.measured;
    if (options.progress) {
      options.progress(row.status == Row::kOk
                           ? absl::StrFormat("%-28s %s", cell.Key(),
                                             ShortSeconds(MedianSeconds(row)))
                           : absl::StrFormat("%-28s %s: %s", cell.Key(),
                                             NameOf(row.status), row.message));
    }
    results.rows[cell.Key()] = row;
    // An interrupted run loses a few seconds of work.
    if (Now() - written > 5) LT2_RETURN_IF_ERROR(write());
  }
  LT2_RETURN_IF_ERROR(write());
  LT2_RETURN_IF_ERROR(model::WriteFileAtomically(
      absl::StrCat(options.out, "/scaling.md"), ToMarkdown(results)));
  for (const auto& [name, figure] : Figures(results)) {
    const auto svg = RenderSvg(figure);
    if (!svg.ok()) {
      summary.notes = absl::StrCat("no figures: ", svg.status().message());
      break;
    }
    LT2_RETURN_IF_ERROR(
        model::WriteFileAtomically(absl::StrCat(options.out, "/", name), *svg));
  }
  return summary;
}

}  // namespace lt2::bench
