#include "model/looped/forms_testing.h"

#include <algorithm>
#include <cmath>

#include "model/looped/init.h"

namespace lt2::model {
namespace {

using testing::RmsRatio;
using testing::ToDoubles;

bool EndsWith(const std::string& s, const std::string& end) {
  return s.size() >= end.size() &&
         s.compare(s.size() - end.size(), end.size(), end) == 0;
}

void SetExtremeGates(LoopedModel& model) {
  for (Parameter* p : model.parameters()) {
    std::vector<double> values = ToDoubles(model.ctx(), p->value);
    bool changed = false;
    // What decays and write strengths are projected by.
    for (const char* name :
         {"a_proj.weight", "b_proj.weight", "f_proj.weight", "f_proj.1.weight",
          "gk_proj.1.weight", "wg.weight"}) {
      if (!EndsWith(p->name, name)) continue;
      for (double& x : values) x *= 30;
      changed = true;
    }
    for (const char* name : {"dt_bias", "gk_proj.1.bias"}) {
      if (!EndsWith(p->name, name)) continue;
      for (size_t i = 0; i < values.size(); ++i) values[i] = i % 2 ? 20 : -20;
      changed = true;
    }
    if (!changed) continue;
    const std::vector<float> moved(values.begin(), values.end());
    LT2_CHECK_OK(SetValues(model.ctx(), moved, p));
  }
}

// Rows [begin, end) of logits [seq, vocab].
std::vector<double> Rows(const std::vector<double>& logits, int64_t begin,
                         int64_t end, int64_t seq) {
  const int64_t vocab = static_cast<int64_t>(logits.size()) / seq;
  return {logits.begin() + begin * vocab, logits.begin() + end * vocab};
}

// OK if the engine has what the model needs, in all three forms.
absl::Status Runs(LoopedModel& model) {
  Context& ctx = model.ctx();
  auto logits = [&](int64_t seq, DecodeState* state) -> absl::Status {
    Tape tape(ctx, Tape::kInference);
    ForwardOptions options;
    options.state = state;
    model.Logits(tape, RandomIds(ctx, 1, seq, 29, 1), options);
    LT2_RETURN_IF_ERROR(tape.status());
    return ctx.Synchronize();
  };
  LT2_RETURN_IF_ERROR(logits(9, nullptr));
  LT2_ASSIGN_OR_RETURN(auto state, DecodeState::Create(model, 1, 10));
  LT2_RETURN_IF_ERROR(logits(5, state.get()));
  LT2_RETURN_IF_ERROR(logits(4, state.get()));
  return logits(1, state.get());
}

Tensor Ids(Context& ctx, const std::vector<double>& ids, int64_t seq) {
  return testing::ToTensor(ctx, DType::kI32, {1, seq},
                           {ids.begin(), ids.begin() + seq});
}

}  // namespace

std::vector<double> InPieces(LoopedModel& model, const Tensor& ids,
                             const std::vector<int64_t>& pieces,
                             int64_t loops) {
  Context& ctx = model.ctx();
  const int64_t batch = ids.dim(0), seq = ids.dim(1);
  const int64_t vocab = model.config().vocab_size;
  auto state = DecodeState::Create(model, batch, seq, loops);
  LT2_CHECK(state.ok(), state.status().ToString());
  const std::vector<double> all = ToDoubles(ctx, ids);
  std::vector<double> logits(batch * seq * vocab);
  int64_t begin = 0;
  for (int64_t n : pieces) {
    std::vector<double> part;
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t i = 0; i < n; ++i) part.push_back(all[b * seq + begin + i]);
    }
    ForwardOptions options;
    options.state = state->get();
    const std::vector<double> got = LogitsOf(
        model, testing::ToTensor(ctx, DType::kI32, {batch, n}, part), options);
    for (int64_t b = 0; b < batch; ++b) {
      std::copy(got.begin() + b * n * vocab, got.begin() + (b + 1) * n * vocab,
                logits.begin() + (b * seq + begin) * vocab);
    }
    begin += n;
  }
  LT2_CHECK(begin == seq && (*state)->position() == seq);
  return logits;
}

TestModel SelectingAll(TestModel kind) {
  constexpr int64_t kAll = 256;  // more than there are tokens
  kind.json["dsa"]["top_k"] = kAll;
  kind.json["nsa"]["block_counts"] = kAll;
  return kind;
}

Forms::Forms(const TestModel& kind, Gates gates)
    : kind_(kind),
      gates_(gates),
      cpu_(testing::CpuContext()),
      host_(MakeModel(*cpu_, kind.json, false)) {
  if (gates_ == Gates::kExtreme) SetExtremeGates(*host_);
  ids_ = ToDoubles(*cpu_, RandomIds(*cpu_, 1, kTokens, 29, 7));
}

