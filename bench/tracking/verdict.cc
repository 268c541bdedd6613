#include "bench/tracking/verdict.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_format.h"

namespace lt2::bench {
namespace {

constexpr double kImplausible = 0.3;

absl::StatusOr<std::vector<double>> LogCosts(const char* what,
                                             const std::vector<double>& values,
                                             bool higher_is_better) {
  std::vector<double> logs;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!(std::isfinite(values[i]) && values[i] > 0)) {
      return InvalidArgument(what, ": sample ", i, " is ", values[i],
                             ", expected a number above 0");
    }
    logs.push_back(higher_is_better ? -std::log(values[i])
                                    : std::log(values[i]));
  }
  if (logs.empty()) return InvalidArgument(what, ": no samples");
  return logs;
}

// z with P(Z <= z) = p of the standard normal, p in (0.5, 1), by bisection.
double NormalQuantile(double p) {
  double low = 0, high = 40;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return low;
}

double Detectable(const Shift& shift) {
  if (!(shift.cost.confidence > 0)) return HUGE_VAL;
  constexpr double kPowerQuantile = 0.8416;  // 80 %
  const double z = NormalQuantile(0.5 + shift.cost.confidence / 2);
  return shift.floor +
         (shift.cost.high - shift.cost.low) / 2 * (1 + kPowerQuantile / z);
}

absl::Status CheckOptions(const VerdictOptions& options) {
  if (!(options.confidence > 0 && options.confidence < 1) ||
      !(options.q > 0 && options.q < 1) ||
      !(options.drift_p >= 0 && options.drift_p < 1)) {
    return InvalidArgument("expected confidence, q and drift_p in (0, 1), got ",
                           options.confidence, ", ", options.q, " and ",
                           options.drift_p);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<double> PracticalFloor(absl::Span<const double> history) {
  for (size_t i = 0; i < history.size(); ++i) {
    if (!(std::isfinite(history[i]) && history[i] > 0)) {
      return InvalidArgument("history: value ", i, " is ", history[i],
                             ", expected a number above 0");
    }
  }
  if (history.size() < kHistoryForFloor) return kYoungFloor;
  std::vector<double> changes;
  for (size_t i = history.size() - kHistoryForFloor + 1; i < history.size();
       ++i) {
    changes.push_back(std::abs(history[i] / history[i - 1] - 1));
  }
  const double q1 = Quantile(changes, 0.25), q3 = Quantile(changes, 0.75);
  return std::max(kLeastFloor, q3 + 3 * (q3 - q1));
}

absl::StatusOr<Shift> MeasureShift(const Sides& sides,
                                   const VerdictOptions& options) {
  LT2_RETURN_IF_ERROR(CheckOptions(options));
  if (!(std::isfinite(sides.floor) && sides.floor > 0)) {
    return InvalidArgument("expected a floor above 0, got ", sides.floor);
  }
  LT2_ASSIGN_OR_RETURN(const std::vector<double> base,
                       LogCosts("base", sides.base, sides.higher_is_better));
  LT2_ASSIGN_OR_RETURN(const std::vector<double> head,
                       LogCosts("head", sides.head, sides.higher_is_better));
  Shift shift;
  shift.floor = std::log1p(sides.floor);
  shift.rounds = static_cast<int>(std::min(base.size(), head.size()));
  if (sides.paired) {
    if (base.size() != head.size()) {
      return InvalidArgument("paired rounds: ", base.size(), " of base and ",
                             head.size(), " of head");
    }
    LT2_ASSIGN_OR_RETURN(const double together, RisesTogether(base, head));
    // The signed-rank test is coarser: with few rounds it cannot give the
    // confidence at all, and then drift has to be borne.
    const double best = 1 - 2 * std::ldexp(1.0, -shift.rounds);
    if (together <= options.drift_p && best >= options.confidence) {
      shift.method = Method::kSignedRank;
    }
  }
  if (shift.method == Method::kSignedRank) {
    std::vector<double> up(base.size()), down(base.size());
    for (size_t i = 0; i < base.size(); ++i) {
      up[i] = head[i] - base[i];
      down[i] = -up[i];
    }
    LT2_ASSIGN_OR_RETURN(shift.cost, PairedShift(up, options.confidence));
    LT2_ASSIGN_OR_RETURN(shift.p_slower, PairedAbove(up, shift.floor));
    LT2_ASSIGN_OR_RETURN(shift.p_faster, PairedAbove(down, shift.floor));
  } else {
    LT2_ASSIGN_OR_RETURN(shift.cost,
                         TwoSampleShift(base, head, options.confidence));
    LT2_ASSIGN_OR_RETURN(shift.p_slower,
                         TwoSampleAbove(base, head, shift.floor));
    LT2_ASSIGN_OR_RETURN(shift.p_faster,
                         TwoSampleAbove(head, base, shift.floor));
  }
  shift.detectable = Detectable(shift);
  return shift;
}

const char* VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSlower:
      return "SLOWER";
    case Verdict::kUnclear:
      return "UNCLEAR";
    case Verdict::kFaster:
      return "FASTER";
    case Verdict::kSame:
      return "SAME";
  }
  return "?";
}

