#include "evals/curricula/comparison.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "evals/curricula/report.h"

namespace lt2::evals {
namespace {

using Cells = std::map<std::pair<std::string, int64_t>, Runs>;

Cells CellsOf(const Results& results) {
  Cells cells;
  for (const RunOutcome& run : results.runs) {
    cells[{run.label(), run.column}].push_back(&run);
  }
  return cells;
}

// Why the cells cannot be compared, or "".
std::string Mismatch(const Runs& base, const Runs& head) {
  for (const RunOutcome* a : base) {
    for (const RunOutcome* b : head) {
      if (a->seed == b->seed && a->config_digest != b->config_digest) {
        return absl::StrCat("seed ", a->seed, " has another configuration");
      }
    }
  }
  return "";
}

bool SameLogs(const Runs& base, const Runs& head) {
  if (base.size() != head.size()) return false;
  for (const RunOutcome* a : base) {
    const bool found =
        std::any_of(head.begin(), head.end(), [&](const RunOutcome* b) {
          return a->seed == b->seed && a->status == RunStatus::kDone &&
                 b->status == RunStatus::kDone && !a->log_digest.empty() &&
                 a->log_digest == b->log_digest;
        });
    if (!found) return false;
  }
  return true;
}

absl::Status MeasureCell(SuccessComparison* c) {
  LT2_ASSIGN_OR_RETURN(const FisherResult fisher,
                       FisherExact(c->head, c->head_seeds - c->head, c->base,
                                   c->base_seeds - c->base));
  c->p_worse = fisher.less;
  c->p_better = fisher.greater;
  LT2_ASSIGN_OR_RETURN(const Interval base,
                       WilsonInterval(c->base, c->base_seeds));
  LT2_ASSIGN_OR_RETURN(const Interval head,
                       WilsonInterval(c->head, c->head_seeds));
  const double d = head.estimate - base.estimate;
  c->difference = {
      d, d - std::hypot(head.estimate - head.low, base.high - base.estimate),
      d + std::hypot(head.high - head.estimate, base.estimate - base.low)};
  for (int64_t k = 0; k <= c->head_seeds; ++k) {
    LT2_ASSIGN_OR_RETURN(
        const FisherResult test,
        FisherExact(k, c->head_seeds - k, c->base, c->base_seeds - c->base));
    if (test.less > 0.05) break;
    c->detectable = k;
  }
  return absl::OkStatus();
}

}  // namespace

const char* SuccessVerdictName(SuccessVerdict verdict) {
  switch (verdict) {
    case SuccessVerdict::kWorse:
      return "WORSE";
    case SuccessVerdict::kMissing:
      return "MISSING";
    case SuccessVerdict::kUnclear:
      return "UNCLEAR";
    case SuccessVerdict::kBetter:
      return "BETTER";
    case SuccessVerdict::kSame:
      return "SAME";
    case SuccessVerdict::kIdentical:
      return "IDENTICAL";
  }
  return "";
}

absl::StatusOr<std::vector<SuccessComparison>> CompareSuccesses(
    const Results& base, const Results& head, const SuccessOptions& options) {
  if (base.preset != head.preset || base.measure != head.measure ||
      base.columns != head.columns) {
    return InvalidArgument("results of the presets '", base.preset, "' and '",
                           head.preset, "' cannot be compared");
  }
  if (options.success <= 0 && base.success != head.success) {
    return InvalidArgument("base counts ", base.success, " as success, head ",
                           head.success);
  }
  const double success = options.success > 0 ? options.success : base.success;
  if (success <= 0) {
    return InvalidArgument("preset '", base.preset, "' names no success");
  }
  const Cells bases = CellsOf(base), heads = CellsOf(head);
  std::vector<SuccessComparison> result;
  for (const auto& [key, runs] : bases) {
    SuccessComparison c;
    c.label = key.first;
    c.column = key.second;
    const auto found = heads.find(key);
    if (found == heads.end()) {
      c.reason = "vanished: not in head";
    } else {
      c.reason = Mismatch(runs, found->second);
      const SuccessCount before = CountSuccesses(runs, base.measure, success);
      const SuccessCount after =
          CountSuccesses(found->second, head.measure, success);
      c.base = before.reached;
      c.base_seeds = before.decided;
      c.head = after.reached;
      c.head_seeds = after.decided;
      if (c.reason.empty() && (c.base_seeds == 0 || c.head_seeds == 0)) {
        c.reason = "no seed is decided";
      }
    }
    if (c.reason.empty()) {
      LT2_RETURN_IF_ERROR(MeasureCell(&c));
      c.verdict = SameLogs(runs, found->second) ? SuccessVerdict::kIdentical
                                                : SuccessVerdict::kUnclear;
    }
    result.push_back(std::move(c));
  }
  for (const auto& [key, runs] : heads) {
    if (bases.count(key) != 0) continue;
    SuccessComparison c;
    c.label = key.first;
    c.column = key.second;
    c.reason = "new: not in base";
    c.is_new = true;
    result.push_back(std::move(c));
  }
  std::vector<SuccessComparison*> open;
  std::vector<double> worse, better;
  for (SuccessComparison& c : result) {
    if (c.verdict != SuccessVerdict::kUnclear) continue;
    open.push_back(&c);
    worse.push_back(c.p_worse);
    better.push_back(c.p_better);
  }
  LT2_ASSIGN_OR_RETURN(worse, AdjustForFalseDiscoveries(worse));
  LT2_ASSIGN_OR_RETURN(better, AdjustForFalseDiscoveries(better));
  for (size_t i = 0; i < open.size(); ++i) {
    SuccessComparison& c = *open[i];
    c.p_worse = worse[i];
    c.p_better = better[i];
    if (c.p_worse <= options.q) {
      c.verdict = SuccessVerdict::kWorse;
    } else if (c.p_better <= options.q) {
      c.verdict = SuccessVerdict::kBetter;
    } else if (c.difference.low > -options.floor &&
               c.difference.high < options.floor) {
      c.verdict = SuccessVerdict::kSame;
    }
  }
  std::stable_sort(result.begin(), result.end(),
                   [](const SuccessComparison& a, const SuccessComparison& b) {
                     return a.verdict < b.verdict;
                   });
  return result;
}

}  // namespace lt2::evals
