#include "model/hf/folder_plan.h"

#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kernels/core/json/strict_json.h"
#include "model/hf/ouro_config.h"
#include "model/io/atomic_file.h"
#include "model/looped/looped_model.h"

namespace lt2::model {
namespace {

constexpr char kConfig[] = "config.json";

std::string Prefixed(const std::string& layer, absl::string_view name) {
  return absl::StrCat("model.layers.", layer, ".", name);
}

// What differs in the names below layers.I.
const std::map<std::string, std::string>& LayerNames() {
  static const auto& names = *new std::map<std::string, std::string>{
      {"attention_norm.weight", "input_layernorm.weight"},
      {"attention_norm_2.weight", "input_layernorm_2.weight"},
      {"ffn_norm.weight", "post_attention_layernorm.weight"},
      {"ffn_norm_2.weight", "post_attention_layernorm_2.weight"},
      {"attention.wq.weight", "self_attn.q_proj.weight"},
      {"attention.wk.weight", "self_attn.k_proj.weight"},
      {"attention.wv.weight", "self_attn.v_proj.weight"},
      {"attention.wo.weight", "self_attn.o_proj.weight"},
      {"feed_forward.w1.weight", "mlp.gate_proj.weight"},
      {"feed_forward.w3.weight", "mlp.up_proj.weight"},
      {"feed_forward.w2.weight", "mlp.down_proj.weight"},
  };
  return names;
}

// The projections that a mixer may take over from softmax attention.
struct Projection {
  const char* name;  // of the mixer's parameter
  const char* ours;  // of softmax attention's
};
constexpr Projection kProjections[] = {{"q_proj.weight", "wq.weight"},
                                       {"k_proj.weight", "wk.weight"},
                                       {"v_proj.weight", "wv.weight"},
                                       {"o_proj.weight", "wo.weight"}};

bool IsFloat(SafetensorsDType dtype) {
  return dtype == SafetensorsDType::kF32 || dtype == SafetensorsDType::kF16 ||
         dtype == SafetensorsDType::kBF16;
}

class Planner {
 public:
  explicit Planner(FolderPlan& plan) : plan_(plan) {}

  absl::Status Run(Context& ctx) {
    LT2_ASSIGN_OR_RETURN(const std::vector<DeclaredParameter> all,
                         LoopedModel::Declarations(ctx, plan_.config));
    std::map<std::string, std::vector<const DeclaredParameter*>> mixers;
    for (const DeclaredParameter& p : all) {
      const std::string mixer = MixerOf(p.name);
      if (!mixer.empty()) mixers[mixer].push_back(&p);
    }
    for (const auto& [mixer, parameters] : mixers) {
      if (TakesOver(mixer, parameters)) converted_.insert(mixer);
    }
    for (const DeclaredParameter& p : all) {
      if (converted_.count(MixerOf(p.name)) > 0) {
        Convert(p);
      } else {
        Take(p, NameOf(p.name));
      }
    }
    for (const auto& [name, entry] : plan_.tensors.tensors()) {
      if (used_.count(name) == 0) LeftOver(name, entry);
    }
    if (!converted_.empty()) {
      plan_.notes.push_back(absl::StrCat(
          converted_.size(),
          " layers take over the projections of softmax "
          "attention; what attention does not have starts at first values"));
    }
    return absl::OkStatus();
  }

 private:
  std::string NameOf(const std::string& parameter) const {
    return plan_.layout == FolderLayout::kOuro ? OuroName(parameter)
                                               : parameter;
  }

  // "layers.I.attention." of a mixer's parameter, else "".
  static std::string MixerOf(const std::string& name) {
    const std::vector<std::string> parts = absl::StrSplit(name, '.');
    if (parts.size() < 4 || parts[0] != "layers" || parts[2] != "attention") {
      return "";
    }
    return absl::StrCat("layers.", parts[1], ".attention.");
  }

  // The tensor that holds a projection of softmax attention; "" if none.
  std::string AttentionTensor(const std::string& mixer,
                              const Projection& projection) const {
    const std::string name = NameOf(mixer + projection.ours);
    return plan_.tensors.Find(name) != nullptr ? name : "";
  }

