#include "evals/probes/program_places.h"

#include <algorithm>
#include <map>

#include "evals/probes/attention_mass.h"
#include "evals/probes/models.h"

namespace lt2::evals {
namespace {

// Tokens of tasks/program.h, merged encoding.
constexpr int32_t kQuestion = 3, kBits = 4, kVars = 5, kFirstName = 6;
constexpr int64_t kBatch = 16;
constexpr int64_t kNear = 2;

}  // namespace

absl::StatusOr<ProgramPlaces> PlacesOf(absl::Span<const int32_t> tokens,
                                       int64_t variables) {
  const auto vars = std::find(tokens.begin(), tokens.end(), kVars);
  const int64_t n = static_cast<int64_t>(tokens.size());
  int64_t at = vars - tokens.begin() + 1;
  if (tokens.empty() || tokens[0] != kBits || at + 2 * variables > n) {
    return InvalidArgument("not a program in the merged encoding");
  }
  ProgramPlaces places;
  std::map<int32_t, int64_t> place;  // of each variable
  const int32_t asked = tokens[at];
  for (int64_t i = 0; i < variables; ++i, at += 2) {
    place[tokens[at]] = tokens[at + 1] - kFirstName - variables;
    places.numbers.push_back({at + 1, place[tokens[at]]});
  }
  for (; at + 2 < n && tokens[at + 2] == kQuestion; at += 3) {
    if (place.count(tokens[at]) == 0 || place.count(tokens[at + 1]) == 0) {
      return InvalidArgument("token ", at, " is not a swap of two variables");
    }
    std::swap(place[tokens[at]], place[tokens[at + 1]]);
    places.questions.push_back({at + 2, place[asked]});
  }
  return places;
}

absl::StatusOr<PlaceCounts> CountPlaces(model::LoopedModel& model,
                                        const tasks::Task& task, int64_t bits,
                                        int64_t examples) {
  const int64_t variables = task.spec()["variables"];
  const int64_t seq = task.max_length(tasks::Split::kTest);
  const int64_t vocab = model.config().vocab_size;
  if (task.vocab_size() != vocab) {
    return InvalidArgument("a model of ", vocab, " tokens, programs have ",
                           task.vocab_size());
  }
  Context& ctx = model.ctx();
  PlaceCounts counts;
  counts.asked = counts.correct = counts.numbers =
      std::vector<int64_t>(bits, 0);
  counts.from_question = counts.from_number = counts.near_number =
      std::vector<double>(bits, 0);
  for (int64_t first = 0; first < examples; first += kBatch) {
    const int64_t batch = std::min(kBatch, examples - first);
    std::vector<int32_t> ids, targets;
    std::vector<PlaceToken> tokens;  // of all rows: numbers, then questions
    std::vector<QueryKey> pairs;     // of each
    std::vector<bool> question;
    for (int64_t b = 0; b < batch; ++b) {
      tasks::Example program;
      LT2_RETURN_IF_ERROR(
          task.Generate(tasks::Split::kTest, /*seed=*/0, first + b, &program));
      LT2_ASSIGN_OR_RETURN(const ProgramPlaces places,
                           PlacesOf(program.inputs, variables));
      ids.insert(ids.end(), program.inputs.begin(), program.inputs.end());
      targets.insert(targets.end(), program.targets.begin(),
                     program.targets.end());
      for (const auto* part : {&places.numbers, &places.questions}) {
        for (const PlaceToken& token : *part) {
          tokens.push_back(token);
          pairs.push_back({b, token.at, 1 + token.place});  // BITS is token 0
          question.push_back(part == &places.questions);
        }
      }
    }
    LT2_ASSIGN_OR_RETURN(const Tensor input,
                         ctx.FromHost<int32_t>(ids, {batch, seq}));
    std::vector<KeyWeight> weights(pairs.size());
    AttentionWatch watch(model, /*selected=*/true);
    absl::Status status;
    model::ForwardOptions options;
    options.observer = [&](int64_t loop, int64_t layer, absl::string_view name,
                           const model::Var& value) {
      const auto attention = watch.See(loop, layer, name, value);
      status.Update(attention.status());
      if (!attention.ok() || *attention == nullptr) return;
      RaiseToWeights(**attention, pairs, kNear, &weights);
    };
    model::Tape tape(ctx, model::Tape::kInference);
    const model::Var logits = model.Logits(tape, input, options);
    LT2_RETURN_IF_ERROR(tape.status());
    LT2_RETURN_IF_ERROR(status);
    LT2_ASSIGN_OR_RETURN(const std::vector<float> values,
                         HostFloats(ctx, logits.value()));
    for (size_t i = 0; i < tokens.size(); ++i) {
      const int64_t place = tokens[i].place;
      if (!question[i]) {
        ++counts.numbers[place];
        counts.from_number[place] += weights[i].exact;
        counts.near_number[place] += weights[i].near;
        continue;
      }
      const int64_t token = pairs[i].row * seq + tokens[i].at;
      const float* row = values.data() + token * vocab;
      ++counts.asked[place];
      counts.correct[place] +=
          std::max_element(row, row + vocab) - row == targets[token];
      counts.from_question[place] += weights[i].exact;
    }
  }
  return counts;
}

}  // namespace lt2::evals
