#include "evals/comparison/compare.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "evals/stats/distributions.h"

namespace lt2::evals {
namespace {

// The same examples of both sides, in the order of their indices.
struct Pairs {
  std::vector<ResultItem> base, head;
};

Pairs Common(const ResultRow& base, const ResultRow& head) {
  Pairs pairs;
  auto b = base.items.begin();
  auto h = head.items.begin();
  while (b != base.items.end() && h != head.items.end()) {
    if (b->index < h->index) {
      ++b;
    } else if (h->index < b->index) {
      ++h;
    } else {
      pairs.base.push_back(*b++);
      pairs.head.push_back(*h++);
    }
  }
  return pairs;
}

// Why the rows' examples are not the same, or "".
std::string Mismatch(const ResultRow& base, const ResultRow& head) {
  const auto differ = [](const char* what, const auto& a, const auto& b) {
    return absl::StrCat(what, " differs: ", a, " and ", b);
  };
  if (base.metric != head.metric) {
    return differ("metric", base.metric, head.metric);
  }
  if (base.task_version != head.task_version) {
    return differ("task_version", base.task_version, head.task_version);
  }
  if (base.data_digest != head.data_digest) {
    return differ("data_digest", base.data_digest, head.data_digest);
  }
  if (base.seed != head.seed) return differ("seed", base.seed, head.seed);
  return "";
}

bool SameBits(const Pairs& pairs) {
  for (size_t i = 0; i < pairs.base.size(); ++i) {
    const ResultItem &a = pairs.base[i], &b = pairs.head[i];
    if (a.scored != b.scored || a.correct != b.correct ||
        std::bit_cast<uint64_t>(a.nll) != std::bit_cast<uint64_t>(b.nll)) {
      return false;
    }
  }
  return true;
}

double Numerator(const ResultItem& item, bool accuracy) {
  return accuracy ? static_cast<double>(item.correct)
                  : item.nll / std::log(2.0);
}

// Everything of a pair but the verdict, which needs all pairs.
absl::Status Measure(const Pairs& pairs, const CompareOptions& options,
                     Comparison* c) {
  const bool accuracy = c->metric == "accuracy";
  std::vector<double> num_a, num_b, den_a, den_b;
  double sums[4] = {};
  for (size_t i = 0; i < pairs.base.size(); ++i) {
    const ResultItem &a = pairs.base[i], &b = pairs.head[i];
    num_a.push_back(Numerator(a, accuracy));
    num_b.push_back(Numerator(b, accuracy));
    den_a.push_back(static_cast<double>(a.scored));
    den_b.push_back(static_cast<double>(b.scored));
    sums[0] += num_a.back();
    sums[1] += den_a.back();
    sums[2] += num_b.back();
    sums[3] += den_b.back();
    if (a.correct == a.scored && b.correct < b.scored) ++c->only_base;
    if (b.correct == b.scored && a.correct < a.scored) ++c->only_head;
  }
  c->base = sums[0] / sums[1];
  c->head = sums[2] / sums[3];
  c->floor = accuracy ? options.accuracy_floor : options.bits_floor * c->base;
  LT2_ASSIGN_OR_RETURN(
      const PairedDifference difference,
      PairedRatioBootstrap(num_a, den_a, num_b, den_b, options.bootstrap));
  c->difference = difference;
  c->p_value = difference.p_value;
  // The interval's half width is z_0.975 standard errors.
  const double z = NormalQuantile(0.5 + options.bootstrap.confidence / 2);
  c->detectable = (NormalQuantile(0.975) + NormalQuantile(0.8)) *
                  (difference.high - difference.low) / (2 * z);
  LT2_ASSIGN_OR_RETURN(const McNemarResult whole,
                       McNemar(c->only_base, c->only_head, c->n));
  c->mcnemar_p = whole.p_value;
  return absl::OkStatus();
}

Verdict Judge(const Comparison& c, double q) {
  const double sign = c.higher_is_better ? 1 : -1;
  const double low =
      std::min(sign * c.difference.low, sign * c.difference.high);
  const double high =
      std::max(sign * c.difference.low, sign * c.difference.high);
  if (high < -c.floor && c.p_value <= q) return Verdict::kWorse;
  if (low > c.floor && c.p_value <= q) return Verdict::kBetter;
  if (low > -c.floor && high < c.floor) return Verdict::kSame;
  return Verdict::kUnclear;
}

Comparison OneSided(const ResultRow& row, const std::string& reason) {
  Comparison c;
  c.task = row.task;
  c.base_label = c.head_label = row.label();
  c.metric = row.metric;
  c.reason = reason;
  return c;
}

class Comparer {
 public:
  Comparer(const ResultsFile& base, const ResultsFile& head,
           const CompareOptions& options)
      : base_(base), head_(head), options_(options) {}

