#include "evals/lm/run.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <numeric>
#include <unordered_set>

#include "evals/lm/encoding.h"
#include "kernels/core/philox.h"

namespace lt2::evals {
namespace {

constexpr uint32_t kSampleStream = 0x6c6d73;

// A request to the model, of item `item`, response `slot`.
struct Pending {
  size_t item = 0, slot = 0;
  Request request;
  std::string key;
};

std::string Ids(const std::vector<int32_t>& ids) {
  return std::string(reinterpret_cast<const char*>(ids.data()),
                     ids.size() * sizeof(int32_t));
}

// Which items to evaluate, ascending.
std::vector<int64_t> Chosen(int64_t n, const LmRunOptions& options) {
  std::vector<int64_t> all(n);
  std::iota(all.begin(), all.end(), 0);
  if (options.sample > 0 && options.sample < n) {
    Philox rng(options.sample_seed, 0, kSampleStream);
    rng.Shuffle(all);
    all.resize(options.sample);
    std::sort(all.begin(), all.end());
  } else if (options.limit > 0 && options.limit < n) {
    all.resize(options.limit);
  }
  return all;
}

// Runs the requests of one suite through the cache.
class Requests {
 public:
  Requests(LanguageModel& model, const Suite& suite, ResponseCache& cache,
           const LmRunOptions& options, SuiteResult* result)
      : model_(model),
        suite_(suite),
        cache_(cache),
        options_(options),
        result_(*result) {}

  absl::StatusOr<std::vector<std::vector<Response>>> Run(
      const std::vector<Item>& items) {
    std::vector<Pending> pending;
    for (size_t i = 0; i < items.size(); ++i) {
      for (size_t slot = 0; slot < items[i].requests.size(); ++slot) {
        auto encoded = Encode(items[i].requests[slot]);
        if (!encoded.ok()) return Annotate(encoded.status(), items[i].place);
        result_.cut_requests += encoded->cut > 0;
        result_.cut_tokens += encoded->cut;
        pending.push_back({i, slot, std::move(encoded->request), ""});
        pending.back().key = Key(pending.back().request);
      }
    }
    result_.requests = static_cast<int64_t>(pending.size());
    LT2_RETURN_IF_ERROR(Answer(pending));
    std::vector<std::vector<Response>> responses(items.size());
    for (size_t i = 0; i < items.size(); ++i) {
      responses[i].resize(items[i].requests.size());
    }
    for (const Pending& p : pending) {
      const CachedResponse* cached = cache_.Find(p.key);
      LT2_CHECK(cached != nullptr);
      responses[p.item][p.slot] = ToResponse(*cached);
    }
    return responses;
  }

 private:
  absl::StatusOr<EncodedRequest> Encode(const TextRequest& text) {
    switch (suite_.kind) {
      case SuiteKind::kGenerate:
        return EncodeContext(model_, text.context, suite_.max_tokens);
      case SuiteKind::kText: {
        EncodedRequest encoded;
        encoded.request.context = {model_.prefix_token()};
        encoded.request.continuation = model_.Encode(text.continuation);
        return encoded;
      }
      default:
        return EncodePair(model_, text.context, text.continuation);
    }
  }

  std::string Key(const Request& request) const {
    std::string key =
        absl::StrCat(suite_.name, "@", suite_.version, " ", suite_.kind,
                     suite_.streaming, " ", request.context.size(), " ");
    if (suite_.kind == SuiteKind::kText) {
      absl::StrAppend(&key, model_.max_length(), " ");
    }
    if (suite_.kind == SuiteKind::kGenerate) {
      absl::StrAppend(&key, suite_.max_tokens, " ",
                      nlohmann::json(suite_.stop).dump(), " ");
    }
    return Digest(
        absl::StrCat(key, Ids(request.context), Ids(request.continuation)));
  }