absl::StatusOr<std::vector<Judgement>> Judge(const std::vector<Shift>& shifts,
                                             const VerdictOptions& options) {
  LT2_RETURN_IF_ERROR(CheckOptions(options));
  std::vector<double> slower, faster;
  for (const Shift& shift : shifts) {
    slower.push_back(shift.p_slower);
    faster.push_back(shift.p_faster);
  }
  slower = AdjustForFalseDiscoveries(slower);
  faster = AdjustForFalseDiscoveries(faster);
  std::vector<Judgement> judgements;
  for (size_t i = 0; i < shifts.size(); ++i) {
    const Shift& s = shifts[i];
    Judgement j;
    j.p_slower = slower[i];
    j.p_faster = faster[i];
    j.hint = s.rounds < options.rounds_to_gate;
    if (s.rounds >= options.rounds_to_hint) {
      if (s.cost.low > s.floor && j.p_slower <= options.q) {
        j.verdict = Verdict::kSlower;
      } else if (s.cost.high < -s.floor && j.p_faster <= options.q) {
        j.verdict = Verdict::kFaster;
      } else if (s.cost.low > -s.floor && s.cost.high < s.floor) {
        j.verdict = Verdict::kSame;
      }
    }
    j.implausible = j.verdict == Verdict::kFaster &&
                    s.cost.estimate < std::log1p(-kImplausible);
    judgements.push_back(j);
  }
  return judgements;
}

Verdict Confirmed(Verdict first, Verdict second) {
  return first == second ? first : Verdict::kUnclear;
}

absl::StatusOr<Sides> GeometricMean(const std::vector<Sides>& members) {
  if (members.empty()) return InvalidArgument("a family without members");
  Sides family = members[0];
  size_t bases = family.base.size(), heads = family.head.size();
  for (const Sides& member : members) {
    bases = std::min(bases, member.base.size());
    heads = std::min(heads, member.head.size());
    family.floor = std::min(family.floor, member.floor);
    family.paired = family.paired && member.paired;
  }
  std::vector<double> base(bases), head(heads);
  for (const Sides& member : members) {
    LT2_ASSIGN_OR_RETURN(
        const std::vector<double> b,
        LogCosts("base", member.base, member.higher_is_better));
    LT2_ASSIGN_OR_RETURN(
        const std::vector<double> h,
        LogCosts("head", member.head, member.higher_is_better));
    for (size_t i = 0; i < bases; ++i) base[i] += b[i];
    for (size_t i = 0; i < heads; ++i) head[i] += h[i];
  }
  const double count = static_cast<double>(members.size());
  for (double& x : base) x = std::exp(x / count);
  for (double& x : head) x = std::exp(x / count);
  family.base = std::move(base);
  family.head = std::move(head);
  family.paired = family.paired && bases == heads;
  family.higher_is_better = false;  // costs now
  return family;
}

std::vector<double> AdjustForFalseDiscoveries(
    const std::vector<double>& p_values) {
  std::vector<size_t> order(p_values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return p_values[a] > p_values[b]; });
  std::vector<double> adjusted(p_values.size());
  double least = 1;
  for (size_t place = 0; place < order.size(); ++place) {
    least = std::min(least, p_values[order[place]] *
                                static_cast<double>(order.size()) /
                                static_cast<double>(order.size() - place));
    adjusted[order[place]] = least;
  }
  return adjusted;
}

std::string Percent(double log_change) {
  return absl::StrFormat("%+.2f %%", 100 * std::expm1(log_change));
}

}  // namespace lt2::bench
