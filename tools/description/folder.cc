#include "tools/description/folder.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "evals/stats/table.h"
#include "kernels/core/context.h"
#include "model/hf/folder_plan.h"

namespace lt2::tools {
namespace {

using model::FolderPlan;
using model::PlannedParameter;
using model::TensorFolder;

std::string Shape(const std::vector<int64_t>& dims) {
  return absl::StrCat("[", absl::StrJoin(dims, ", "), "]");
}

std::string FileName(const std::string& path) {
  return path.substr(path.find_last_of('/') + 1);
}

// Collects the rows of the table and of the JSON.
class Rows {
 public:
  Rows() : table_({{"tensor"}, {"type"}, {"shape"}, {"file"}, {"use"}}) {}

  void Add(const FolderPlan& plan, const std::string& name,
           const std::string& use) {
    const TensorFolder::Entry* entry = plan.tensors.Find(name);
    std::string type = "-", shape = "-", file = "-";
    nlohmann::json row = {{"name", name}, {"use", use}};
    if (entry != nullptr) {
      type = model::Name(entry->info.dtype);
      shape = Shape(entry->info.shape);
      file = FileName(plan.tensors.FileOf(*entry));
      row["dtype"] = type;
      row["shape"] = entry->info.shape;
      row["file"] = file;
    }
    table_.AddRow({name, type, shape, file, use});
    json_.push_back(std::move(row));
  }

  std::string text() const { return table_.ToText(); }
  const nlohmann::json& json() const { return json_; }

 private:
  evals::Table table_;
  nlohmann::json json_ = nlohmann::json::array();
};

std::string Use(const PlannedParameter& p, bool is_there) {
  if (!is_there) return "MISSING: " + p.declared.name;
  if (p.source == PlannedParameter::kHeadsRepeated) {
    return absl::StrCat(p.declared.name, ", each head ", p.repeat, " times");
  }
  return p.declared.name;
}

}  // namespace

bool HasWeights(const std::string& path) {
  return TensorFolder::HasTensors(path);
}

absl::StatusOr<FolderDescription> DescribeFolder(const std::string& path) {
  LT2_ASSIGN_OR_RETURN(auto ctx, Context::Create(Device::kCPU));
  FolderDescription result;
  const auto plan =
      model::PlanModelFolder(*ctx, path, nlohmann::json::object());
  if (!plan.ok()) {
    result.status = plan.status();
    result.json = {{"problems", {std::string(plan.status().message())}}};
    result.text = absl::StrCat("PROBLEM  ", plan.status().message(), "\n");
    return result;
  }
  Rows rows;
  std::set<std::string> used;
  int64_t initial = 0;
  for (const PlannedParameter& p : plan->parameters) {
    if (p.source == PlannedParameter::kInitial) {
      ++initial;
      continue;
    }
    used.insert(p.tensor);
    rows.Add(*plan, p.tensor, Use(p, plan->tensors.Find(p.tensor) != nullptr));
  }
  for (const auto& [name, entry] : plan->tensors.tensors()) {
    if (used.count(name) == 0) rows.Add(*plan, name, "not used");
  }
  std::vector<std::string> problems = plan->missing, notes = plan->notes;
  problems.insert(problems.end(), plan->wrong.begin(), plan->wrong.end());
  problems.insert(problems.end(), plan->unexpected.begin(),
                  plan->unexpected.end());
  if (initial > 0) {
    notes.push_back(absl::StrCat(initial, " parameters get first values"));
  }
  result.text = absl::StrCat(
      plan->layout == model::FolderLayout::kOuro ? "Ouro's" : "our",
      " layout, ", plan->tensors.tensors().size(), " tensors in ",
      plan->tensors.files().size(),
      plan->tensors.files().size() == 1 ? " file" : " files", "\n\n",
      rows.text(), "\n");
  for (const std::string& note : notes) {
    absl::StrAppend(&result.text, "NOTE     ", note, "\n");
  }
  for (const std::string& problem : problems) {
    absl::StrAppend(&result.text, "PROBLEM  ", problem, "\n");
  }
  if (problems.empty()) {
    absl::StrAppend(&result.text,
                    "Complete: nothing is missing or too much.\n");
  }
  result.json = {
      {"tensors", rows.json()}, {"problems", problems}, {"notes", notes}};
  result.status = plan->status();
  return result;
}

}  // namespace lt2::tools
