#include "kernels/delta_rule/delta_rule_testing.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include "kernels/core/golden.h"
#include "kernels/core/testing.h"
#include "nlohmann/json.hpp"

namespace lt2::kernels {
namespace {

using testing::Rounded;
using testing::ToDoubles;
using testing::ToTensor;
using testing::Uniform;

// Rows of length `dim` scaled to norm 1.
std::vector<double> Normalised(std::vector<double> x, int64_t dim) {
  for (size_t i = 0; i < x.size(); i += dim) {
    double sum = 1e-6;
    for (int64_t j = 0; j < dim; ++j) sum += x[i + j] * x[i + j];
    for (int64_t j = 0; j < dim; ++j) x[i + j] /= std::sqrt(sum);
  }
  return x;
}

// Tokens [begin, end) of a tensor of [batch, seq, row] values.
std::vector<double> SliceTokens(const std::vector<double>& x,
                                const DeltaRuleShape& s, int64_t row,
                                int64_t begin, int64_t end) {
  std::vector<double> part;
  if (x.empty()) return part;
  for (int64_t b = 0; b < s.batch; ++b) {
    const auto start = x.begin() + (b * s.seq + begin) * row;
    part.insert(part.end(), start, start + (end - begin) * row);
  }
  return part;
}

DeltaRuleArgs MakeArgs(Context& ctx, DType act, const DeltaRuleShape& s,
                       const DeltaRuleInputs& in) {
  DeltaRuleArgs args;
  args.scale = static_cast<float>(in.scale);
  args.q = ToTensor(ctx, act, {s.batch, s.seq, s.heads, s.d_k}, in.q);
  args.k = ToTensor(ctx, act, {s.batch, s.seq, s.heads, s.d_k}, in.k);
  args.v = ToTensor(ctx, act, {s.batch, s.seq, s.v_heads, s.d_v}, in.v);
  const Shape gate = {s.batch, s.seq, s.v_heads};
  args.beta = ToTensor(ctx, DType::kF32, gate, in.beta);
  if (!in.g.empty()) args.g = ToTensor(ctx, DType::kF32, gate, in.g);
  if (!in.initial_state.empty()) {
    args.initial_state = ToTensor(
        ctx, DType::kF32, {s.batch, s.v_heads, s.d_k, s.d_v}, in.initial_state);
  }
  return args;
}

}  // namespace

DeltaRuleInputs RandomDeltaRule(uint64_t seed, const DeltaRuleShape& s,
                                const DeltaRuleCaseOptions& options) {
  const int64_t qk = s.batch * s.seq * s.heads * s.d_k;
  const int64_t v = s.batch * s.seq * s.v_heads * s.d_v;
  const int64_t gate = s.batch * s.seq * s.v_heads;
  const int64_t state = s.batch * s.v_heads * s.d_k * s.d_v;
  const DType f32 = DType::kF32;
  seed *= 100;
  DeltaRuleInputs in;
  in.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(s.d_k)));
  in.q = Rounded(options.act, Normalised(Uniform(seed + 1, qk), s.d_k));
  in.k = Rounded(options.act, Normalised(Uniform(seed + 2, qk), s.d_k));
  in.v = Rounded(options.act, Uniform(seed + 3, v));
  in.beta = Rounded(f32, Uniform(seed + 4, gate, 0, options.max_beta));
  if (options.gate) {
    in.g = Rounded(f32, Uniform(seed + 5, gate, options.min_g, 0));
  }
  if (options.states) in.initial_state = Rounded(f32, Uniform(seed + 6, state));
  if (options.gradient) in.dout = Rounded(options.act, Uniform(seed + 7, v));
  if (options.gradient && options.states) {
    in.dfinal_state = Rounded(f32, Uniform(seed + 8, state));
  }
  return in;
}

absl::StatusOr<DeltaRuleOutputs> RunDeltaRule(Context& ctx, DType act,
                                              const DeltaRuleShape& s,
                                              const DeltaRuleInputs& in) {
  const DeltaRuleArgs args = MakeArgs(ctx, act, s, in);
  DeltaRuleResults results;
  LT2_RETURN_IF_ERROR(DeltaRule(ctx, args, &results));
  DeltaRuleOutputs out;
  out.o = ToDoubles(ctx, results.o);
  out.final_state = ToDoubles(ctx, results.final_state);
  if (in.dout.empty()) return out;

  DeltaRuleGradArgs grad;
  grad.forward = args;
  grad.dout = ToTensor(ctx, act, args.v.shape(), in.dout);
  if (!in.dfinal_state.empty()) {
    grad.dfinal_state = ToTensor(ctx, DType::kF32, results.final_state.shape(),
                                 in.dfinal_state);
  }
  DeltaRuleGradResults d;
  LT2_RETURN_IF_ERROR(DeltaRuleGrad(ctx, grad, &d));
  out.dq = ToDoubles(ctx, d.dq);
  out.dk = ToDoubles(ctx, d.dk);
  out.dv = ToDoubles(ctx, d.dv);
  out.dbeta = ToDoubles(ctx, d.dbeta);
  if (d.dg.defined()) out.dg = ToDoubles(ctx, d.dg);
  if (d.dinitial_state.defined()) {
    out.dinitial_state = ToDoubles(ctx, d.dinitial_state);
  }
  return out;
}