  // Puts the response of every request into the cache.
  absl::Status Answer(const std::vector<Pending>& pending) {
    std::vector<const Pending*> open;
    std::unordered_set<std::string> seen;
    for (const Pending& p : pending) {
      if (!seen.insert(p.key).second) continue;
      if (cache_.Find(p.key) == nullptr) {
        open.push_back(&p);
      } else {
        ++result_.cached;
      }
    }
    // Long ones first (the estimate of the time left errs on the safe side),
    // and requests with the same context side by side.
    std::stable_sort(open.begin(), open.end(),
                     [](const Pending* a, const Pending* b) {
                       const auto& x = a->request.context;
                       const auto& y = b->request.context;
                       if (x.size() != y.size()) return x.size() > y.size();
                       return x < y;
                     });
    const int64_t total = static_cast<int64_t>(open.size());
    int64_t step = std::max<int64_t>(1, options_.batch);
    if (suite_.kind == SuiteKind::kText) step = 1;
    // A text takes a forward pass for each of its tokens: kept more often.
    if (suite_.kind == SuiteKind::kGenerate) step = (step + 3) / 4;
    for (int64_t begin = 0; begin < total;) {
      int64_t end = std::min(total, begin + step);
      // A context is run once: its choices stay in one call.
      while (step > 1 && end < total &&
             open[end]->request.context == open[end - 1]->request.context) {
        ++end;
      }
      if (options_.stop != nullptr && options_.stop->load()) {
        return absl::CancelledError(absl::StrCat("stopped in suite '",
                                                 suite_.name, "' after ", begin,
                                                 " of ", total, " requests"));
      }
      LT2_RETURN_IF_ERROR(
          Ask(absl::MakeSpan(open).subspan(begin, end - begin)));
      begin = end;
      if (options_.progress) options_.progress(suite_, begin, total);
    }
    return absl::OkStatus();
  }

  absl::Status Ask(absl::Span<const Pending* const> open) {
    if (suite_.kind == SuiteKind::kText) return AskText(*open[0]);
    if (suite_.kind == SuiteKind::kGenerate) {
      std::vector<std::vector<int32_t>> contexts;
      for (const Pending* p : open) contexts.push_back(p->request.context);
      LT2_ASSIGN_OR_RETURN(
          const std::vector<Generation> generations,
          model_.GenerateUntil(contexts, suite_.stop, suite_.max_tokens));
      LT2_CHECK(generations.size() == open.size());
      for (size_t i = 0; i < open.size(); ++i) {
        CachedResponse response;
        response.ids = generations[i].ids;
        response.reason = generations[i].reason;
        LT2_RETURN_IF_ERROR(cache_.Add(open[i]->key, std::move(response)));
      }
      return absl::OkStatus();
    }
    std::vector<Request> requests;
    for (const Pending* p : open) requests.push_back(p->request);
    LT2_ASSIGN_OR_RETURN(const std::vector<LoglikelihoodResult> results,
                         model_.Loglikelihood(requests));
    LT2_CHECK(results.size() == open.size());
    for (size_t i = 0; i < open.size(); ++i) {
      LT2_RETURN_IF_ERROR(cache_.Add(
          open[i]->key,
          {results[i].sum, results[i].is_greedy,
           static_cast<int64_t>(open[i]->request.continuation.size())}));
    }
    return absl::OkStatus();
  }

  absl::Status AskText(const Pending& p) {
    const std::vector<int32_t>& ids = p.request.continuation;
    CachedResponse response;
    response.tokens = static_cast<int64_t>(ids.size());
    if (suite_.streaming) {
      std::vector<int32_t> all = p.request.context;
      all.insert(all.end(), ids.begin(), ids.end());
      LT2_ASSIGN_OR_RETURN(const std::vector<float> logprobs,
                           model_.Rolling(all));
      for (float logprob : logprobs) response.sum += logprob;
    } else {
      LT2_ASSIGN_OR_RETURN(
          const std::vector<LoglikelihoodResult> windows,
          model_.Loglikelihood(
              RollingWindows(ids, p.request.context[0], model_.max_length())));
      for (const LoglikelihoodResult& window : windows) {
        response.sum += window.sum;
      }
    }
    return cache_.Add(p.key, std::move(response));
  }

  Response ToResponse(const CachedResponse& cached) const {
    Response response;
    response.sum = cached.sum;
    response.is_greedy = cached.is_greedy;
    response.tokens = cached.tokens;
    if (suite_.kind == SuiteKind::kGenerate) {
      response.text = model_.Decode(cached.ids);
      CutAtStop(suite_.stop, &response.text);
      response.reason = cached.reason;
    }
    return response;
  }

