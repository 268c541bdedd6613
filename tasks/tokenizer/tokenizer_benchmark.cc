// Bytes of text per second, on one thread.
//
//   LT2_DATA_DIR=... bazel run -c opt //tasks/tokenizer:tokenizer_benchmark
//
// With LT2_DATA_DIR: GPT-2's, cl100k_base's and SmolLM2's tokenizers on English
// prose (valid-books), with the cache of pieces as a long text fills it, and on
// text of distinct random words, which the cache does not help. Without it: the
// tokenizer "bytes" and a vocabulary made here, on text made here.

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "kernels/core/philox.h"
#include "tasks/text_file.h"
#include "tasks/tokenizer/tiny_tokenizer.h"
#include "tasks/tokenizer/tokenizer.h"

namespace lt2::tasks {
namespace {

std::string RandomWords(size_t size) {
  Philox rng(1, 0, 0);
  std::string text;
  while (text.size() < size) {
    const int64_t length = 2 + static_cast<int64_t>(rng.Below(10));
    for (int64_t i = 0; i < length; ++i) {
      text.push_back(static_cast<char>('a' + rng.Below(26)));
    }
    text.push_back(' ');
  }
  return text;
}

void Encode(benchmark::State& state, const Tokenizer& tokenizer,
            const std::string& text) {
  size_t tokens = 0;
  for (auto _ : state) {
    const std::vector<int32_t> ids = tokenizer.Encode(text);
    benchmark::DoNotOptimize(ids.data());
    tokens = ids.size();
  }
  state.SetBytesProcessed(state.iterations() *
                          static_cast<int64_t>(text.size()));
  state.counters["bytes_per_token"] =
      static_cast<double>(text.size()) / static_cast<double>(tokens);
}

void Decode(benchmark::State& state, const Tokenizer& tokenizer,
            const std::string& text) {
  const std::vector<int32_t> ids = tokenizer.Encode(text);
  for (auto _ : state) {
    const std::string decoded = tokenizer.Decode(ids);
    benchmark::DoNotOptimize(decoded.data());
  }
  state.SetBytesProcessed(state.iterations() *
                          static_cast<int64_t>(text.size()));
}

void Register(const std::string& name, const Tokenizer* tokenizer,
              const std::string& text_name, const std::string* text,
              bool decode) {
  benchmark::RegisterBenchmark(
      ("Encode/" + name + "/" + text_name).c_str(),
      [=](benchmark::State& state) { Encode(state, *tokenizer, *text); })
      ->Unit(benchmark::kMillisecond);
  if (!decode) return;
  benchmark::RegisterBenchmark(
      ("Decode/" + name + "/" + text_name).c_str(),
      [=](benchmark::State& state) { Decode(state, *tokenizer, *text); })
      ->Unit(benchmark::kMillisecond);
}

// What is registered lives until the program ends.
void RegisterAll() {
  const auto* const words = new std::string(RandomWords(1 << 20));
  const auto* const run = new std::string(1 << 20, 'a');
  const auto add = [&](const std::string& name, std::unique_ptr<Tokenizer> made,
                       const std::string* prose) {
    const Tokenizer* const tokenizer = made.release();
    if (prose != nullptr) Register(name, tokenizer, "prose", prose, true);
    Register(name, tokenizer, "random_words", words, false);
    Register(name, tokenizer, "one_megabyte_of_a", run, false);
  };
  const char* const data = std::getenv("LT2_DATA_DIR");
  if (data == nullptr) {
    add("bytes", Tokenizer::Load("bytes").value(), nullptr);
    add("tiny", CreateTokenizer(TinyTokenizerJson()).value(), nullptr);
    return;
  }
  const std::string folder(data);
  const auto prose = ReadTextFile(folder + "/corpus/valid-books.txt.xz");
  LT2_CHECK_OK(prose.status());
  const auto* const text = new std::string(*prose);
  for (const char* name : {"gpt2", "cl100k/cl100k_base.tiktoken", "smollm2"}) {
    auto tokenizer = Tokenizer::Load(folder + "/tokenizers/" + name);
    LT2_CHECK_OK(tokenizer.status());
    add(std::string(name).substr(0, std::string(name).find('/')),
        *std::move(tokenizer), text);
  }
}

}  // namespace
}  // namespace lt2::tasks

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  lt2::tasks::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