absl::StatusOr<DeltaRuleOutputs> RunDeltaRuleInSegments(
    Context& ctx, DType act, const DeltaRuleShape& shape,
    const DeltaRuleInputs& in, const std::vector<int64_t>& cuts, bool steps) {
  std::vector<int64_t> bounds = {0};
  bounds.insert(bounds.end(), cuts.begin(), cuts.end());
  bounds.push_back(shape.seq);
  if (steps) {
    bounds.clear();
    for (int64_t t = 0; t <= shape.seq; ++t) bounds.push_back(t);
  }
  DeltaRuleOutputs out;
  out.o.resize(in.v.size());
  const int64_t qk = shape.heads * shape.d_k, v = shape.v_heads * shape.d_v;
  Tensor state;
  for (size_t i = 0; i + 1 < bounds.size(); ++i) {
    const int64_t begin = bounds[i], end = bounds[i + 1];
    DeltaRuleShape s = shape;
    s.seq = end - begin;
    DeltaRuleInputs part;
    part.scale = in.scale;
    part.q = SliceTokens(in.q, shape, qk, begin, end);
    part.k = SliceTokens(in.k, shape, qk, begin, end);
    part.v = SliceTokens(in.v, shape, v, begin, end);
    part.beta = SliceTokens(in.beta, shape, shape.v_heads, begin, end);
    part.g = SliceTokens(in.g, shape, shape.v_heads, begin, end);
    if (i == 0) part.initial_state = in.initial_state;
    DeltaRuleArgs args = MakeArgs(ctx, act, s, part);
    if (i > 0) args.initial_state = state;
    DeltaRuleResults results;
    // From the second segment on, in place.
    if (i > 0) results.final_state = state;
    LT2_RETURN_IF_ERROR(steps ? DeltaRuleStep(ctx, args, &results)
                              : DeltaRule(ctx, args, &results));
    state = results.final_state;
    const std::vector<double> o = ToDoubles(ctx, results.o);
    for (int64_t b = 0; b < s.batch; ++b) {
      std::copy_n(o.begin() + b * s.seq * v, s.seq * v,
                  out.o.begin() + (b * shape.seq + begin) * v);
    }
  }
  out.final_state = ToDoubles(ctx, state);
  return out;
}

std::vector<std::pair<std::string, const std::vector<double>*>> Fields(
    const DeltaRuleOutputs& out) {
  std::vector<std::pair<std::string, const std::vector<double>*>> fields = {
      {"o", &out.o},   {"final_state", &out.final_state},
      {"dq", &out.dq}, {"dk", &out.dk},
      {"dv", &out.dv}, {"dbeta", &out.dbeta},
      {"dg", &out.dg}, {"dinitial_state", &out.dinitial_state}};
  fields.erase(std::remove_if(fields.begin(), fields.end(),
                              [](const auto& f) { return f.second->empty(); }),
               fields.end());
  return fields;
}

namespace {

using Json = nlohmann::json;
using Tensors = std::map<std::string, GoldenTensor>;

// Assembles a case from tensors under the names that golden.py and the JSON
// files use.
DeltaRuleRecorded Assemble(const std::string& name, const Tensors& tensors,
                           double scale) {
  const auto get = [&](const std::string& a, const std::string& b = "") {
    auto found = tensors.find(a);
    if (found == tensors.end() && !b.empty()) found = tensors.find(b);
    return found == tensors.end() ? std::vector<double>()
                                  : found->second.values;
  };
  DeltaRuleRecorded c;
  c.name = name;
  const Shape& q = tensors.at("q").shape;
  const Shape& v = tensors.at("v").shape;
  c.shape = {q.dim(0), q.dim(1), q.dim(2), v.dim(2), q.dim(3), v.dim(3)};
  c.inputs.q = get("q");
  c.inputs.k = get("k");
  c.inputs.v = get("v");
  c.inputs.beta = get("beta");
  c.inputs.g = get("g");
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
  c.outputs.dg = get("dg");
  c.outputs.dinitial_state = get("dinitial_state", "dh0");
  return c;
}

bool IsDeltaRule(const std::string& op) {
  return op == "gated_delta_rule" || op == "delta_rule";
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

}  // namespace

absl::StatusOr<std::vector<DeltaRuleRecorded>> ReadDeltaRuleOracles(
    const std::string& directory) {
  std::vector<DeltaRuleRecorded> cases;
  const std::string oracles = directory + "/oracles/";
  LT2_ASSIGN_OR_RETURN(const Json small,
                       ReadJson(oracles + "linear_attention_cases.json"));
  for (const Json& entry : small.at("cases")) {
    const std::string op = entry.at("op");
    if (!IsDeltaRule(op)) continue;
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
  cases.push_back(Assemble("gdn_large", tensors, large.at("scale")));
  return cases;
}

absl::StatusOr<std::vector<DeltaRuleRecorded>> ReadDeltaRuleGolden(
    const std::string& directory) {
  std::vector<DeltaRuleRecorded> cases;
  for (const char* prefix : {"gated_delta_rule", "delta_rule"}) {
    for (const std::string& path : GoldenFiles(directory, prefix)) {
      LT2_ASSIGN_OR_RETURN(const Tensors tensors, ReadGolden(path));
      LT2_ASSIGN_OR_RETURN(const auto metadata, ReadGoldenMetadata(path));
      cases.push_back(Assemble(path, tensors, std::stod(metadata.at("scale"))));
    }
  }
  return cases;
}

}  // namespace lt2::kernels
