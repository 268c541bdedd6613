#include "bench/scaling/measure.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bench/scaling/green.h"
#include "bench/scaling/operator_case.h"
#include "bench/scaling/statistics.h"
#include "kernels/core/philox.h"
#include "model/looped/accounting.h"
#include "model/looped/decode_graph.h"
#include "model/training/train_step.h"

namespace lt2::bench {
namespace {

constexpr int kTokenSets = 4;

constexpr int kDecodeCalls = 8;  // of a sample, at most
constexpr int64_t kMaxSets = 16;

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
  timer_.reset();
  ctx_.reset();
  LT2_ASSIGN_OR_RETURN(ctx_, Context::Create(preset_.device, options_));
  LT2_ASSIGN_OR_RETURN(timer_, Timer::Create(*ctx_, preset_.cpu_clock));
  return absl::OkStatus();
}

absl::StatusOr<Ceilings> Measurer::MeasureCeilings() {
  auto ceilings = bench::MeasureCeilings(*ctx_, *timer_, preset_.ceiling_n,
                                         preset_.ceiling_bytes);
  LT2_RETURN_IF_ERROR(Renew());
  return ceilings;
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
  if (OfOperator(cell.phase)) return absl::OkStatus();  // RunOperator does
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
  LT2_ASSIGN_OR_RETURN(
      const model::DecodeCost decode,
      CostOfDecoding(config, cell.length + 1, cell.loops, activation));
  row->moved_bytes = decode.weight_bytes + row->state_bytes;
  if (cell.phase == Phase::kDecode) {
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
  // The nearest row that is no larger in length, loops and batch.
  const Row* nearest = nullptr;
  for (const auto& [key, other] : before) {
    const Cell& o = other.cell;
    if (o.mixer != cell.mixer || o.phase != phase || o.length > cell.length ||
        o.loops > cell.loops || o.batch > cell.batch) {
      continue;
    }
    if (other.status == Row::kOutOfMemory || other.status == Row::kOverTime) {
      row->status = other.status;
      row->message = absl::StrCat("as already at length ", o.length, ", ",
                                  o.loops, " loops, batch ", o.batch);
      return true;
    }
    auto size = [](const Cell& c) { return c.length * c.loops * c.batch; };
    if (other.status == Row::kOk && !other.samples.empty() &&
        (nearest == nullptr || size(o) > size(nearest->cell))) {
      nearest = &other;
    }
  }
  if (nearest == nullptr) return false;
  double growth = static_cast<double>(row->flops) /
                  static_cast<double>(std::max<int64_t>(nearest->flops, 1));
  if (OfOperator(phase)) {  // its FLOPs are not known yet: at most quadratic
    const double ratio = static_cast<double>(cell.length) /
                         static_cast<double>(nearest->cell.length);
    growth = ratio * ratio * static_cast<double>(cell.batch) /
             static_cast<double>(nearest->cell.batch);
  }
  const double seconds = growth * *std::min_element(nearest->samples.begin(),
                                                    nearest->samples.end());
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
  // A failed kernel takes the device away from its process.
  const absl::Status renewed = Renew();
  if (!renewed.ok() || !ctx_->Synchronize().ok() ||
      !ctx_->Zeros(DType::kF32, {1}).ok()) {
    device_lost_ = true;
  }
  return row;
}

absl::Status Measurer::CheckGreen(const Cell& cell) {
  // On the CPU the model's check has the operator in it, whole and by token.
  const bool alone = OfOperator(cell.phase) && ctx_->is_cuda();
  const std::string key = absl::StrCat(alone, cell.mixer);
  const auto found = green_.find(key);
  if (found != green_.end()) return found->second;
  absl::Status status;
  if (alone) {
    LT2_ASSIGN_OR_RETURN(const model::ModelConfig config,
                         ConfigOf(preset_, cell.mixer));
    status = CheckOperator(*ctx_, config, cell.mixer, options_.threads);
  } else {
    LT2_RETURN_IF_ERROR(UseModel(cell.mixer));
    status = CheckModel(*model_, absl::StrContains(cell.mixer, "dsa") ||
                                     absl::StrContains(cell.mixer, "nsa"));
  }
  // Out of memory says nothing about the mixer.
  if (status.code() != absl::StatusCode::kResourceExhausted) {
    green_[key] = status;
  }
  return status;
}

absl::Status Measurer::Run(Row* row) {
  LT2_RETURN_IF_ERROR(CheckGreen(row->cell));
  if (OfOperator(row->cell.phase)) return RunOperator(row);
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
    default:
      LT2_RETURN_IF_ERROR(RunDecode(row));
      break;
  }
  row->peak_bytes = ctx_->arena().stats().peak;
  return absl::OkStatus();
}

absl::Status Measurer::Sample(int max_calls, const Timer::Step& prepare,
                              const Timer::Step& call, Row* row) {
  const TimerLimits limits{preset_.row_seconds, preset_.max_samples, max_calls};
  LT2_ASSIGN_OR_RETURN(row->timing, timer_->Measure(limits, prepare, call));
  row->samples = row->timing.samples;
  LT2_ASSIGN_OR_RETURN(const MedianInterval m, MedianOf(row->samples));
  row->process_medians = {m.median};
  return absl::OkStatus();
}

absl::Status Measurer::RunOperator(Row* row) {
  const Cell& cell = row->cell;
  LT2_ASSIGN_OR_RETURN(const model::ModelConfig config,
                       ConfigOf(preset_, cell.mixer));
  state_.reset();
  state_key_.clear();
  Noise noise(*ctx_);
  auto create = [&](int sets) {
    return OperatorCase::Create(*ctx_, noise, config, cell.mixer, cell.batch,
                                cell.length, sets);
  };
  LT2_ASSIGN_OR_RETURN(std::unique_ptr<OperatorCase> made, create(1));
  // Twice the last cache, but not where memory would be short of it.
  const int64_t bytes = std::max<int64_t>(made->input_bytes(), 1);
  const int sets = static_cast<int>(
      std::clamp<int64_t>(2 * timer_->cache_bytes() / bytes + 1, 2, kMaxSets));
  if (bytes < ctx_->info().memory_bytes / 16) {
    made.reset();
    LT2_ASSIGN_OR_RETURN(made, create(sets));
  }
  const int64_t flops = ctx_->flops();
  LT2_RETURN_IF_ERROR(made->Forward(0));
  row->flops = ctx_->flops() - flops;
  row->moved_bytes = made->input_bytes() + made->output_bytes();
  const bool both = cell.phase == Phase::kForwardBackward;
  if (both) {
    row->flops *= 3;
    row->moved_bytes *= 3;
  }
  // The peak is of one call with one set of inputs.
  LT2_RETURN_IF_ERROR(ctx_->Synchronize());
  const int64_t held = ctx_->arena().stats().in_use;
  ctx_->arena().ResetPeak();
  LT2_RETURN_IF_ERROR(both ? made->ForwardBackward(0) : made->Forward(0));
  row->peak_bytes = ctx_->arena().stats().peak - held + bytes;
  return Sample(
      50, [](int) { return absl::OkStatus(); },
      [&](int i) { return both ? made->ForwardBackward(i) : made->Forward(i); },
      row);
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
  LT2_ASSIGN_OR_RETURN(
      const auto optimizer,
      model::Optimizer::Create(*ctx_, model_->parameters(), {}));
  model::TrainStep step(*model_, *optimizer, model::Recompute::kNothing,
                        cell.loops);
  const int64_t n = cell.batch * cell.length;
  std::vector<std::vector<int32_t>> ids;
  for (int set = 0; set < kTokenSets; ++set) {
    Philox rng(static_cast<uint64_t>(set), 0);
    std::vector<int32_t> tokens(n);
    for (int32_t& id : tokens) {
      id = static_cast<int32_t>(rng.Below(model_->config().vocab_size));
    }
    ids.push_back(tokens);
  }
  int64_t number = 0;
  auto run = [&](int i) {
    // The targets are another set of tokens, as good as any; the rate is so
    // small that the weights stay what they are.
    return step
        .Run(cell.batch, cell.length, ids[i % kTokenSets],
             ids[(i + 1) % kTokenSets], 1e-7, ++number)
        .status();
  };
  // The first step runs by operators, the second one is captured.
  if (ctx_->is_cuda()) {
    LT2_RETURN_IF_ERROR(run(0));
    LT2_RETURN_IF_ERROR(run(1));
  }
  return Sample(
      1, [](int) { return absl::OkStatus(); }, run, row);
}

absl::Status Measurer::RunPrefill(Row* row) {
  const Cell& cell = row->cell;
  LT2_ASSIGN_OR_RETURN(const std::vector<Tensor> prompts,
                       Tokens(cell.batch, cell.length));
  model::ForwardOptions forward;
  forward.loops = cell.loops;
  // Room for the steps that RunDecode takes.
  const int64_t room =
      (ctx_->is_cuda() ? kDecodeCalls : 1) * (preset_.max_samples + 2) + 4;
  LT2_RETURN_IF_ERROR(Sample(
      1,
      [&](int) {
        state_.reset();
        LT2_ASSIGN_OR_RETURN(
            state_, model::DecodeState::Create(*model_, cell.batch,
                                               cell.length + room, cell.loops));
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
    state_.reset();
    Row prefill;
    prefill.cell = cell;
    prefill.cell.phase = Phase::kPrefill;
    LT2_RETURN_IF_ERROR(RunPrefill(&prefill));
    ctx_->arena().ResetPeak();
  }
  LT2_ASSIGN_OR_RETURN(const std::vector<Tensor> tokens, Tokens(cell.batch, 1));
  absl::Status status;
  {
    LT2_ASSIGN_OR_RETURN(const auto decoder,
                         model::DecodeGraph::Create(*model_, state_.get()));
    auto step = [&](int i) {
      return decoder->Step(tokens[i % kTokenSets]).status();
    };
    status = step(0);  // runs by operators and is captured
    if (status.ok()) {
      status = Sample(
          kDecodeCalls, [](int) { return absl::OkStatus(); }, step, row);
    }
  }
  state_.reset();
  state_key_.clear();
  return status;
}

}  // namespace lt2::bench