  bool TakesOver(const std::string& mixer,
                 const std::vector<const DeclaredParameter*>& all) const {
    size_t projections = 0;
    for (const Projection& projection : kProjections) {
      if (AttentionTensor(mixer, projection).empty()) return false;
      for (const DeclaredParameter* p : all) {
        projections += p->name == mixer + projection.name;
      }
    }
    if (projections != 4) return false;
    for (const DeclaredParameter* p : all) {
      bool other = true;
      for (const Projection& projection : kProjections) {
        other &= p->name != mixer + projection.name;
      }
      if (other && plan_.tensors.Find(NameOf(p->name)) != nullptr) return false;
    }
    return true;
  }

  void Convert(const DeclaredParameter& p) {
    const std::string mixer = MixerOf(p.name);
    for (const Projection& projection : kProjections) {
      if (p.name != mixer + projection.name) continue;
      const std::string name = AttentionTensor(mixer, projection);
      const TensorFolder::Entry& entry = *plan_.tensors.Find(name);
      const std::vector<int64_t>& shape = entry.info.shape;
      // A key or value head for each group of query heads.
      const int64_t group = plan_.config.n_heads / plan_.config.n_kv_heads;
      const bool grouped =
          projection.name[0] == 'k' || projection.name[0] == 'v';
      if (grouped && group > 1 && shape.size() == 2 &&
          IsFloat(entry.info.dtype) &&
          shape[0] == plan_.config.n_kv_heads * plan_.config.head_dim() &&
          shape[0] * group == p.shape.dim(0) && shape[1] == p.shape.dim(1)) {
        used_.insert(name);
        Add(p, PlannedParameter::kHeadsRepeated, name, group);
        return;
      }
      Take(p, name);
      return;
    }
    Add(p, PlannedParameter::kInitial, "", 1);
  }

  void Add(const DeclaredParameter& p, PlannedParameter::Source source,
           const std::string& tensor, int64_t repeat) {
    PlannedParameter planned;
    planned.declared = p;
    planned.source = source;
    planned.tensor = tensor;
    planned.repeat = repeat;
    plan_.parameters.push_back(std::move(planned));
  }

  // Parameter p from the tensor of this name, which must fit.
  void Take(const DeclaredParameter& p, const std::string& name) {
    Add(p, PlannedParameter::kStored, name, 1);
    const TensorFolder::Entry* entry = plan_.tensors.Find(name);
    if (entry == nullptr) {
      plan_.missing.push_back(absl::StrCat(
          plan_.folder, ": no tensor '", name, "' of shape ",
          p.shape.ToString(), ", which ", kConfig, " asks for; ",
          p.name == "output.weight"
              ? "if the output is the embedding table, say so there "
                "(tie_word_embeddings, weight_tying)"
              : "copy the whole checkpoint, or correct config.json"));
      return;
    }
    used_.insert(name);
    const SafetensorsInfo& info = entry->info;
    const std::string where =
        absl::StrCat(plan_.tensors.FileOf(*entry), ": ", info.ToString());
    if (absl::MakeConstSpan(info.shape) != p.shape.dims()) {
      const bool vocabulary =
          (p.name == "tok_embeddings.weight" || p.name == "output.weight") &&
          info.shape.size() == 2 && info.shape[1] == p.shape.dim(1);
      plan_.wrong.push_back(
          vocabulary
              ? absl::StrCat(where, " is for a vocabulary of ", info.shape[0],
                             ", vocab_size in ", kConfig, " is ",
                             plan_.config.vocab_size,
                             "; set it to what the tensor has")
              : absl::StrCat(where, ", but ", kConfig, " asks for ",
                             p.shape.ToString(),
                             "; correct config.json, or take both from the "
                             "same checkpoint"));
      return;
    }
    if (!IsFloat(info.dtype)) {
      plan_.wrong.push_back(
          absl::StrCat(where,
                       " cannot be a weight; store it as F32, BF16 or "
                       "F16"));
    }
  }