std::vector<double> Forms::Definition(LoopedModel& model, int64_t loops) const {
  return InPieces(model, Ids(*cpu_, ids_, kTokens),
                  std::vector<int64_t>(kTokens, 1), loops);
}

double Forms::EffectOfRounding(DType type, int64_t loops) {
  auto moved = MakeModel(*cpu_, kind_.json, false);
  CopyWeights(*host_, *moved);
  // Half a unit in the last place is 2^-9 of a bf16; f32 sums of some dozen
  // terms round like 2^-22.
  RoundWeights(*moved, type == DType::kBF16 ? 1.0 / 512 : 1.0 / (1 << 22),
               loops);
  return RmsRatio(Definition(*moved, loops), Definition(*host_, loops));
}

void Forms::Check(Context& ctx, DType activation,
                  const std::vector<int64_t>& loop_counts) {
  auto model = MakeModel(ctx, kind_.json, false, activation);
  CopyWeights(*host_, *model);
  const absl::Status runs = Runs(*model);
  ASSERT_TRUE(runs.ok()) << kind_.name << ", " << Name(activation) << ": "
                         << runs;
  const bool definition_itself = !ctx.is_cuda();
  for (int64_t loops : loop_counts) {
    const std::vector<double> definition = Definition(*host_, loops);
    for (double x : definition) ASSERT_TRUE(std::isfinite(x));
    const double limit = kSlack * EffectOfRounding(activation, loops) +
                         (activation == DType::kBF16 ? 1.0 / 256 : 1e-6);
    double worst = 0;
    auto compare = [&](const std::vector<double>& got, int64_t seq,
                       const std::string& form) {
      const double error = RmsRatio(got, Rows(definition, 0, seq, kTokens));
      worst = std::max(worst, error / limit);
      EXPECT_LE(error, limit)
          << kind_.name << ", " << form << ", " << seq << " tokens, " << loops
          << " loops, " << (ctx.is_cuda() ? "cuda " : "cpu ")
          << Name(activation)
          << (gates_ == Gates::kExtreme ? ", extreme gates" : "");
    };
    ForwardOptions options;
    options.loops = loops;
    // Around the chunks of 16, 32 and 64 tokens that kernels work by.
    for (int64_t seq :
         {1, 2, 3, 15, 16, 17, 31, 33, 63, 64, 65, 129, int{kTokens}}) {
      compare(LogitsOf(*model, Ids(ctx, ids_, seq), options), seq, "whole");
    }
    std::vector<std::vector<int64_t>> cuts = {
        {kTokens}, {64, 66}, {1, 2, 3, 17, 107}, {100, 1, 1, 1, 27}};
    if (!definition_itself) cuts.push_back(std::vector<int64_t>(kTokens, 1));
    for (const std::vector<int64_t>& pieces : cuts) {
      compare(InPieces(*model, Ids(ctx, ids_, kTokens), pieces, loops), kTokens,
              absl::StrCat(pieces.size(), " pieces"));
    }
    std::printf("%s, %d loops, %s %s%s: limit %.1e, worst error %.2f of it\n",
                kind_.name.c_str(), static_cast<int>(loops),
                ctx.is_cuda() ? "cuda" : "cpu", Name(activation),
                gates_ == Gates::kExtreme ? ", extreme gates" : "", limit,
                worst);
  }
}

void Forms::CheckTwinIsRefused(Context& ctx, DType activation) {
  auto model = MakeModel(ctx, kind_.json, false, activation);
  CopyWeights(*host_, *model);
  const absl::Status runs = Runs(*model);
  ASSERT_TRUE(runs.ok()) << kind_.name << ": " << runs;
  constexpr int64_t kLoops = 2;
  std::vector<double> other = ids_;
  other[0] = static_cast<double>((static_cast<int64_t>(ids_[0]) + 1) % 29);
  ForwardOptions options;
  options.loops = kLoops;
  const int64_t seq = 20;
  const std::vector<double> got =
      LogitsOf(*model, Ids(ctx, other, seq), options);
  // Of the tokens that still see the first one.
  const double limit = kSlack * EffectOfRounding(activation, kLoops) +
                       (activation == DType::kBF16 ? 1.0 / 256 : 1e-6);
  EXPECT_GT(RmsRatio(Rows(got, 1, 4, seq),
                     Rows(Definition(*host_, kLoops), 1, 4, kTokens)),
            limit)
      << kind_.name;
}

}  // namespace lt2::model
