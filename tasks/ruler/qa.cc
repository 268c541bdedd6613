// Questions about one document among many.

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "kernels/core/json/strict_json.h"
#include "kernels/core/status.h"
#include "tasks/ruler/ruler_generator.h"

namespace lt2::tasks {
namespace {

constexpr char kTemplate[] =
    "Answer the question based on the given documents. Only give me the answer "
    "and do not output any other words.\n\nThe following are given documents."
    "\n\n$context\n\nAnswer the question based on the given documents. Only "
    "give me the answer and do not output any other words.\n\nQuestion: $query";
constexpr char kPrefix[] = " Answer:";

// Documents by their text, each once, sorted.
class Documents {
 public:
  void Add(const std::string& text) { texts_.insert(text); }
  std::vector<std::string> Sorted() {
    std::vector<std::string> sorted(texts_.begin(), texts_.end());
    for (size_t i = 0; i < sorted.size(); ++i) {
      index_[sorted[i]] = static_cast<int64_t>(i);
    }
    return sorted;
  }
  int64_t IndexOf(const std::string& text) const { return index_.at(text); }

 private:
  std::set<std::string> texts_;
  std::map<std::string, int64_t> index_;
};

// The JSON values of an array, or of lines.
absl::StatusOr<std::vector<nlohmann::json>> Values(absl::string_view text) {
  std::vector<nlohmann::json> values;
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != absl::string_view::npos && text[first] == '[') {
    LT2_ASSIGN_OR_RETURN(const nlohmann::json all,
                         ParseJson(text, "questions"));
    for (const nlohmann::json& value : all) values.push_back(value);
    return values;
  }
  int64_t number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    if (line.find_first_not_of(" \t\r") == absl::string_view::npos) continue;
    LT2_ASSIGN_OR_RETURN(nlohmann::json value,
                         ParseJson(line, absl::StrCat("line ", number)));
    values.push_back(std::move(value));
  }
  return values;
}

absl::Status Malformed(size_t item, absl::string_view expected) {
  return InvalidArgument("question ", item, ": expected ", expected);
}

bool HasString(const nlohmann::json& value, const char* key) {
  return value.is_object() && value.contains(key) && value[key].is_string();
}

class Qa : public RulerGenerator {
 public:
  Qa(QaData data, int64_t max_length)
      : data_(std::move(data)), short_(max_length < 4096) {
    for (const QaItem& item : data_.items) {
      most_gold_ = std::max(most_gold_, static_cast<int64_t>(item.gold.size()));
    }
  }

  int64_t min_size() const override { return most_gold_; }
  int64_t max_size() const override {
    return static_cast<int64_t>(data_.documents.size());
  }
  int64_t step() const override { return short_ ? 1 : 10; }
  int64_t max_new_tokens() const override { return 32; }
  int64_t num_items() const override {
    return static_cast<int64_t>(data_.items.size());
  }

  // `size` documents: the gold ones, then of the same article, then others.
  RulerText Generate(Philox& rng, int64_t index, int64_t size) const override {
    const QaItem& item = data_.items[index];
    std::vector<int64_t> chosen = item.gold;
    const int64_t wanted = size - static_cast<int64_t>(chosen.size());
    const int64_t near = static_cast<int64_t>(item.near.size());
    for (int64_t i :
         DrawWithoutReplacement(rng, near, std::min(wanted, near))) {
      chosen.push_back(item.near[i]);
    }
    if (wanted > near) {
      std::set<int64_t> taken(chosen.begin(), chosen.end());
      std::vector<int64_t> others;
      for (int64_t i = 0; i < max_size(); ++i) {
        if (taken.count(i) == 0) others.push_back(i);
      }
      for (int64_t i : DrawWithoutReplacement(
               rng, static_cast<int64_t>(others.size()), wanted - near)) {
        chosen.push_back(others[i]);
      }
    }
    rng.Shuffle(chosen);
    std::vector<std::string> parts;
    for (size_t i = 0; i < chosen.size(); ++i) {
      parts.push_back(
          absl::StrCat("Document ", i + 1, ":\n", data_.documents[chosen[i]]));
    }
    const std::string context = absl::StrJoin(parts, "\n\n");
    RulerText text;
    text.text = absl::StrReplaceAll(
        kTemplate, {{"$context", context}, {"$query", item.question}});
    text.answer_prefix = kPrefix;
    text.answers = item.answers;
    return text;
  }