  void LeftOver(const std::string& name, const TensorFolder::Entry& entry) {
    if (plan_.layout == FolderLayout::kOuro) {
      if (name == "lm_head.weight" && plan_.config.weight_tying) {
        plan_.notes.push_back(
            "tie_word_embeddings is true: lm_head.weight is not used");
        return;
      }
      if (absl::EndsWith(name, "rotary_emb.inv_freq")) {
        plan_.notes.push_back(
            absl::StrCat(name, " is not used: it follows from rope_theta"));
        return;
      }
    }
    plan_.unexpected.push_back(
        absl::StrCat(plan_.tensors.FileOf(entry), ": ", entry.info.ToString(),
                     " is not part of the model that ", kConfig,
                     " describes; correct config.json, or remove the tensor"));
  }

  FolderPlan& plan_;
  std::set<std::string> used_, converted_;
};

}  // namespace

std::string OuroName(const std::string& parameter) {
  if (parameter == "tok_embeddings.weight") return "model.embed_tokens.weight";
  if (parameter == "output.weight") return "lm_head.weight";
  if (parameter == "norm.weight") return "model.norm.weight";
  absl::string_view rest = parameter;
  if (absl::ConsumePrefix(&rest, "exit_gate.")) {
    return absl::StrCat("model.early_exit_gate.", rest);
  }
  if (!absl::ConsumePrefix(&rest, "layers.")) return parameter;
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(rest, absl::MaxSplits('.', 1));
  const auto found = LayerNames().find(parts.second);
  if (found != LayerNames().end()) return Prefixed(parts.first, found->second);
  absl::string_view name = parts.second;
  if (absl::ConsumePrefix(&name, "attention.")) {
    return Prefixed(parts.first, absl::StrCat("self_attn.", name));
  }
  return Prefixed(parts.first, name);
}

absl::Status FolderPlan::status() const {
  std::vector<std::string> all = wrong;
  all.insert(all.end(), missing.begin(), missing.end());
  all.insert(all.end(), unexpected.begin(), unexpected.end());
  if (all.empty()) return absl::OkStatus();
  const std::string more =
      all.size() == 1 ? ""
                      : absl::StrCat(" (and ", all.size() - 1,
                                     " more problems; //tools:describe ",
                                     folder, " shows them)");
  return wrong.empty() && !missing.empty() ? absl::NotFoundError(all[0] + more)
                                           : InvalidArgument(all[0], more);
}

absl::StatusOr<FolderPlan> PlanModelFolder(Context& ctx,
                                           const std::string& folder,
                                           const nlohmann::json& changes) {
  FolderPlan plan;
  plan.folder = folder;
  const std::string file = absl::StrCat(folder, "/", kConfig);
  LT2_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  LT2_ASSIGN_OR_RETURN(plan.config_json, ParseJson(text, file));
  if (IsOuroConfig(plan.config_json)) {
    plan.layout = FolderLayout::kOuro;
    LT2_ASSIGN_OR_RETURN(const OuroConfig ouro,
                         ReadOuroConfig(plan.config_json, file, changes));
    plan.config = ouro.model;
    plan.loops = ouro.loops;
  } else if (plan.config_json.is_object() &&
             plan.config_json.contains("model")) {
    nlohmann::json model = plan.config_json["model"];
    if (model.is_object()) model.merge_patch(changes);
    LT2_ASSIGN_OR_RETURN(plan.config,
                         ModelConfig::FromJson(model, file + ": model"));
  } else {
    const nlohmann::json type =
        plan.config_json.is_object()
            ? plan.config_json.value("model_type", nlohmann::json("none"))
            : nlohmann::json("none");
    return InvalidArgument(file,
                           ": neither a model of ours (no \"model\") nor ",
                           "an Ouro; its model_type is ", type.dump(),
                           ", \"ouro\" is the only one that can be loaded");
  }
  LT2_ASSIGN_OR_RETURN(plan.tensors, TensorFolder::Open(folder));
  LT2_RETURN_IF_ERROR(Planner(plan).Run(ctx));
  return plan;
}

}  // namespace lt2::model
