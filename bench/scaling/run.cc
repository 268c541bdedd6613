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
  results.driver = measurer->facts().driver;
  results.build = absl::StrCat("g++ ", __VERSION__);

  const std::string path = absl::StrCat(options.out, "/scaling.json");
  RunSummary summary;
  if (access(path.c_str(), F_OK) == 0) {
    LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
    LT2_ASSIGN_OR_RETURN(const nlohmann::json file, ParseJson(text, path));
    LT2_RETURN_IF_ERROR(
        Annotate(TakeRows(file, options.keep_errors, &results), path));
  }
  // A row that another process has measured is left alone, unless the preset
  // wants the medians of more.
  auto done = [&](const Cell& cell) {
    const auto found = results.rows.find(cell.Key());
    if (found == results.rows.end()) return false;
    return found->second.status != Row::kOk ||
           static_cast<int>(found->second.process_medians.size()) >=
               preset.processes;
  };
  int left = 0;
  for (const Cell& cell : CellsOf(preset)) {
    if (done(cell))
      ++summary.taken;
    else
      ++left;
  }
  if (left > 0) {
    results.runs.emplace_back();
    RunInfo* const run = &results.runs.back();
    run->command = options.command;
    run->load[0] = Load();
    if (preset.total_seconds > 0) {
      LT2_ASSIGN_OR_RETURN(run->ceilings, measurer->MeasureCeilings());
    }
    if (options.progress) {
      options.progress(absl::StrFormat("ceilings: %.3g TFLOP/s, %.3g GB/s",
                                       run->ceilings.flops_per_s / 1e12,
                                       run->ceilings.bytes_per_s / 1e9));
    }
    double written = start;
    auto write = [&] {
      run->seconds = Now() - start;
      run->load[1] = Load();
      written = Now();
      return model::WriteFileAtomically(path, ToText(ToJson(results)));
    };
    for (const Cell& cell : CellsOf(preset)) {
      if (done(cell)) continue;
      if (summary.device_lost || Now() - start > preset.total_seconds) {
        ++summary.pending;
        continue;
      }
      LT2_ASSIGN_OR_RETURN(Row row, measurer->Measure(cell, results.rows));
      ++summary.measured;
      row.run = static_cast<int>(results.runs.size()) - 1;
      if (options.progress) {
        options.progress(row.status == Row::kOk
                             ? absl::StrFormat("%-36s %s", cell.Key(),
                                               ShortSeconds(MedianSeconds(row)))
                             : absl::StrFormat("%-36s %s: %s", cell.Key(),
                                               NameOf(row.status),
                                               row.message));
      }
      // What other processes measured stays, whatever became of this one.
      const auto earlier = results.rows.find(cell.Key());
      if (earlier == results.rows.end()) {
        results.rows[cell.Key()] = row;
      } else if (row.status == Row::kOk) {
        const std::vector<double>& medians = earlier->second.process_medians;
        row.process_medians.insert(row.process_medians.begin(), medians.begin(),
                                   medians.end());
        earlier->second = row;
      }
      if (measurer->device_lost()) {
        summary.device_lost = true;
        // What took the device away would do so again, a few seconds each time.
        for (const Cell& other : CellsOf(preset)) {
          if (other.mixer != cell.mixer || done(other) ||
              OfOperator(other.phase) != OfOperator(cell.phase)) {
            continue;
          }
          Row& skipped = results.rows[other.Key()];
          if (skipped.status != Row::kOk || skipped.samples.empty()) {
            skipped.cell = other;
            skipped.status = Row::kError;
            skipped.message =
                absl::StrCat("not tried: the device failed at ", cell.Key());
          }
        }
      }
      // An interrupted run loses a few seconds of work.
      if (Now() - written > 5) LT2_RETURN_IF_ERROR(write());
    }
    LT2_RETURN_IF_ERROR(write());
  }
  LT2_ASSIGN_OR_RETURN(summary.notes, WriteReport(results, options.out));
  return summary;
}

absl::StatusOr<std::string> WriteReport(const Results& results,
                                        const std::string& folder) {
  LT2_RETURN_IF_ERROR(model::WriteFileAtomically(
      absl::StrCat(folder, "/scaling.md"), ToMarkdown(results)));
  for (const auto& [name, figure] : Figures(results)) {
    const auto svg = RenderSvg(figure);
    if (!svg.ok()) {
      return absl::StrCat("no figures: ", svg.status().message());
    }
    LT2_RETURN_IF_ERROR(
        model::WriteFileAtomically(absl::StrCat(folder, "/", name), *svg));
  }
  return std::string();
}

absl::StatusOr<std::string> RenderFolder(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/scaling.json");
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
  LT2_ASSIGN_OR_RETURN(const nlohmann::json file, ParseJson(text, path));
  const auto results = ResultsFromJson(file);
  LT2_RETURN_IF_ERROR(Annotate(results.status(), path));
  return WriteReport(*results, folder);
}

}  // namespace lt2::bench
