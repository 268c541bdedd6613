#include "tasks/token_text.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/core/status.h"
#include "tasks/sample_rng.h"

namespace lt2::tasks {
namespace {

// The windows of a split that is scored document by document.
struct Windows {
  // Of window i: its place in the stream (the first input), its targets, the
  // document and the bytes of text that the targets stand for.
  struct Window {
    int64_t begin = 0, length = 0;
    Passage passage;
  };
  std::vector<int32_t> stream;  // E d1 E d2 ... dn, without the last E
  std::vector<Window> windows;
};

class TokenText : public Task {
 public:
  // `train` is the stream of token_text.h. An empty `test` stands for `valid`.
  TokenText(TextSpec spec, int64_t vocab, std::vector<int32_t> train,
            Windows valid, Windows test)
      : spec_(std::move(spec)),
        vocab_(vocab),
        train_(std::move(train)),
        valid_(std::move(valid)),
        test_(std::move(test)) {}

  absl::string_view name() const override { return "text"; }
  int version() const override { return 1; }
  int64_t vocab_size() const override { return vocab_; }
  int64_t max_length(Split) const override { return spec_.length; }
  double chance() const override { return 1.0 / static_cast<double>(vocab_); }
  nlohmann::json spec() const override { return spec_.ToJson(); }

  int64_t num_examples(Split split) const override {
    if (split == Split::kTrain) return -1;
    return static_cast<int64_t>(Of(split).windows.size());
  }

  Passage passage(Split split, int64_t index) const override {
    if (split == Split::kTrain || index < 0 || index >= num_examples(split)) {
      return {};
    }
    return Of(split).windows[index].passage;
  }

  absl::Status Generate(Split split, uint64_t seed, int64_t index,
                        Example* example) const override {
    LT2_RETURN_IF_ERROR(CheckIndex(index));
    const bool train = split == Split::kTrain;
    int64_t begin, length;
    if (train) {
      begin = Position(seed, index);
      length = spec_.length;
    } else {
      if (index >= num_examples(split)) {
        return absl::OutOfRangeError(
            absl::StrCat("text: the ", Name(split), " split has ",
                         num_examples(split), " examples, asked for ", index));
      }
      begin = Of(split).windows[index].begin;
      length = Of(split).windows[index].length;
    }
    const auto from = (train ? train_ : Of(split).stream).begin() + begin;
    example->inputs.assign(from, from + length);
    example->targets.assign(from + 1, from + 1 + length);
    example->groups.clear();
    return absl::OkStatus();
  }

 private:
  const Windows& Of(Split split) const {
    return split == Split::kTest && !test_.windows.empty() ? test_ : valid_;
  }

  // Uniform over the windows, but for a bias of windows / 2^64.
  int64_t Position(uint64_t seed, int64_t index) const {
    Philox rng = SampleRng(Split::kTrain, seed, index);
    const uint64_t windows = train_.size() - spec_.length;
    return static_cast<int64_t>(rng.Next64() % windows);
  }

