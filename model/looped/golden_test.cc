// Mixers against the layers of flash-linear-attention that define them: their
// weights by name, inputs and outputs, computed on a GPU.

#include "kernels/core/golden.h"

#include <map>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "model/looped/init.h"
#include "model/mixers/mixer.h"

namespace lt2::model {
namespace {

using testing::Near;
using testing::RmsRatio;

// The layers' projections, convolutions and norms are f32, but the matrix
// products inside their chunked recurrence may round their operands to TF32 (10
// bits of mantissa, so a relative error of at most 2^-11 each). An output goes
// through at most six of them, in the delta rule: k k', the inverse of the
// triangle, w = T k, u = T v, S' q and (q k') v. With two operands each, and
// errors of either sign that add up like independent ones, the RMS error is at
// most sqrt(2 * 6) * 2^-11 = 1.7e-3. Measured for gdn: 6.4e-4 (expand_v 1) and
// 9.1e-4 (expand_v 2), and the same two figures when the layer's formula is
// evaluated in fp64 instead of ours, so all of it is the rounding of the
// vectors.
constexpr double kBound = 3.4641016 / 2048;

// A file of one layer, and the mixer that it is of.
struct LayerCase {
  const char* file;
  const char* mixer;
  // A change of the mixer's configuration that keeps all shapes and must be
  // noticed; null if there is none.
  const char* twin_key;
  nlohmann::json twin_value;
};

const LayerCase kCases[] = {
    {"layer_gated_deltanet", "gdn", "allow_neg_eigval", true},
    {"layer_gated_deltanet_expand2", "gdn", "allow_neg_eigval", false},
    {"layer_deltanet", "deltanet", "allow_neg_eigval", true},
    {"layer_kda", "kda", "allow_neg_eigval", true},
    {"layer_gla", "gla", "gate_logit_normalizer", 8},
    {"layer_hgrn2", "hgrn2", "n_heads", 6},
    {"layer_retnet", "retnet", nullptr, nullptr},
    {"layer_mamba2", "mamba2", nullptr, nullptr},
    {"layer_linear_attention", "linear_attention", nullptr, nullptr},
};

struct Layer {
  std::string mixer;
  nlohmann::json config;  // of ModelConfig
  std::map<std::string, GoldenTensor> weights;
  GoldenTensor x, y;
};

absl::StatusOr<Layer> ReadLayer(const std::string& path,
                                const std::string& mixer) {
  LT2_ASSIGN_OR_RETURN(const auto tensors, ReadGolden(path));
  LT2_ASSIGN_OR_RETURN(const auto metadata, ReadGoldenMetadata(path));
  Layer layer;
  layer.mixer = mixer;
  layer.x = tensors.at("x");
  layer.y = tensors.at("y");
  const int64_t dim = layer.x.shape.dim(2);
  absl::Status status;
  // A number that the file may have: our key for it, and what it multiplies.
  nlohmann::json shape = nlohmann::json::object();
  auto number = [&](const char* name) -> int64_t {
    int64_t value = 0;
    const auto found = metadata.find(name);
    if (found != metadata.end() && !absl::SimpleAtoi(found->second, &value)) {
      status.Update(absl::DataLossError(absl::StrCat(name, ": no number")));
    }
    return value;
  };
  const int64_t heads = number("num_heads");
  if (mixer == "mamba2") {
    shape = {{"n_heads", heads},
             {"state_size", number("state_size")},
             {"inner_dim", number("expand") * dim}};
  } else {
    if (mixer != "hgrn2" && number("head_dim") > 0) {
      shape["key_dim"] = heads * number("head_dim");
    }
    for (const char* key : {"expand_v", "conv_size"}) {
      if (number(key) > 0) shape[key] = number(key);
    }
    const auto negative = metadata.find("allow_neg_eigval");
    if (negative != metadata.end()) {
      shape["allow_neg_eigval"] = negative->second == "True";
    }
  }
  LT2_RETURN_IF_ERROR(status);
  // The model's heads divide its dim, as mamba2's need not.
  layer.config = {{"vocab_size", 1},
                  {"dim", dim},
                  {"n_heads", dim % heads == 0 ? heads : 1},
                  {mixer, shape}};
  for (const auto& [name, tensor] : tensors) {
    absl::string_view weight = name;
    if (absl::ConsumePrefix(&weight, "weights.")) {
      layer.weights[std::string(weight)] = tensor;
    }
  }
  return layer;
}

// The mixer of `config` with the layer's weights. Every parameter must have the
// name and shape of one of the library's, and none of those may be left over.
absl::StatusOr<std::unique_ptr<Mixer>> MakeMixer(Context& ctx,
                                                 const Layer& layer) {
  LT2_ASSIGN_OR_RETURN(const ModelConfig config,
                       ModelConfig::FromJson(layer.config, "model"));
  LT2_ASSIGN_OR_RETURN(auto mixer, CreateMixer(layer.mixer, config));
  for (Parameter* p : mixer->parameters()) {
    LT2_RETURN_IF_ERROR(Materialize(ctx, 0, false, DType::kF32,
                                    static_cast<DeclaredParameter*>(p)));
    const auto found = layer.weights.find(p->name);
    if (found == layer.weights.end()) {
      return absl::NotFoundError(absl::StrCat("no weight ", p->name));
    }
    if (found->second.shape != p->value.shape()) {
      return InvalidArgument(p->name, " is ", found->second.shape.ToString(),
                             ", ours ", p->value.shape().ToString());
    }
    const std::vector<float> values(found->second.values.begin(),
                                    found->second.values.end());
    LT2_RETURN_IF_ERROR(SetValues(ctx, values, p));
  }
  if (mixer->parameters().size() != layer.weights.size()) {
    return InvalidArgument(layer.weights.size(), " weights, ours has ",
                           mixer->parameters().size());
  }
  return mixer;
}

std::vector<double> Outputs(Context& ctx, Mixer& mixer, const GoldenTensor& x) {
  Tape tape(ctx, Tape::kInference);
  const Var in =
      tape.Constant(testing::ToTensor(ctx, DType::kF32, x.shape, x.values));
  const Var out = mixer.Forward(tape, in, {});
  LT2_CHECK(tape.ok(), tape.status().ToString());
  return testing::ToDoubles(ctx, out.value());
}

// Token by token, through the mixer's state.
std::vector<double> OutputsByToken(Context& ctx, Mixer& mixer,
                                   const GoldenTensor& x, int64_t batch_row) {
  const int64_t seq = x.shape.dim(1), dim = x.shape.dim(2);
  MixerState state;
  LT2_CHECK_OK(mixer.InitState(ctx, 1, seq, 0, DType::kF32, &state));
  std::vector<double> all;
  for (int64_t t = 0; t < seq; ++t) {
    const auto begin = x.values.begin() + (batch_row * seq + t) * dim;
    Tape tape(ctx, Tape::kInference);
    MixerCall call;
    call.state = &state;
    call.position.host = t;
    const Var in = tape.Constant(
        testing::ToTensor(ctx, DType::kF32, {1, 1, dim},
                          std::vector<double>(begin, begin + dim)));
    const Var out = mixer.Forward(tape, in, call);
    LT2_CHECK(tape.ok(), tape.status().ToString());
    const std::vector<double> y = testing::ToDoubles(ctx, out.value());
    all.insert(all.end(), y.begin(), y.end());
  }
  return all;
}

class LayerGolden : public ::testing::TestWithParam<LayerCase> {
 protected:
  void SetUp() override {
    const std::string directory = testing::Env("LT2_GOLDEN_DIR");
    if (directory.empty()) {
      GTEST_SKIP() << "LT2_GOLDEN_DIR is not set: this test checked nothing";
    }
    const std::string path =
        absl::StrCat(directory, "/", GetParam().file, ".safetensors");
    auto layer = ReadLayer(path, GetParam().mixer);
    if (absl::IsNotFound(layer.status())) {
      GTEST_SKIP() << path << " is not there: this test checked nothing";
    }
    ASSERT_TRUE(layer.ok()) << layer.status();
    layer_ = *std::move(layer);
  }

