#include "evals/probes/probe.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"

namespace lt2::evals {
namespace {

std::string Footer(const ProbeRun& run) {
  return absl::StrFormat("%s; %s; %s; %.0f s\n", run.command, run.machine,
                         run.build, run.seconds);
}

}  // namespace

std::string ProbeText(const ProbeReport& report, const ProbeRun& run) {
  std::string text = absl::StrCat(report.title, "\n");
  for (const auto& [caption, table] : report.tables) {
    absl::StrAppend(&text, "\n", caption, "\n\n", table.ToText());
  }
  absl::StrAppend(&text, "\n");
  for (const std::string& definition : report.definitions) {
    absl::StrAppend(&text, "  ", definition, "\n");
  }
  return absl::StrCat(text, "\n", Footer(run));
}

std::string ProbeMarkdown(const ProbeReport& report, const ProbeRun& run) {
  std::string text = absl::StrCat("# ", report.title, "\n");
  for (const auto& [caption, table] : report.tables) {
    absl::StrAppend(&text, "\n", caption, "\n\n", table.ToMarkdown());
  }
  absl::StrAppend(&text, "\n");
  for (const std::string& definition : report.definitions) {
    absl::StrAppend(&text, "- ", definition, "\n");
  }
  return absl::StrCat(text, "\n", Footer(run));
}

nlohmann::json ProbeJson(const ProbeReport& report, const ProbeRun& run) {
  return {{"schema_version", kProbeSchemaVersion},
          {"probe", report.probe},
          {"title", report.title},
          {"definitions", report.definitions},
          {"build", run.build},
          {"machine", run.machine},
          {"command", run.command},
          {"seconds", run.seconds},
          {"rows", report.rows}};
}

nlohmann::json JsonNumber(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

absl::Status RunJobs(int64_t n, const ProbeOptions& options,
                     const std::function<absl::Status(int64_t)>& job,
                     const std::function<std::string(int64_t)>& name) {
  std::vector<absl::Status> statuses(n);
  std::atomic<int64_t> next{0}, failed{n};
  absl::Mutex mutex;
  int64_t done = 0;
  auto work = [&] {
    for (int64_t i = next++; i < n && failed == n; i = next++) {
      statuses[i] = job(i);
      if (!statuses[i].ok()) failed = i;
      absl::MutexLock lock(&mutex);
      ++done;
      if (options.progress) {
        options.progress(absl::StrCat(done, " of ", n, ": ", name(i)));
      }
    }
  };
  std::vector<std::thread> threads;
  const int count = static_cast<int>(
      std::max<int64_t>(1, std::min<int64_t>(options.threads, n)));
  for (int i = 0; i < count; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  for (int64_t i = 0; i < n; ++i) {
    if (!statuses[i].ok()) return Annotate(statuses[i], name(i));
  }
  return absl::OkStatus();
}

}  // namespace lt2::evals