  absl::StatusOr<std::vector<Comparison>> Run() {
    if (options_.base_model.empty() != options_.head_model.empty()) {
      return InvalidArgument("expected a model of both sides, got '",
                             options_.base_model, "' and '",
                             options_.head_model, "'");
    }
    std::vector<bool> used(head_.rows.size());
    for (const ResultRow& base : base_.rows) {
      if (!Wanted(base, options_.base_model)) continue;
      LT2_RETURN_IF_ERROR(AddBase(base, &used));
    }
    for (size_t i = 0; i < used.size(); ++i) {
      if (used[i] || !Wanted(head_.rows[i], options_.head_model)) continue;
      result_.push_back(
          OneSided(head_.rows[i], absl::StrCat("new: not in ", base_.source)));
    }
    if (result_.empty()) {
      return InvalidArgument("no row of model '", options_.base_model, "' in ",
                             base_.source, " nor of '", options_.head_model,
                             "' in ", head_.source);
    }
    LT2_RETURN_IF_ERROR(JudgeAll());
    return std::move(result_);
  }

 private:
  static bool Wanted(const ResultRow& row, const std::string& model) {
    return model.empty() || row.model == model || row.label() == model;
  }

  absl::Status AddBase(const ResultRow& base, std::vector<bool>* used) {
    for (size_t i = 0; i < head_.rows.size(); ++i) {
      const ResultRow& head = head_.rows[i];
      const bool partner =
          options_.head_model.empty()
              ? head.model == base.model && head.loops == base.loops
              : Wanted(head, options_.head_model);
      if ((*used)[i] || head.task != base.task || !partner) continue;
      (*used)[i] = true;
      return AddPair(base, head);
    }
    result_.push_back(
        OneSided(base, absl::StrCat("vanished: not in ", head_.source)));
    return absl::OkStatus();
  }

  absl::Status AddPair(const ResultRow& base, const ResultRow& head) {
    Comparison c;
    c.task = base.task;
    c.base_label = base.label();
    c.head_label = head.label();
    c.metric = base.metric;
    c.higher_is_better = base.higher_is_better;
    c.reason = Mismatch(base, head);
    const Pairs pairs = Common(base, head);
    c.n = static_cast<int64_t>(pairs.base.size());
    if (c.reason.empty() && c.n == 0) c.reason = "no example in common";
    for (size_t i = 0; i < pairs.base.size() && c.reason.empty(); ++i) {
      if (pairs.base[i].scored != pairs.head[i].scored) {
        c.reason = absl::StrCat("example ", pairs.base[i].index, " has ",
                                pairs.base[i].scored, " and ",
                                pairs.head[i].scored, " scored positions");
      } else if (!std::isfinite(pairs.base[i].nll) ||
                 !std::isfinite(pairs.head[i].nll)) {
        c.reason = absl::StrCat("example ", pairs.base[i].index,
                                " has no finite score");
      }
    }
    if (c.reason.empty()) {
      LT2_RETURN_IF_ERROR(Measure(pairs, options_, &c));
      c.verdict = SameBits(pairs) ? Verdict::kIdentical : Verdict::kUnclear;
    }
    result_.push_back(std::move(c));
    return absl::OkStatus();
  }

  absl::Status JudgeAll() {
    std::vector<Comparison*> open;
    std::vector<double> p_values;
    for (Comparison& c : result_) {
      if (c.verdict != Verdict::kUnclear) continue;
      open.push_back(&c);
      p_values.push_back(c.p_value);
    }
    LT2_ASSIGN_OR_RETURN(const std::vector<double> adjusted,
                         AdjustForFalseDiscoveries(p_values));
    for (size_t i = 0; i < open.size(); ++i) {
      open[i]->p_value = adjusted[i];
      open[i]->verdict = Judge(*open[i], options_.q);
    }
    std::stable_sort(result_.begin(), result_.end(),
                     [](const Comparison& a, const Comparison& b) {
                       return a.verdict > b.verdict;
                     });
    return absl::OkStatus();
  }

  const ResultsFile &base_, &head_;
  const CompareOptions& options_;
  std::vector<Comparison> result_;
};

}  // namespace

const char* VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kIdentical:
      return "IDENTICAL";
    case Verdict::kSame:
      return "SAME";
    case Verdict::kBetter:
      return "BETTER";
    case Verdict::kUnclear:
      return "UNCLEAR";
    case Verdict::kWorse:
      return "WORSE";
    case Verdict::kMissing:
      return "MISSING";
  }
  return "";
}

absl::StatusOr<std::vector<Comparison>> Compare(const ResultsFile& base,
                                                const ResultsFile& head,
                                                const CompareOptions& options) {
  return Comparer(base, head, options).Run();
}

int ExitCode(const std::vector<Comparison>& comparisons) {
  int compared = 0, unclear = 0;
  for (const Comparison& c : comparisons) {
    if (c.verdict == Verdict::kWorse) return 1;
    compared += c.verdict != Verdict::kMissing;
    unclear += c.verdict == Verdict::kUnclear;
  }
  if (compared == 0) return 2;
  return unclear > 0 ? 3 : 0;
}

}  // namespace lt2::evals
