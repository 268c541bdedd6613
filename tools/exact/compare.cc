#include "tools/exact/compare.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "evals/stats/table.h"

namespace lt2::tools {
namespace {

using evals::Align;

Difference::Kind KindOf(const Quantity& pinned, const Quantity& now) {
  if (!pinned.is_number || !now.is_number) return Difference::kChanged;
  return now.number > pinned.number ? Difference::kGrew : Difference::kShrank;
}

// How many times larger; growth from zero is the largest.
double Ratio(const Difference& d) {
  if (d.kind != Difference::kGrew && d.kind != Difference::kShrank) return 1;
  if (d.pinned.number == 0) return 1e18;
  return static_cast<double>(d.now.number) /
         static_cast<double>(d.pinned.number);
}

void CompareEntries(const std::string& name, const Entry* pinned,
                    const Entry* now, std::vector<Difference>* out) {
  // Of a whole entry one line tells enough.
  constexpr char kAll[] = "(all of it)";
  if (now == nullptr) {
    out->push_back({Difference::kVanished, name, kAll, {}, {}});
    return;
  }
  if (pinned == nullptr) {
    out->push_back({Difference::kNew, name, kAll, {}, {}});
    return;
  }
  const Entry &before = *pinned, &after = *now;
  for (const auto& [key, old] : before) {
    const auto found = after.find(key);
    if (found == after.end()) {
      out->push_back({Difference::kVanished, name, key, old, Quantity()});
    } else if (!(found->second == old)) {
      out->push_back(
          {KindOf(old, found->second), name, key, old, found->second});
    }
  }
  for (const auto& [key, value] : after) {
    if (before.count(key) != 0) continue;
    out->push_back({Difference::kNew, name, key, Quantity(), value});
  }
}

void WorstFirst(std::vector<Difference>* differences) {
  using Rank = std::tuple<int, double>;
  const auto rank = [](const Difference& d) { return Rank(d.kind, -Ratio(d)); };
  std::map<std::string, Rank> worst;
  for (const Difference& d : *differences) {
    const auto [at, inserted] = worst.emplace(d.entry, rank(d));
    if (!inserted) at->second = std::min(at->second, rank(d));
  }
  std::stable_sort(differences->begin(), differences->end(),
                   [&](const Difference& a, const Difference& b) {
                     return std::make_tuple(worst[a.entry], a.entry, rank(a)) <
                            std::make_tuple(worst[b.entry], b.entry, rank(b));
                   });
}

std::string Environment(const std::map<std::string, std::string>& values) {
  if (values.empty()) return "none";
  return absl::StrJoin(values, ", ", absl::PairFormatter(" "));
}

const Section* Find(const Record& record, const std::string& name) {
  const auto found = record.find(name);
  return found == record.end() ? nullptr : &found->second;
}

SectionVerdict CompareSection(const std::string& name, const Section* pinned,
                              const Section* now, const std::string* why) {
  SectionVerdict verdict;
  verdict.section = name;
  const auto skip = [&](const std::string& reason) {
    verdict.outcome = SectionVerdict::kSkipped;
    verdict.why = reason;
    return verdict;
  };
  if (pinned != nullptr) {
    for (const auto& [entry, quantities] : pinned->entries) {
      verdict.quantities += quantities.size();
    }
  }
  if (why != nullptr) return skip(*why);
  if (pinned == nullptr) return skip("nothing is pinned yet");
  if (now != nullptr && now->environment != pinned->environment) {
    return skip(absl::StrCat("pinned with ", Environment(pinned->environment),
                             "; here it is ", Environment(now->environment)));
  }
  static const Section& none = *new Section;
  const Section& after = now == nullptr ? none : *now;
  std::set<std::string> names;
  for (const auto& [entry, ignored] : pinned->entries) names.insert(entry);
  for (const auto& [entry, ignored] : after.entries) names.insert(entry);
  for (const std::string& entry : names) {
    const auto a = pinned->entries.find(entry);
    const auto b = after.entries.find(entry);
    CompareEntries(entry, a == pinned->entries.end() ? nullptr : &a->second,
                   b == after.entries.end() ? nullptr : &b->second,
                   &verdict.differences);
  }
  WorstFirst(&verdict.differences);
  if (!verdict.differences.empty()) {
    verdict.outcome = SectionVerdict::kDiffers;
  }
  return verdict;
}

}  // namespace

std::string Difference::Change() const {
  switch (kind) {
    case kChanged:
      return "changed";
    case kVanished:
      return "vanished";
    case kNew:
      return "new";
    case kGrew:
    case kShrank:
      break;
  }
  if (pinned.number == 0) return "from zero";
  return absl::StrFormat("%+.1f %%", 100 * (Ratio(*this) - 1));
}

std::vector<SectionVerdict> Compare(const Record& pinned,
                                    const Measured& measured) {
  std::vector<SectionVerdict> verdicts;
  for (const std::string& name : SectionNames()) {
    const auto why = measured.unavailable.find(name);
    verdicts.push_back(CompareSection(
        name, Find(pinned, name), Find(measured.record, name),
        why == measured.unavailable.end() ? nullptr : &why->second));
  }
  return verdicts;
}

std::string VerdictText(const SectionVerdict& verdict, size_t max_rows) {
  if (verdict.outcome == SectionVerdict::kSkipped) {
    return absl::StrCat(verdict.section, ": SKIPPED, ", verdict.why, "\n");
  }
  if (verdict.outcome == SectionVerdict::kSame) {
    return absl::StrCat(verdict.section, ": ", verdict.quantities,
                        " quantities, all as pinned\n");
  }
  std::set<std::string> entries;
  for (const Difference& d : verdict.differences) entries.insert(d.entry);
  std::string text =
      absl::StrCat(verdict.section, ": ", verdict.differences.size(),
                   " DIFFERENCES in ", entries.size(), " entries (",
                   verdict.quantities, " quantities pinned)\n");
  evals::Table table({{"entry"},
                      {"quantity"},
                      {"pinned", Align::kRight},
                      {"now", Align::kRight},
                      {"change", Align::kRight}});
  std::string previous;
  for (const Difference& d : verdict.differences) {
    if (static_cast<size_t>(table.rows()) == max_rows) break;
    table.AddRow({d.entry == previous ? "" : d.entry, d.quantity,
                  d.pinned.ToString(), d.now.ToString(), d.Change()});
    previous = d.entry;
  }
  text += table.ToText();
  if (verdict.differences.size() > max_rows) {
    absl::StrAppend(&text, "... and ", verdict.differences.size() - max_rows,
                    " more: ./bazelw run //tools/exact -- --all\n");
  }
  absl::StrAppend(&text,
                  "If this is meant, accept it and say why in the commit:\n"
                  "  ./bazelw run //tools/exact -- --accept\n");
  return text;
}

Record Accepted(const Record& pinned, const Measured& measured) {
  Record record = pinned;
  for (const auto& [name, section] : measured.record) record[name] = section;
  return record;
}

}  // namespace lt2::tools
