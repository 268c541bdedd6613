#include "evals/lm/metrics.h"

#include <cmath>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "evals/lm/text_counts.h"

namespace lt2::evals {
namespace {

int64_t ArgMax(const std::vector<double>& values) {
  int64_t best = 0;
  for (size_t i = 1; i < values.size(); ++i) {
    if (values[i] > values[best]) best = static_cast<int64_t>(i);
  }
  return best;
}

int64_t Bytes(const std::string& text) {
  return static_cast<int64_t>(text.size());
}

void ScoreChoices(const Suite& suite, const Item& item,
                  absl::Span<const Response> responses,
                  std::vector<ItemMetric>* metrics) {
  const size_t n = item.choices.size();
  const auto add = [&](const char* name, auto value_of) {
    std::vector<double> values;
    for (size_t i = 0; i < n; ++i) values.push_back(value_of(i));
    const bool right = ArgMax(values) == item.gold;
    ItemMetric metric;
    metric.name = name;
    metric.numerator = right ? 1 : 0;
    metric.row = {item.index, 1, right, -responses[item.gold].sum};
    metrics->push_back(metric);
  };
  // An empty choice must not divide by 0.
  const auto per = [&](size_t i, int64_t length) {
    return responses[i].sum / static_cast<double>(std::max<int64_t>(1, length));
  };
  add("acc", [&](size_t i) { return responses[i].sum; });
  if (!suite.contexts.empty()) return;  // one target: one length
  add("acc_norm",
      [&](size_t i) { return per(i, CountCharacters(item.choices[i])); });
  add("acc_bytes", [&](size_t i) { return per(i, Bytes(item.choices[i])); });
  add("acc_tokens", [&](size_t i) { return per(i, responses[i].tokens); });
  if (suite.unconditional_context.has_value()) {
    add("acc_mutual_info",
        [&](size_t i) { return responses[i].sum - responses[n + i].sum; });
  }
}

void ScoreCompletion(const Item& item, const Response& response,
                     std::vector<ItemMetric>* metrics) {
  ItemMetric metric;
  metric.name = "acc";
  metric.numerator = response.is_greedy;
  metric.row = {item.index, 1, response.is_greedy, -response.sum};
  metrics->push_back(metric);
  metric.name = "perplexity";
  metric.numerator = -response.sum;
  metric.row = {};
  metrics->push_back(metric);
  metric.name = "bits_per_byte";
  const int64_t bytes = Bytes(item.requests[0].continuation);
  metric.numerator = -response.sum / std::log(2.0);
  metric.denominator = static_cast<double>(bytes);
  metric.row = {item.index, bytes, 0, -response.sum};
  metrics->push_back(metric);
}

void ScoreText(const Item& item, const Response& response,
               std::vector<ItemMetric>* metrics) {
  const std::string& text = item.requests[0].continuation;
  const auto add = [&](const char* name, double numerator, int64_t units) {
    ItemMetric metric;
    metric.name = name;
    metric.numerator = numerator;
    metric.denominator = static_cast<double>(units);
    metrics->push_back(metric);
  };
  const int64_t bytes = Bytes(text);
  add("bits_per_byte", -response.sum / std::log(2.0), bytes);
  metrics->back().row = {item.index, bytes, 0, -response.sum};
  add("byte_perplexity", -response.sum, bytes);
  add("word_perplexity", -response.sum, CountWords(text));
}

ItemMetric ScoreAnswer(const Suite& suite, const Item& item,
                       const std::string& text) {
  ItemMetric metric;
  metric.name = suite.score;
  metric.filtered = text;
  int64_t found = 0;
  for (const std::string& answer : item.answers) {
    found += suite.score == "exact_match"
                 ? text == answer
                 : absl::StrContains(absl::AsciiStrToLower(text),
                                     absl::AsciiStrToLower(answer));
  }
  const bool all = suite.score == "contains_all";
  const auto answers = static_cast<int64_t>(item.answers.size());
  metric.numerator =
      all ? static_cast<double>(found) / static_cast<double>(answers)
          : static_cast<double>(found > 0);
  metric.row = {item.index, all ? answers : 1, all ? found : found > 0, 0};
  return metric;
}

bool IsExponential(const std::string& name) {
  return absl::EndsWith(name, "perplexity");
}

}  // namespace

absl::StatusOr<std::vector<ItemMetric>> ScoreItem(
    const Suite& suite, const Item& item,
    absl::Span<const Response> responses) {
  LT2_CHECK(responses.size() == item.requests.size());
  for (const Response& response : responses) {
    if (!std::isfinite(response.sum)) {
      return absl::InternalError(
          absl::StrCat(item.place, ": the model's log-likelihood is ",
                       response.sum, "; its weights or state are not finite"));
    }
  }
  std::vector<ItemMetric> metrics;
  switch (suite.kind) {
    case SuiteKind::kMultipleChoice:
      ScoreChoices(suite, item, responses, &metrics);
      break;
    case SuiteKind::kCompletion:
      ScoreCompletion(item, responses[0], &metrics);
      break;
    case SuiteKind::kText:
      ScoreText(item, responses[0], &metrics);
      break;
    case SuiteKind::kGenerate:
      for (const Suite::Filter& filter : suite.filters) {
        auto text = ApplySteps(filter.steps, responses[0].text);
        if (!text.ok()) {
          return Annotate(text.status(),
                          absl::StrCat(suite.path, ": filter '", filter.name,
                                       "' (give the step an \"otherwise\")"));
        }
        metrics.push_back(ScoreAnswer(suite, item, *text));
        metrics.back().filter = filter.name;
      }
  }
  return metrics;
}

absl::StatusOr<std::vector<MetricResult>> Aggregate(
    absl::Span<const std::vector<ItemMetric>> items) {
  LT2_CHECK(!items.empty());
  std::vector<MetricResult> results;
  for (size_t m = 0; m < items[0].size(); ++m) {
    MetricResult result;
    result.name = items[0][m].name;
    result.filter = items[0][m].filter;
    const bool bits = result.name == "bits_per_byte";
    const bool exponential = IsExponential(result.name);
    result.higher_is_better = !bits && !exponential;
    std::vector<double> numerators, denominators;
    double top = 0, bottom = 0;
    for (const std::vector<ItemMetric>& item : items) {
      numerators.push_back(item[m].numerator);
      denominators.push_back(item[m].denominator);
      top += item[m].numerator;
      bottom += item[m].denominator;
      if (item[m].row.scored > 0) result.rows.push_back(item[m].row);
    }
    LT2_ASSIGN_OR_RETURN(const Interval interval,
                         RatioBootstrap(numerators, denominators));
    const auto value = [&](double x) { return exponential ? std::exp(x) : x; };
    result.value = value(top / bottom);
    result.low = value(interval.low);
    result.high = value(interval.high);
    const double n = static_cast<double>(items.size());
    result.stderr_mean = std::numeric_limits<double>::quiet_NaN();
    if (!bits && !exponential && n > 1) {
      double squares = 0;
      for (double x : numerators) {
        squares += (x - result.value) * (x - result.value);
      }
      result.stderr_mean = std::sqrt(squares / (n - 1) / n);
    }
    if (result.rows.size() == items.size()) {
      result.row_metric = bits ? "bits_per_byte" : "accuracy";
    }
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace lt2::evals
