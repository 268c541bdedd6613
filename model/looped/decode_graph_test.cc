// On the CPU: the same class without a graph. decode_graph_cuda_test has the
// graph.

#include "model/looped/decode_graph.h"

#include "gtest/gtest.h"
#include "model/looped/test_models.h"

namespace lt2::model {
namespace {

using testing::CpuContext;
using testing::ToDoubles;

TEST(DecodeGraph, StepsAreTheModelsOwn) {
  auto ctx = CpuContext();
  for (const TestModel& kind : TestModels(32)) {
    if (kind.name != "full_gdn" && kind.name != "nsa") continue;
    auto model = MakeModel(*ctx, kind.json, false);
    auto expected = *DecodeState::Create(*model, 2, 8);
    auto state = *DecodeState::Create(*model, 2, 8);
    auto decoder = *DecodeGraph::Create(*model, state.get());
    ForwardOptions options;
    options.state = expected.get();
    for (uint64_t step = 0; step < 8; ++step) {
      const Tensor ids = RandomIds(*ctx, 2, 1, 29, step);
      const auto logits = decoder->Step(ids);
      ASSERT_TRUE(logits.ok()) << logits.status();
      EXPECT_TRUE(ToDoubles(*ctx, *logits) == LogitsOf(*model, ids, options));
    }
    EXPECT_EQ(state->position(), 8);
    EXPECT_EQ(decoder->nodes(), 0);
    // Attention's cache is full.
    EXPECT_EQ(decoder->Step(RandomIds(*ctx, 2, 1, 29, 9)).status().code(),
              absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(state->position(), 8);
  }
}

TEST(DecodeGraph, OtherIdsAreRefused) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx, TestModels(32)[0].json, false);
  auto state = *DecodeState::Create(*model, 2, 8);
  auto decoder = *DecodeGraph::Create(*model, state.get());
  for (const Tensor& ids : {Tensor(), RandomIds(*ctx, 1, 1, 29, 1),
                            *ctx->Zeros(DType::kF32, {2, 1})}) {
    EXPECT_EQ(decoder->Step(ids).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace lt2::model