 private:
  const QaData data_;
  const bool short_;
  int64_t most_gold_ = 1;
};

}  // namespace

absl::StatusOr<QaData> ReadSquad(absl::string_view text) {
  LT2_ASSIGN_OR_RETURN(const std::vector<nlohmann::json> values, Values(text));
  Documents documents;
  std::map<std::string, std::set<std::string>> articles;  // title -> contexts
  for (size_t i = 0; i < values.size(); ++i) {
    const nlohmann::json& v = values[i];
    if (!HasString(v, "context") || !HasString(v, "question") ||
        !HasString(v, "title") || !v.contains("answers") ||
        !v["answers"].is_object() || !v["answers"].contains("text") ||
        !v["answers"]["text"].is_array()) {
      return Malformed(i, "title, context, question and answers.text");
    }
    documents.Add(v["context"]);
    articles[v["title"]].insert(v["context"].get<std::string>());
  }
  QaData data;
  data.documents = documents.Sorted();
  for (size_t i = 0; i < values.size(); ++i) {
    const nlohmann::json& v = values[i];
    QaItem item;
    item.question = v["question"];
    for (const nlohmann::json& answer : v["answers"]["text"]) {
      if (!answer.is_string()) return Malformed(i, "answers that are text");
      item.answers.push_back(answer);
    }
    if (item.answers.empty()) continue;  // has none: SQuAD 2's impossible ones
    item.gold = {documents.IndexOf(v["context"])};
    for (const std::string& context : articles[v["title"]]) {
      const int64_t near = documents.IndexOf(context);
      if (near != item.gold[0]) item.near.push_back(near);
    }
    data.items.push_back(std::move(item));
  }
  if (data.items.empty()) return InvalidArgument("there are no questions");
  return data;
}

absl::StatusOr<QaData> ReadHotpot(absl::string_view text) {
  LT2_ASSIGN_OR_RETURN(const std::vector<nlohmann::json> values, Values(text));
  Documents documents;
  std::vector<std::vector<std::string>> contexts(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const nlohmann::json& v = values[i];
    if (!HasString(v, "question") || !HasString(v, "answer") ||
        !v.contains("context") || !v["context"].is_array() ||
        v["context"].empty()) {
      return Malformed(i, "question, answer and context");
    }
    for (const nlohmann::json& paragraph : v["context"]) {
      std::string document;
      if (paragraph.is_array() && paragraph.size() == 2 &&
          paragraph[0].is_string() && paragraph[1].is_array()) {
        document = paragraph[0].get<std::string>() + "\n";
        for (const nlohmann::json& sentence : paragraph[1]) {
          if (!sentence.is_string()) return Malformed(i, "sentences of text");
          document += sentence.get<std::string>();
        }
      } else {
        return Malformed(i, "context of [title, [sentence, ...]]");
      }
      documents.Add(document);
      contexts[i].push_back(document);
    }
  }
  QaData data;
  data.documents = documents.Sorted();
  for (size_t i = 0; i < values.size(); ++i) {
    QaItem item;
    item.question = values[i]["question"];
    item.answers = {values[i]["answer"]};
    for (const std::string& context : contexts[i]) {
      const int64_t gold = documents.IndexOf(context);
      if (std::count(item.gold.begin(), item.gold.end(), gold) == 0) {
        item.gold.push_back(gold);
      }
    }
    data.items.push_back(std::move(item));
  }
  if (data.items.empty()) return InvalidArgument("there are no questions");
  return data;
}

std::unique_ptr<RulerGenerator> MakeQa(QaData data, int64_t max_length) {
  return std::make_unique<Qa>(std::move(data), max_length);
}

}  // namespace lt2::tasks
