// Reading what other people's code computed.

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include "kernels/core/golden.h"
#include "kernels/linear_attention/recurrence_testing.h"
#include "nlohmann/json.hpp"

namespace lt2::kernels {
namespace {

using Json = nlohmann::json;
using testing::Rounded;
using Tensors = std::map<std::string, GoldenTensor>;

// Assembles a case from tensors under the names that golden.py and the JSON
// files use.
RecurrenceRecorded Assemble(const std::string& name, const Tensors& tensors,
                            double scale) {
  const auto get = [&](const std::string& a, const std::string& b = "") {
    auto found = tensors.find(a);
    if (found == tensors.end() && !b.empty()) found = tensors.find(b);
    return found == tensors.end() ? std::vector<double>()
                                  : found->second.values;
  };
  RecurrenceRecorded c;
  c.name = name;
  const Shape& q = tensors.at("q").shape;
  const Shape& v = tensors.at("v").shape;
  c.shape = {q.dim(0), q.dim(1), q.dim(2), v.dim(2), q.dim(3), v.dim(3)};
  c.inputs.q = get("q");
  c.inputs.k = get("k");
  c.inputs.v = get("v");
  c.inputs.beta = get("beta");
  c.inputs.g = get("g", "gk");
  c.inputs.decay = c.inputs.g.empty()                       ? Decay::kNone
                   : c.inputs.g.size() == c.inputs.q.size() ? Decay::kChannel
                                                            : Decay::kToken;
  c.inputs.initial_state = get("initial_state", "h0");
  c.inputs.dout = get("do");
  c.inputs.dfinal_state = get("dfinal_state");
  c.inputs.scale = static_cast<float>(scale);
  c.outputs.o = get("o");
  c.outputs.final_state = get("final_state");
  c.outputs.dq = get("dq");
  c.outputs.dk = get("dk");
  c.outputs.dv = get("dv");
  c.outputs.dbeta = get("dbeta");
  c.outputs.dg = get("dg", "dgk");
  c.outputs.dinitial_state = get("dinitial_state", "dh0");
  c.f = get("f");
  c.df = get("df");
  return c;
}

// What two recorded operators leave to their definition.
void Complete(const std::string& op, RecurrenceRecorded* c) {
  RecurrenceInputs& in = c->inputs;
  if (op == "retention") {
    in.decay = Decay::kHead;
    for (int64_t h = 0; h < c->shape.v_heads; ++h) {
      in.g.push_back(std::log1p(-std::exp2(-5.0 - static_cast<double>(h))));
    }
  }
  if (op == "hgrn2") {
    in.decay = Decay::kChannel;
    for (const double f : c->f) {
      in.k.push_back(1 / (1 + std::exp(f)));
      in.g.push_back(-std::log1p(std::exp(-f)));
    }
  }
  in.k = Rounded(DType::kF32, in.k);
  in.g = Rounded(DType::kF32, in.g);
}

absl::StatusOr<Json> ReadJson(const std::string& path) {
  std::ifstream in(path);
  if (!in) return absl::NotFoundError(absl::StrCat("cannot open ", path));
  Json json = Json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    return absl::DataLossError(absl::StrCat(path, " is not JSON"));
  }
  return json;
}

Shape ToShape(const Json& json) {
  const std::vector<int64_t> dims = json;
  return Shape(absl::Span<const int64_t>(dims));
}

bool Contains(const std::vector<std::string>& list, const std::string& x) {
  return std::find(list.begin(), list.end(), x) != list.end();
}

absl::StatusOr<RecurrenceRecorded> ReadLargeGatedDeltaRule(
    const std::string& oracles) {
  LT2_ASSIGN_OR_RETURN(const Json large, ReadJson(oracles + "gdn_large.json"));
  std::ifstream in(oracles + "gdn_large.f32", std::ios::binary);
  Tensors tensors;
  for (const Json& t : large.at("tensors")) {
    std::vector<float> values(t.at("count").get<int64_t>());
    in.seekg(t.at("offset_floats").get<int64_t>() * 4);
    in.read(reinterpret_cast<char*>(values.data()), values.size() * 4);
    if (!in) return absl::DataLossError("gdn_large.f32 is too short");
    tensors[t.at("name")] = {ToShape(t.at("shape")),
                             std::vector<double>(values.begin(), values.end())};
  }
  return Assemble("gdn_large", tensors, large.at("scale"));
}

}  // namespace

absl::StatusOr<std::vector<RecurrenceRecorded>> ReadRecurrenceOracles(
    const std::string& directory, const std::vector<std::string>& operators) {
  std::vector<RecurrenceRecorded> cases;
  const std::string oracles = directory + "/oracles/";
  LT2_ASSIGN_OR_RETURN(const Json small,
                       ReadJson(oracles + "linear_attention_cases.json"));
  for (const Json& entry : small.at("cases")) {
    const std::string op = entry.at("op");
    if (!Contains(operators, op)) continue;
    Tensors tensors;
    for (const char* group : {"inputs", "outputs", "grads"}) {
      for (const auto& [name, t] : entry.at(group).items()) {
        tensors[name] = {ToShape(t.at("shape")), t.at("data")};
        // Inputs are float32 values printed with 9 digits.
        if (group == std::string("inputs")) {
          tensors[name].values = Rounded(DType::kF32, tensors[name].values);
        }
      }
    }
    cases.push_back(Assemble(absl::StrCat(op, " #", cases.size()), tensors,
                             entry.at("scale")));
  }
  if (Contains(operators, "gated_delta_rule")) {
    LT2_ASSIGN_OR_RETURN(RecurrenceRecorded large,
                         ReadLargeGatedDeltaRule(oracles));
    cases.push_back(std::move(large));
  }
  return cases;
}

absl::StatusOr<std::vector<RecurrenceRecorded>> ReadRecurrenceGolden(
    const std::string& directory, const std::vector<std::string>& operators) {
  std::vector<RecurrenceRecorded> cases;
  for (const std::string& op : operators) {
    for (const std::string& path : GoldenFiles(directory, op + "_")) {
      LT2_ASSIGN_OR_RETURN(const Tensors tensors, ReadGolden(path));
      LT2_ASSIGN_OR_RETURN(const auto metadata, ReadGoldenMetadata(path));
      cases.push_back(Assemble(path, tensors, std::stod(metadata.at("scale"))));
      Complete(op, &cases.back());
    }
  }
  return cases;
}

}  // namespace lt2::kernels