  const TextSpec spec_;
  const int64_t vocab_;
  const std::vector<int32_t> train_;
  const Windows valid_, test_;
};

// The documents of a stream of AppendDocuments.
std::vector<std::string> Documents(const std::string& stream) {
  std::vector<std::string> documents;
  size_t begin = 1;  // after the first 0
  while (begin < stream.size()) {
    const size_t end = std::min(stream.find('\0', begin), stream.size());
    documents.push_back(stream.substr(begin, end - begin));
    begin = end + 1;
  }
  return documents;
}

// Moves the last documents, `fraction` of the bytes or more, to `valid`.
absl::Status CutValid(double fraction, std::vector<std::string>* train,
                      std::vector<std::string>* valid) {
  double total = 0, cut = 0;
  for (const std::string& d : *train) total += static_cast<double>(d.size());
  size_t first = train->size();
  while (first > 0 && cut < fraction * total) {
    cut += static_cast<double>((*train)[--first].size());
  }
  if (first == 0) {
    return InvalidArgument("of ", train->size(), " documents the last ",
                           fraction, " leave none to train on; give ",
                           "valid_files");
  }
  valid->assign(train->begin() + static_cast<int64_t>(first), train->end());
  train->resize(first);
  return absl::OkStatus();
}

absl::StatusOr<Windows> CutWindows(const Tokenizer& tokenizer, int32_t end,
                                   int64_t length,
                                   const std::vector<std::string>& texts,
                                   int threads) {
  Windows w;
  const auto documents = EncodeAll(tokenizer, texts, threads);
  for (size_t i = 0; i < documents.size(); ++i) {
    const std::vector<int32_t>& ids = documents[i];
    const int64_t start = static_cast<int64_t>(w.stream.size());
    w.stream.push_back(end);
    w.stream.insert(w.stream.end(), ids.begin(), ids.end());
    const int64_t tokens = static_cast<int64_t>(ids.size());
    int64_t bytes = 0;
    for (int64_t at = 0; at < tokens; at += length) {
      Windows::Window window;
      window.begin = start + at;
      window.length = std::min(length, tokens - at);
      window.passage.document = static_cast<int64_t>(i);
      window.passage.bytes = static_cast<int64_t>(
          tokenizer.Decode(absl::MakeSpan(ids).subspan(at, window.length))
              .size());
      bytes += window.passage.bytes;
      w.windows.push_back(window);
    }
    if (bytes != static_cast<int64_t>(texts[i].size())) {
      return InvalidArgument("the tokenizer gives document ", i, " of ",
                             texts[i].size(), " bytes back as ", bytes,
                             ": bits per byte need one that loses nothing");
    }
  }
  return w;
}

}  // namespace

std::vector<std::vector<int32_t>> EncodeAll(const Tokenizer& tokenizer,
                                            absl::Span<const std::string> texts,
                                            int threads) {
  std::vector<std::vector<int32_t>> ids(texts.size());
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < texts.size(); i = next++) {
      ids[i] = tokenizer.Encode(texts[i]);
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(work);
  work();
  for (std::thread& thread : others) thread.join();
  return ids;
}

absl::StatusOr<std::unique_ptr<Task>> CreateTokenText(
    const TextSpec& spec, const TaskOptions& options) {
  TextSpec p = spec;
  const std::string path = p.tokenizer == "bytes"
                               ? p.tokenizer
                               : PathIn(options.data_dir, p.tokenizer);
  const std::string key = KeyPath(options, "tokenizer");
  auto tokenizer = Tokenizer::Load(path);
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), key);
  const Tokenizer& t = **tokenizer;
  if (!p.tokenizer_digest.empty() && p.tokenizer_digest != t.digest()) {
    return InvalidArgument(KeyPath(options, "tokenizer_digest"), ": ", path,
                           " has the digest ", t.digest(), ", expected ",
                           p.tokenizer_digest);
  }
  p.tokenizer_digest = t.digest();
  if (!t.end_of_text().has_value()) {
    return InvalidArgument(key, ": ", path,
                           " has no end-of-text token to put between "
                           "documents");
  }
  const int32_t end = *t.end_of_text();

  LT2_ASSIGN_OR_RETURN(const TextStreams s, ReadStreams(p, options));
  std::vector<std::string> train = Documents(s.train);
  std::vector<std::string> valid = Documents(s.valid);
  if (p.valid_fraction > 0) {
    LT2_RETURN_IF_ERROR(Annotate(CutValid(p.valid_fraction, &train, &valid),
                                 KeyPath(options, "valid_fraction")));
  }
  const int threads = static_cast<int>(
      std::max(1u, std::min(64u, std::thread::hardware_concurrency())));
  std::vector<int32_t> stream = {end};
  for (const auto& ids : EncodeAll(t, train, threads)) {
    stream.insert(stream.end(), ids.begin(), ids.end());
    stream.push_back(end);
  }
  if (static_cast<int64_t>(stream.size()) <= p.length) {
    return InvalidArgument(KeyPath(options, "length"),
                           ": must be < the tokens of training text (",
                           stream.size(), "), got ", p.length);
  }
  auto valid_windows = CutWindows(t, end, p.length, valid, threads);
  if (!valid_windows.ok()) return Annotate(valid_windows.status(), key);
  auto test_windows = CutWindows(t, end, p.length, Documents(s.test), threads);
  if (!test_windows.ok()) return Annotate(test_windows.status(), key);
  return std::make_unique<TokenText>(
      std::move(p), t.vocab_size(), std::move(stream),
      *std::move(valid_windows), *std::move(test_windows));
}

}  // namespace lt2::tasks