  Layer layer_;
};

TEST_P(LayerGolden, SameWeightsGiveSameOutputs) {
  auto ctx = testing::CpuContext();
  auto mixer = MakeMixer(*ctx, layer_);
  ASSERT_TRUE(mixer.ok()) << mixer.status();
  const std::vector<double> y = Outputs(*ctx, **mixer, layer_.x);
  EXPECT_TRUE(Near(y, layer_.y.values, kBound));
  RecordProperty("rms_error", absl::StrCat(RmsRatio(y, layer_.y.values)));
}

TEST_P(LayerGolden, TokenByTokenGivesSameOutputs) {
  auto ctx = testing::CpuContext();
  auto mixer = MakeMixer(*ctx, layer_);
  ASSERT_TRUE(mixer.ok()) << mixer.status();
  const auto half = layer_.y.values.begin() + layer_.y.shape.numel() / 2;
  EXPECT_TRUE(Near(OutputsByToken(*ctx, **mixer, layer_.x, 1),
                   std::vector<double>(half, layer_.y.values.end()), kBound));
}

// Any weight that is left at its first value shows, so each is loaded and used.
TEST_P(LayerGolden, EveryWeightMatters) {
  auto ctx = testing::CpuContext();
  auto mixer = MakeMixer(*ctx, layer_);
  ASSERT_TRUE(mixer.ok()) << mixer.status();
  for (Parameter* p : (*mixer)->parameters()) {
    auto& declared = *static_cast<DeclaredParameter*>(p);
    ASSERT_TRUE(SetValues(*ctx, InitialValues(declared, 0), p).ok());
    EXPECT_FALSE(
        Near(Outputs(*ctx, **mixer, layer_.x), layer_.y.values, kBound))
        << p->name;
    const std::vector<double>& loaded = layer_.weights[p->name].values;
    const std::vector<float> values(loaded.begin(), loaded.end());
    ASSERT_TRUE(SetValues(*ctx, values, p).ok());
  }
}

TEST_P(LayerGolden, AnotherDefinitionDoesNotAgree) {
  if (GetParam().twin_key == nullptr) GTEST_SKIP() << "shapes decide it all";
  auto ctx = testing::CpuContext();
  layer_.config[GetParam().mixer][GetParam().twin_key] = GetParam().twin_value;
  auto mixer = MakeMixer(*ctx, layer_);
  ASSERT_TRUE(mixer.ok()) << mixer.status();
  EXPECT_FALSE(Near(Outputs(*ctx, **mixer, layer_.x), layer_.y.values, kBound));
}

TEST_P(LayerGolden, AnotherShapeIsRefused) {
  auto ctx = testing::CpuContext();
  layer_.config["dim"] = 2 * layer_.x.shape.dim(2);
  EXPECT_FALSE(MakeMixer(*ctx, layer_).ok());
}

INSTANTIATE_TEST_SUITE_P(Files, LayerGolden, ::testing::ValuesIn(kCases),
                         [](const auto& layer) {
                           return std::string(layer.param.file);
                         });

}  // namespace
}  // namespace lt2::model
