#include "tasks/ruler/ruler.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kernels/core/json/json_reader.h"
#include "kernels/core/philox.h"
#include "kernels/core/status.h"
#include "tasks/text_file.h"
#include "tasks/text_spec.h"

namespace lt2::tasks {
namespace {

struct Entry {
  const char* name;
  NiahShape niah;  // of the niah tasks
};

constexpr NiahShape Shape(NiahShape::Haystack haystack, NiahShape::Type key,
                          NiahShape::Type value, int64_t keys = 1,
                          int64_t values = 1, int64_t queries = 1) {
  return {haystack, key, value, keys, values, queries};
}

const std::vector<Entry>& Entries() {
  using S = NiahShape;
  static const auto* entries = new std::vector<Entry>{
      {"niah_single_1", Shape(S::kNoise, S::kWords, S::kNumbers)},
      {"niah_single_2", Shape(S::kEssay, S::kWords, S::kNumbers)},
      {"niah_single_3", Shape(S::kEssay, S::kWords, S::kUuids)},
      {"niah_multikey_1", Shape(S::kEssay, S::kWords, S::kNumbers, 4)},
      {"niah_multikey_2", Shape(S::kNeedles, S::kWords, S::kNumbers)},
      {"niah_multikey_3", Shape(S::kNeedles, S::kUuids, S::kUuids)},
      {"niah_multivalue", Shape(S::kEssay, S::kWords, S::kNumbers, 1, 4)},
      {"niah_multiquery", Shape(S::kEssay, S::kWords, S::kNumbers, 4, 1, 4)},
      {"vt", {}},
      {"cwe", {}},
      {"fwe", {}},
      {"qa_1", {}},
      {"qa_2", {}},
  };
  return *entries;
}

// The words of files, one after the other.
absl::StatusOr<std::vector<std::string>> EssayWords(
    const std::vector<std::string>& files, const std::string& directory) {
  std::vector<std::string> words;
  for (const std::string& file : files) {
    LT2_ASSIGN_OR_RETURN(const std::string text,
                         ReadTextFile(PathIn(directory, file)));
    std::string stream;  // without the lines between documents
    LT2_RETURN_IF_ERROR(Annotate(AppendDocuments(text, &stream), file));
    for (absl::string_view word : absl::StrSplit(
             stream, absl::ByAnyChar(absl::string_view(" \t\r\n\v\f\0", 7)),
             absl::SkipEmpty())) {
      words.emplace_back(word);
    }
  }
  return words;
}

}  // namespace

double RulerScore(absl::string_view text, absl::Span<const std::string> answers,
                  RulerMetric metric) {
  if (answers.empty()) return 0;
  const std::string lower = absl::AsciiStrToLower(text);
  double found = 0;
  for (const std::string& answer : answers) {
    found += absl::StrContains(lower, absl::AsciiStrToLower(answer)) ? 1 : 0;
  }
  if (metric == RulerMetric::kPart) return found > 0 ? 1 : 0;
  return found / static_cast<double>(answers.size());
}

std::vector<std::string> RulerTaskNames() {
  std::vector<std::string> names;
  for (const Entry& entry : Entries()) names.emplace_back(entry.name);
  return names;
}

absl::StatusOr<std::unique_ptr<RulerTask>> RulerTask::Create(
    const nlohmann::json& spec, const RulerOptions& options) {
  if (options.tokenizer == nullptr) {
    return InvalidArgument("ruler: a tokenizer is needed");
  }
  JsonReader r(spec, options.path);
  r.Require({"task"});
  std::unique_ptr<RulerTask> task(new RulerTask);
  task->name_ = r.Enum("task", "niah_single_1", RulerTaskNames());
  task->max_length_ = r.Int("max_length", 4096, 1, int64_t{1} << 22);
  task->seed_ = static_cast<uint64_t>(r.Int("seed", 42, 0));
  task->num_samples_ = r.Int("samples", 500, 1, int64_t{1} << 31);
  const std::vector<std::string> essay_files = r.Strings("essay_files");
  const std::string qa_file = r.String("qa_file", "");
  LT2_RETURN_IF_ERROR(r.status());
  task->tokenizer_ = options.tokenizer;
  const auto entry =
      std::find_if(Entries().begin(), Entries().end(),
                   [&](const Entry& e) { return task->name_ == e.name; });
  const std::string& name = task->name_;
  const bool niah = absl::StartsWith(name, "niah");
  const bool essay = niah && entry->niah.haystack == NiahShape::kEssay;
  const bool qa = absl::StartsWith(name, "qa");
  if (essay && essay_files.empty()) {
    r.Fail("essay_files", "must name the text that ", name,
           " hides needles in");
  } else if (!essay && !essay_files.empty()) {
    r.Fail("essay_files", name, " takes no essay");
  }
  if (qa && qa_file.empty()) {
    r.Fail("qa_file", "must name the questions of ", name);
  } else if (!qa && !qa_file.empty()) {
    r.Fail("qa_file", name, " takes no questions");
  }
  LT2_RETURN_IF_ERROR(r.Finish());
  task->spec_ = {
      {"task", name}, {"max_length", task->max_length_}, {"seed", task->seed_}};
  if (essay) task->spec_["essay_files"] = essay_files;
  if (qa) task->spec_["qa_file"] = qa_file;

  const TokenCount count = [tokenizer =
                                options.tokenizer](absl::string_view text) {
    return static_cast<int64_t>(tokenizer->Encode(text).size());
  };
  if (niah) {
    std::vector<std::string> words;
    if (essay) {
      auto read = EssayWords(essay_files, options.data_dir);
      if (!read.ok()) return Annotate(read.status(), r.PathOf("essay_files"));
      words = *std::move(read);
      if (words.empty()) {
        return InvalidArgument(r.PathOf("essay_files"), ": hold no words");
      }
    }
    task->generator_ =
        MakeNiah(entry->niah, std::move(words), task->max_length_);
  } else if (name == "vt") {
    task->generator_ =
        MakeVariableTracking(task->seed_, task->max_length_, count);
  } else if (name == "cwe") {
    task->generator_ = MakeCommonWords(task->max_length_);
  } else if (name == "fwe") {
    task->generator_ = MakeFrequentWords(task->max_length_);
  } else {
    const std::string key = r.PathOf("qa_file");
    auto text = ReadTextFile(PathIn(options.data_dir, qa_file));
    if (!text.ok()) return Annotate(text.status(), key);
    auto data = name == "qa_1" ? ReadSquad(*text) : ReadHotpot(*text);
    if (!data.ok()) {
      return Annotate(data.status(), absl::StrCat(key, ": ", qa_file));
    }
    task->generator_ = MakeQa(*std::move(data), task->max_length_);
  }
  const int64_t items = task->generator_->num_items();
  if (items >= 0) task->num_samples_ = std::min(task->num_samples_, items);
  task->spec_["samples"] = task->num_samples_;
  LT2_RETURN_IF_ERROR(task->FindSize(r.PathOf("max_length")));
  return task;
}

RulerMetric RulerTask::metric() const {
  return absl::StartsWith(name_, "qa") ? RulerMetric::kPart : RulerMetric::kAll;
}

int64_t RulerTask::max_new_tokens() const {
  return generator_->max_new_tokens();
}

RulerSample RulerTask::Draw(int64_t index, uint32_t attempt,
                            int64_t size) const {
  Philox rng(seed_, static_cast<uint64_t>(index), attempt);
  RulerText text = generator_->Generate(rng, index, size);
  RulerSample sample;
  sample.prompt = absl::StrCat(text.text, text.answer_prefix);
  sample.answer_prefix = std::move(text.answer_prefix);
  sample.answers = std::move(text.answers);
  sample.tokens =
      static_cast<int64_t>(tokenizer_->Encode(sample.prompt).size());
  sample.size = size;
  return sample;
}

bool RulerTask::Fits(const RulerSample& sample) const {
  return sample.tokens + max_new_tokens() <= max_length_;
}

absl::Status RulerTask::FindSize(const std::string& path) {
  // A stream that no attempt at a sample has.
  constexpr uint32_t kProbe = 0xffffffff;
  const int64_t least = generator_->min_size();
  const int64_t most = generator_->max_size();
  if (least > most) {
    return InvalidArgument("ruler: ", name_, " needs ", least, " items, has ",
                           most);
  }
  const auto fits = [&](int64_t size) { return Fits(Draw(0, kProbe, size)); };
  const RulerSample smallest = Draw(0, kProbe, least);
  if (!Fits(smallest)) {
    return InvalidArgument(path, ": ", max_length_, " tokens do not hold ",
                           name_, ", whose smallest text has about ",
                           smallest.tokens, " and the answer ",
                           max_new_tokens());
  }
  int64_t good = least, bad = least;
  while (good == bad && good < most) {  // doubles until it does not fit
    bad = std::min(most, 2 * good);
    if (fits(bad)) good = bad;
  }
  while (bad - good > 1) {
    const int64_t middle = good + (bad - good) / 2;
    (fits(middle) ? good : bad) = middle;
  }
  size_ = good;
  return absl::OkStatus();
}

absl::StatusOr<RulerSample> RulerTask::Sample(int64_t index) const {
  if (index < 0 || index >= num_samples_) {
    return absl::OutOfRangeError(absl::StrCat(name_, " has ", num_samples_,
                                              " samples, asked for ", index));
  }
  const int64_t least = generator_->min_size();
  int64_t size = size_;
  for (uint32_t attempt = 0;; ++attempt) {
    RulerSample sample = Draw(index, attempt, size);
    if (Fits(sample)) return sample;
    if (size == least) {
      return absl::OutOfRangeError(absl::StrCat(
          "sample ", index, " of ", name_, " has ", sample.tokens,
          " tokens with the smallest haystack and wants ", max_new_tokens(),
          " for the answer, more than max_length ", max_length_));
    }
    size = size - generator_->step() >= least ? size - generator_->step()
                                              : std::max(least, size - 1);
  }
}

}  // namespace lt2::tasks