  LanguageModel& model_;
  const Suite& suite_;
  ResponseCache& cache_;
  const LmRunOptions& options_;
  SuiteResult& result_;
};

// One line of the log of samples: the keys of lm-evaluation-harness, and ours.
nlohmann::json Sample(const Suite& suite, const Document& document,
                      const Item& item, absl::Span<const Response> responses,
                      const std::vector<ItemMetric>& metrics) {
  nlohmann::json arguments = nlohmann::json::array(),
                 answers = nlohmann::json::array(), filtered, values;
  std::string prompts;
  for (size_t i = 0; i < item.requests.size(); ++i) {
    const TextRequest& request = item.requests[i];
    prompts += request.context + '\n' + request.continuation + '\n';
    // The document itself is in `doc`.
    arguments.push_back(
        suite.kind == SuiteKind::kText
            ? nlohmann::json::array({"", "(doc)"})
            : nlohmann::json::array({request.context, request.continuation}));
    answers.push_back(
        suite.kind == SuiteKind::kGenerate
            ? nlohmann::json::array({responses[i].text, responses[i].reason})
            : nlohmann::json::array(
                  {responses[i].sum, responses[i].is_greedy}));
  }
  for (const ItemMetric& metric : metrics) {
    if (suite.kind == SuiteKind::kGenerate) {
      filtered[metric.filter] = metric.filtered;
    }
    values[metric.name + "," + metric.filter] =
        metric.denominator == 1.0
            ? nlohmann::json(metric.numerator)
            : nlohmann::json::array({metric.numerator, metric.denominator});
  }
  nlohmann::json target =
      suite.kind == SuiteKind::kMultipleChoice ? nlohmann::json(item.gold)
      : suite.kind == SuiteKind::kGenerate     ? nlohmann::json(item.answers)
                                               : nlohmann::json(item.choices);
  const auto digest = [](const nlohmann::json& json) {
    return Digest(
        json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  };
  nlohmann::json sample = {{"doc_id", item.index},
                           {"place", item.place},
                           {"doc", document.fields},
                           {"target", target},
                           {"arguments", arguments},
                           {"resps", answers},
                           {"metrics", values},
                           {"fewshot_ids", item.shots},
                           {"doc_hash", digest(document.fields)},
                           {"prompt_hash", Digest(prompts)},
                           {"target_hash", digest(target)}};
  if (suite.kind == SuiteKind::kGenerate) sample["filtered_resps"] = filtered;
  return sample;
}

}  // namespace

const MetricResult& SuiteResult::primary() const {
  for (const MetricResult& metric : metrics) {
    if (metric.name == suite->primary) return metric;
  }
  LT2_CHECK(false, "no metric ", suite->primary);
}

absl::StatusOr<SuiteResult> RunSuite(LanguageModel& model,
                                     std::shared_ptr<const Suite> suite,
                                     ResponseCache& cache,
                                     const LmRunOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  SuiteResult result;
  result.suite = suite;
  FewShot few_shot;
  few_shot.count = suite->kind == SuiteKind::kText
                       ? 0
                       : options.shots.value_or(suite->shots);
  few_shot.seed = options.shot_seed;
  result.shots = few_shot.count;
  result.shot_seed = few_shot.seed;
  LT2_ASSIGN_OR_RETURN(const Documents documents,
                       LoadDocuments(*suite, options.data_dir, model));
  result.data_digest = documents.digest;
  result.documents = static_cast<int64_t>(documents.items.size());

  std::vector<Item> items;
  for (int64_t index : Chosen(result.documents, options)) {
    LT2_ASSIGN_OR_RETURN(items.emplace_back(),
                         BuildItem(*suite, documents, index, few_shot));
  }
  result.evaluated = static_cast<int64_t>(items.size());
  if (items.empty()) return InvalidArgument("no items in ", suite->path);
  Requests requests(model, *suite, cache, options, &result);
  LT2_ASSIGN_OR_RETURN(const auto responses, requests.Run(items));

  std::vector<std::vector<ItemMetric>> metrics;
  double chance = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    LT2_ASSIGN_OR_RETURN(metrics.emplace_back(),
                         ScoreItem(*suite, items[i], responses[i]));
    result.samples.push_back(Sample(*suite, documents.items[items[i].index],
                                    items[i], responses[i], metrics.back()));
    chance += 1.0 / std::max<double>(1, items[i].choices.size());
  }
  LT2_ASSIGN_OR_RETURN(result.metrics, Aggregate(metrics));
  result.chance = suite->chance > 0 ? suite->chance
                  : suite->kind == SuiteKind::kMultipleChoice
                      ? chance / static_cast<double>(items.size())
                      : 0;
  result.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  return result;
}

}  // namespace lt2::evals
