#include "bench/scaling/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/core/philox.h"
#include "model/looped/accounting.h"

namespace lt2::bench {
namespace {

constexpr int kTokenSets = 4;

double Now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string StateKey(const Cell& cell) {
  Cell prefill = cell;
  prefill.phase = Phase::kPrefill;
  return prefill.Key();
}

}  // namespace

std::string NameOf(Row::Status status) {
  switch (status) {
    case Row::kOk:
      return "ok";
    case Row::kOutOfMemory:
      return "out_of_memory";
    case Row::kOverTime:
      return "over_time";
    case Row::kError:
      break;
  }
  return "error";
}

absl::StatusOr<std::unique_ptr<Measurer>> Measurer::Create(
    const Preset& preset, int threads, int64_t memory_limit) {
  auto measurer = std::unique_ptr<Measurer>(new Measurer(preset));
  measurer->options_.threads = threads;
  LT2_RETURN_IF_ERROR(measurer->Renew());
  if (memory_limit == 0 && preset.device == Device::kCPU) {
    memory_limit = measurer->ctx_->info().memory_bytes / 4 * 3;
  }
  if (memory_limit > 0) {
    measurer->options_.memory_limit = memory_limit;
    LT2_RETURN_IF_ERROR(measurer->Renew());
  }
  return measurer;
}

absl::Status Measurer::Renew() {
  state_.reset();
  state_key_.clear();
  model_.reset();
  mixer_.clear();
  ctx_.reset();
  LT2_ASSIGN_OR_RETURN(ctx_, Context::Create(preset_.device, options_));
  return absl::OkStatus();
}

absl::Status Measurer::UseModel(const std::string& mixer) {
  if (mixer_ == mixer) return absl::OkStatus();
  LT2_RETURN_IF_ERROR(Renew());
  LT2_ASSIGN_OR_RETURN(const model::ModelConfig config,
                       ConfigOf(preset_, mixer));
  LT2_ASSIGN_OR_RETURN(
      model_, model::LoopedModel::Create(*ctx_, config, 1, /*training=*/true));
  mixer_ = mixer;
  return absl::OkStatus();
}

absl::Status Measurer::FillCosts(Row* row) const {
  const Cell& cell = row->cell;
  const DType activation =
      preset_.device == Device::kCPU ? DType::kF32 : DType::kBF16;
  LT2_ASSIGN_OR_RETURN(const model::ModelConfig config,
                       ConfigOf(preset_, cell.mixer));
  LT2_ASSIGN_OR_RETURN(const model::ModelCost cost,
                       Cost(config, cell.length, cell.loops, activation));
  row->flops = cost.flops * cell.batch;
  if (cell.phase == Phase::kTrain) {
    row->flops *= 3;
    return absl::OkStatus();
  }
  row->state_bytes = cost.state_bytes * cell.batch;
  if (cell.phase == Phase::kDecode) {
    LT2_ASSIGN_OR_RETURN(
        const model::DecodeCost decode,
        CostOfDecoding(config, cell.length + 1, cell.loops, activation));
    row->flops = decode.flops * cell.batch;
    row->moved_bytes = decode.weight_bytes + decode.state_bytes * cell.batch;
  }
  return absl::OkStatus();
}

bool Measurer::Foretell(const std::map<std::string, Row>& before,
                        Row* row) const {
  // A decode step needs its prompt.
  const Phase phase =
      row->cell.phase == Phase::kDecode ? Phase::kPrefill : row->cell.phase;
  auto find = [&](int64_t length, int64_t loops, Phase of) -> const Row* {
    Cell cell = row->cell;
    cell.length = length;
    cell.loops = loops;
    cell.phase = of;
    const auto found = before.find(cell.Key());
    return found == before.end() ? nullptr : &found->second;
  };
  const Cell& cell = row->cell;
  if (phase != cell.phase) {
    const Row* prompt = find(cell.length, cell.loops, phase);
    if (prompt == nullptr || prompt->status == Row::kOk) return false;
    row->status = prompt->status;
    row->message = absl::StrCat("as the prefill: ", prompt->message);
    return true;
  }
  // The nearest rows that are no larger in length and in loops.
  const Row* nearest = nullptr;
  for (int64_t loops : preset_.loops) {
    for (int64_t length : preset_.lengths) {
      if (loops > cell.loops || length > cell.length) continue;
      const Row* other = find(length, loops, phase);
      if (other == nullptr) continue;
      if (other->status == Row::kOutOfMemory ||
          other->status == Row::kOverTime) {
        row->status = other->status;
        row->message = absl::StrCat("as already at length ", length, " and ",
                                    loops, " loops");
        return true;
      }
      if (other->status == Row::kOk &&
          (nearest == nullptr || other->flops > nearest->flops)) {
        nearest = other;
      }
    }
  }
  if (nearest == nullptr) return false;
  double seconds = nearest->samples[0];
  for (double sample : nearest->samples) seconds = std::min(seconds, sample);
  seconds *=
      static_cast<double>(row->flops) / static_cast<double>(nearest->flops);
  if (seconds <= preset_.call_seconds) return false;
  row->status = Row::kOverTime;
  row->message = absl::StrCat("a call would take about ", seconds, " s");
  return true;
}

absl::StatusOr<Row> Measurer::Measure(
    const Cell& cell, const std::map<std::string, Row>& before) {
  Row row;
  row.cell = cell;
  LT2_RETURN_IF_ERROR(FillCosts(&row));
  if (Foretell(before, &row)) return row;
  absl::Status status = Run(&row);
  if (status.ok()) return row;
  row.samples.clear();
  row.peak_bytes = 0;
  row.status = status.code() == absl::StatusCode::kResourceExhausted
                   ? Row::kOutOfMemory
                   : Row::kError;
  row.message = std::string(status.message());
  LT2_RETURN_IF_ERROR(Renew());
  return row;
}

absl::Status Measurer::Run(Row* row) {
  LT2_RETURN_IF_ERROR(UseModel(row->cell.mixer));
  if (row->cell.phase != Phase::kDecode) {
    state_.reset();
    state_key_.clear();
  }
  ctx_->arena().ResetPeak();
  switch (row->cell.phase) {
    case Phase::kTrain:
      LT2_RETURN_IF_ERROR(RunTrain(row));
      break;
    case Phase::kPrefill:
      LT2_RETURN_IF_ERROR(RunPrefill(row));
      break;
    case Phase::kDecode:
      LT2_RETURN_IF_ERROR(RunDecode(row));
      break;
  }
  row->peak_bytes = ctx_->arena().stats().peak;
  return absl::OkStatus();
}

absl::Status Measurer::Sample(const std::function<absl::Status(int)>& prepare,
                              const std::function<absl::Status(int)>& call,
                              Row* row) {
  double spent = 0;
  for (int i = 0; i <= preset_.max_samples; ++i) {
    LT2_RETURN_IF_ERROR(prepare(i));
    LT2_RETURN_IF_ERROR(ctx_->Synchronize());
    const double start = Now();
    LT2_RETURN_IF_ERROR(call(i));
    LT2_RETURN_IF_ERROR(ctx_->Synchronize());
    // To the nanosecond, at least one.
    const double seconds =
        std::max(1.0, std::round((Now() - start) * 1e9)) / 1e9;
    spent += seconds;
    if (i > 0) row->samples.push_back(seconds);  // the first is a warm-up
    if (i > 0 && spent + seconds > preset_.row_seconds) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Tensor>> Measurer::Tokens(int64_t batch,
                                                     int64_t length) {
  const int64_t vocab = model_->config().vocab_size;
  std::vector<Tensor> sets;
  for (int set = 0; set < kTokenSets; ++set) {
    Philox rng(static_cast<uint64_t>(set), 0);
    std::vector<int32_t> ids(batch * length);
    for (int32_t& id : ids) id = static_cast<int32_t>(rng.Below(vocab));
    LT2_ASSIGN_OR_RETURN(Tensor ids_on_device,
                         ctx_->FromHost<int32_t>(ids, {batch, length}));
    sets.push_back(ids_on_device);
  }
  return sets;
}

absl::Status Measurer::RunTrain(Row* row) {
  const Cell& cell = row->cell;
  LT2_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs,
                       Tokens(cell.batch, cell.length));
  model::ForwardOptions forward;
  forward.loops = cell.loops;
  return Sample(
      [](int) { return absl::OkStatus(); },
      [&](int i) {
        model::Tape tape(*ctx_, model::Tape::kRecord);
        const model::Var logits =
            model_->Logits(tape, inputs[i % kTokenSets], forward);
        if (!tape.ok()) return tape.status();
        // Another set of tokens, as good as any.
        const model::Var loss = CrossEntropy(
            tape, logits,
            inputs[(i + 1) % kTokenSets].Reshape({cell.batch * cell.length}),
            model_->activation());
        return tape.Backward(loss);
      },
      row);
}

absl::Status Measurer::RunPrefill(Row* row) {
  const Cell& cell = row->cell;
  LT2_ASSIGN_OR_RETURN(const std::vector<Tensor> prompts,
                       Tokens(cell.batch, cell.length));
  model::ForwardOptions forward;
  forward.loops = cell.loops;
  LT2_RETURN_IF_ERROR(Sample(
      [&](int) {
        state_.reset();
        LT2_ASSIGN_OR_RETURN(
            state_, model::DecodeState::Create(
                        *model_, cell.batch,
                        cell.length + preset_.max_samples + 1, cell.loops));
        forward.state = state_.get();
        return absl::OkStatus();
      },
      [&](int i) {
        model::Tape tape(*ctx_, model::Tape::kInference);
        model_->Logits(tape, prompts[i % kTokenSets], forward);
        return tape.status();
      },
      row));
  state_key_ = StateKey(cell);
  return absl::OkStatus();
}

absl::Status Measurer::RunDecode(Row* row) {
  const Cell& cell = row->cell;
  if (state_key_ != StateKey(cell)) {  // the prefill is from an earlier run
    Row prefill;
    prefill.cell = cell;
    prefill.cell.phase = Phase::kPrefill;
    LT2_RETURN_IF_ERROR(RunPrefill(&prefill));
    ctx_->arena().ResetPeak();
  }
  LT2_ASSIGN_OR_RETURN(const std::vector<Tensor> tokens, Tokens(cell.batch, 1));
  model::ForwardOptions forward;
  forward.loops = cell.loops;
  forward.state = state_.get();
  LT2_RETURN_IF_ERROR(Sample([](int) { return absl::OkStatus(); },
                             [&](int i) {
                               model::Tape tape(*ctx_, model::Tape::kInference);
                               model_->Logits(tape, tokens[i % kTokenSets],
                                              forward);
                               return tape.status();
                             },
                             row));
  state_.reset();
  state_key_.clear();
  return absl::OkStatus();
}

}  // namespace lt2::bench
