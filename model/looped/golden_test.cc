// The mixer "gdn" against the GatedDeltaNet layer of flash-linear-attention:
// its weights, inputs and outputs, computed on a GPU.

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

// The layer's projections, convolutions and norms are f32, but the matrix
// products inside its chunked recurrence may round their operands to TF32 (10
// bits of mantissa, so a relative error of at most 2^-11 each). An output goes
// through six of them: k k', the inverse of the triangle, w = T k, u = T v,
// S' q and (q k') v. With two operands each, and errors of either sign that add
// up like independent ones, the RMS error is at most sqrt(2 * 6) * 2^-11 =
// 1.7e-3. Measured: 6.4e-4 (expand_v 1) and 9.1e-4 (expand_v 2), and the same
// two figures when the layer's formula is evaluated in fp64 instead of ours, so
// all of it is the rounding of the vectors.
constexpr double kBound = 3.4641016 / 2048;

struct Layer {
  nlohmann::json config;  // of ModelConfig
  std::map<std::string, GoldenTensor> weights;
  GoldenTensor x, y;
};

absl::StatusOr<Layer> ReadLayer(const std::string& path) {
  LT2_ASSIGN_OR_RETURN(const auto tensors, ReadGolden(path));
  LT2_ASSIGN_OR_RETURN(const auto metadata, ReadGoldenMetadata(path));
  std::map<std::string, int64_t> numbers;
  for (const char* key : {"num_heads", "head_dim", "expand_v", "conv_size"}) {
    if (!absl::SimpleAtoi(metadata.at(key), &numbers[key])) {
      return absl::DataLossError(absl::StrCat(key, " is not a number"));
    }
  }
  Layer layer;
  layer.x = tensors.at("x");
  layer.y = tensors.at("y");
  const auto negative = metadata.find("allow_neg_eigval");
  layer.config = {{"vocab_size", 1},
                  {"dim", layer.x.shape.dim(2)},
                  {"n_heads", numbers["num_heads"]},
                  {"gdn",
                   {{"key_dim", numbers["num_heads"] * numbers["head_dim"]},
                    {"expand_v", numbers["expand_v"]},
                    {"conv_size", numbers["conv_size"]},
                    {"allow_neg_eigval", negative != metadata.end() &&
                                             negative->second == "True"}}}};
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
  LT2_ASSIGN_OR_RETURN(auto mixer, CreateMixer("gdn", config));
  for (Parameter* p : mixer->parameters()) {
    LT2_RETURN_IF_ERROR(
        Materialize(ctx, 0, false, static_cast<DeclaredParameter*>(p)));
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

class LayerGolden : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string directory = testing::Env("LT2_GOLDEN_DIR");
    if (directory.empty()) {
      GTEST_SKIP() << "LT2_GOLDEN_DIR is not set: this test checked nothing";
    }
    auto layer =
        ReadLayer(absl::StrCat(directory, "/", GetParam(), ".safetensors"));
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

TEST_P(LayerGolden, AnotherWriteStrengthDoesNotAgree) {
  auto ctx = testing::CpuContext();
  nlohmann::json& negative = layer_.config["gdn"]["allow_neg_eigval"];
  negative = !negative.get<bool>();
  auto mixer = MakeMixer(*ctx, layer_);
  ASSERT_TRUE(mixer.ok()) << mixer.status();
  EXPECT_FALSE(Near(Outputs(*ctx, **mixer, layer_.x), layer_.y.values, kBound));
}

TEST_P(LayerGolden, AnotherShapeIsRefused) {
  auto ctx = testing::CpuContext();
  nlohmann::json& expand = layer_.config["gdn"]["expand_v"];
  expand = expand.get<int>() + 1;
  const auto mixer = MakeMixer(*ctx, layer_);
  EXPECT_FALSE(mixer.ok());
}

INSTANTIATE_TEST_SUITE_P(Files, LayerGolden,
                         ::testing::Values("layer_gated_deltanet",
                                           "layer_gated_deltanet_expand2"));

}  // namespace
}  // namespace lt2::model
