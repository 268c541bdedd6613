#include "model/hf/hf_folder.h"

#include "absl/strings/match.h"
#include "kernels/activation/activation.h"
#include "model/hf/folder_plan.h"
#include "model/looped/init.h"

namespace lt2::model {
namespace {

// Only the last tap, which is the token itself: x passes through.
std::vector<float> IdentityConvolution(const Shape& shape) {
  std::vector<float> values(shape.numel());
  const int64_t taps = shape.dim(shape.rank() - 1);
  for (int64_t i = taps - 1; i < shape.numel(); i += taps) values[i] = 1;
  return values;
}

// Rows of a projection [heads * size, dim], each head `repeat` times.
absl::Status RepeatHeads(Context& ctx, const Tensor& x, int64_t size,
                         int64_t repeat, Tensor y) {
  for (int64_t h = 0; h < y.dim(0) / size; ++h) {
    const int64_t from = h / repeat;
    Tensor to = y.Slice(h * size, (h + 1) * size);
    LT2_RETURN_IF_ERROR(ctx.Copy(x.Slice(from * size, (from + 1) * size), &to));
  }
  return absl::OkStatus();
}

absl::Status Set(Context& ctx, const FolderPlan& plan,
                 const PlannedParameter& planned, uint64_t seed, Parameter* p) {
  if (planned.source == PlannedParameter::kInitial) {
    const DeclaredParameter& declared = planned.declared;
    return SetValues(ctx,
                     absl::StrContains(declared.name, "conv1d.weight")
                         ? IdentityConvolution(declared.shape)
                         : InitialValues(declared, seed),
                     p);
  }
  LT2_ASSIGN_OR_RETURN(const Tensor loaded,
                       plan.tensors.Load(ctx, planned.tensor, DType::kF32));
  if (planned.source == PlannedParameter::kHeadsRepeated) {
    LT2_RETURN_IF_ERROR(RepeatHeads(ctx, loaded, plan.config.head_dim(),
                                    planned.repeat, p->value));
  } else {
    LT2_RETURN_IF_ERROR(ctx.Copy(loaded, &p->value));
  }
  if (p->compute.dtype() == DType::kF32) return absl::OkStatus();
  return kernels::Cast(ctx, {p->value, p->compute.dtype()}, &p->compute);
}

}  // namespace

absl::StatusOr<LoadedModel> LoadModelFolder(Context& ctx,
                                            const std::string& dir,
                                            const LoadOptions& options) {
  LT2_ASSIGN_OR_RETURN(FolderPlan plan,
                       PlanModelFolder(ctx, dir, options.model));
  LT2_RETURN_IF_ERROR(plan.status());
  const int64_t vocabulary = plan.config.vocab_size;
  if (options.vocab_size > vocabulary) {
    return InvalidArgument(
        dir, "/config.json: vocab_size is ", vocabulary, ", the tokenizer has ",
        options.vocab_size,
        " ids; use the tokenizer that the model was trained ", "with");
  }
  if (options.vocab_size > 0 && options.vocab_size < vocabulary) {
    plan.notes.push_back(absl::StrCat("the model's vocabulary of ", vocabulary,
                                      " is larger than the tokenizer's ",
                                      options.vocab_size));
  }
  LoadedModel result;
  LT2_ASSIGN_OR_RETURN(
      result.model, LoopedModel::Create(ctx, plan.config, absl::nullopt,
                                        options.training, options.activation));
  const std::vector<Parameter*>& parameters = result.model->parameters();
  LT2_CHECK(parameters.size() == plan.parameters.size());
  for (size_t i = 0; i < parameters.size(); ++i) {
    LT2_RETURN_IF_ERROR(
        Set(ctx, plan, plan.parameters[i], options.seed, parameters[i]));
  }
  const int64_t loops = options.loops > 0 ? options.loops : plan.loops;
  if (loops > 0) result.model->set_default_loops(loops);
  result.config_json = std::move(plan.config_json);
  result.notes = std::move(plan.notes);
  return result;
}

}  // namespace lt2::model
