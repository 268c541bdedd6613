#include "kernels/rope/rope.h"

#include <cmath>
#include <fstream>

#include "gtest/gtest.h"
#include "kernels/rope/rope_testing.h"
#include "nlohmann/json.hpp"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CpuContext;
using ::lt2::testing::MeetsContract;
using ::lt2::testing::ToDoubles;
using ::lt2::testing::ToTensor;
using ::lt2::testing::Uniform;

constexpr RopeLayout kLayouts[] = {RopeLayout::kInterleaved,
                                   RopeLayout::kHalfSplit};

std::vector<double> RunRope(const RopeArgs& args, Context& ctx) {
  Tensor y;
  LT2_CHECK_OK(Rope(ctx, args, &y));
  return ToDoubles(ctx, y);
}

TEST(Rope, MeetsTheContractForAnyShape) {
  auto ctx = CpuContext(2);
  for (RopeLayout layout : kLayouts) {
    for (int64_t dim : {16, 18, 34, 64, 96, 128}) {
      for (int64_t heads : {1, 3}) {
        ExpectRopeContract(*ctx, DType::kF32, {2, 37, heads, dim, layout, {0}});
      }
    }
  }
}

TEST(Rope, MeetsTheContractAtLongPositions) {
  auto ctx = CpuContext();
  for (RopeLayout layout : kLayouts) {
    for (int64_t position : {1, 4095, 1000000, 16777217}) {
      ExpectRopeContract(*ctx, DType::kF32, {1, 9, 2, 64, layout, {position}});
      ExpectRopeContract(*ctx, DType::kF32,
                         {1, 9, 2, 64, layout, {position}, 500000.0f});
    }
  }
}

TEST(Rope, EachBatchRowHasItsOwnPosition) {
  auto ctx = CpuContext();
  for (RopeLayout layout : kLayouts) {
    ExpectRopeContract(*ctx, DType::kF32,
                       {3, 5, 2, 64, layout, {7, 0, 123456}});
  }
}

TEST(Rope, PositionOneTurnsTheFirstPairByOneRadian) {
  auto ctx = CpuContext();
  RopeArgs args;
  args.x = ToTensor(*ctx, DType::kF32, {1, 1, 1, 4}, {1, 2, 3, 4});
  args.position = 1;
  const double c = std::cos(1.0), s = std::sin(1.0);
  const std::vector<double> interleaved = RunRope(args, *ctx);
  EXPECT_NEAR(interleaved[0], 1 * c - 2 * s, 1e-6);
  EXPECT_NEAR(interleaved[1], 1 * s + 2 * c, 1e-6);
  args.layout = RopeLayout::kHalfSplit;
  const std::vector<double> half = RunRope(args, *ctx);
  EXPECT_NEAR(half[0], 1 * c - 3 * s, 1e-6);
  EXPECT_NEAR(half[2], 1 * s + 3 * c, 1e-6);
}

TEST(Rope, ScoresDependOnRelativePositionOnly) {
  auto ctx = CpuContext();
  RopeArgs q, k;
  q.x = ToTensor(*ctx, DType::kF32, {1, 1, 1, 64}, Uniform(1, 64));
  k.x = ToTensor(*ctx, DType::kF32, {1, 1, 1, 64}, Uniform(2, 64));
  auto score = [&](int64_t at) {
    q.position = at + 17;
    k.position = at;
    const std::vector<double> a = RunRope(q, *ctx), b = RunRope(k, *ctx);
    double sum = 0;
    for (int i = 0; i < 64; ++i) sum += a[i] * b[i];
    return sum;
  };
  EXPECT_NEAR(score(0), score(1000), 1e-5);
  EXPECT_NEAR(score(0), score(999983), 1e-5);
}

TEST(Rope, ContractRejectsTheOtherLayoutAndAnglesInFloat) {
  RopeReferenceInput in;
  in.dim = 64;
  in.seq = 16;
  in.positions = {1000000};
  in.x = Uniform(1, 16 * 64);
  const std::vector<double> exact = RopeReference<double>(in);
  const std::vector<double> plain = RopeReference<float>(in);
  EXPECT_TRUE(MeetsContract(plain, plain, exact, DType::kF32));
  RopeReferenceInput other = in;
  other.layout = RopeLayout::kHalfSplit;
  EXPECT_FALSE(
      MeetsContract(RopeReference<double>(other), plain, exact, DType::kF32));
  std::vector<double> wrong(in.x.size());
  for (int64_t t = 0; t < 16; ++t) {
    for (int64_t i = 0; i < 32; ++i) {
      const float frequency = std::pow(10000.0f, -2.0f * i / 64.0f);
      const float angle = static_cast<float>(1000000 + t) * frequency;
      const double x1 = in.x[t * 64 + 2 * i], x2 = in.x[t * 64 + 2 * i + 1];
      wrong[t * 64 + 2 * i] = x1 * std::cos(angle) - x2 * std::sin(angle);
      wrong[t * 64 + 2 * i + 1] = x1 * std::sin(angle) + x2 * std::cos(angle);
    }
  }
  EXPECT_FALSE(MeetsContract(wrong, plain, exact, DType::kF32));
}

TEST(Rope, SameBitsForAnyNumberOfThreadsAndEveryTime) {
  std::vector<double> first;
  for (int threads : {1, 1, 3}) {
    auto ctx = CpuContext(threads);
    RopeArgs args;
    args.x = ToTensor(*ctx, DType::kF32, {2, 51, 3, 16},
                      Uniform(1, 2 * 51 * 3 * 16));
    const std::vector<double> y = RunRope(args, *ctx);
    if (first.empty()) first = y;
    EXPECT_EQ(y, first);
  }
}

TEST(Rope, EmptyInputsGiveEmptyResults) {
  auto ctx = CpuContext();
  for (const Shape& shape : {Shape{0, 3, 2, 4}, Shape{2, 0, 2, 4},
                             Shape{2, 3, 0, 4}, Shape{2, 3, 2, 0}}) {
    Tensor y;
    EXPECT_TRUE(Rope(*ctx, {*ctx->Empty(DType::kF32, shape)}, &y).ok());
    EXPECT_EQ(y.shape(), shape);
  }
}

TEST(Rope, WrongArgumentsAreErrorsThatNameThem) {
  auto ctx = CpuContext();
  RopeArgs args;
  EXPECT_FALSE(RopeSupports(args).ok());
  args.x = *ctx->Zeros(DType::kF32, {1, 2, 3, 5});
  EXPECT_EQ(RopeSupports(args).message(),
            "x: expected [batch, seq, heads, even dim], got "
            "f32[1, 2, 3, 5]@cpu");
  args.x = *ctx->Zeros(DType::kF32, {2, 3, 4});
  EXPECT_FALSE(RopeSupports(args).ok());
  args.x = *ctx->Zeros(DType::kF32, {1, 2, 3, 4});
  EXPECT_TRUE(RopeSupports(args).ok());
  args.theta = -1;
  EXPECT_FALSE(RopeSupports(args).ok());
  args.theta = 10000;
  args.positions = *ctx->Zeros(DType::kI32, {2});
  EXPECT_FALSE(RopeSupports(args).ok());
  args.positions = *ctx->Zeros(DType::kF32, {1});
  EXPECT_FALSE(RopeSupports(args).ok());
}

// Values recorded in the test suites of two other projects, one per layout.
class RopeRecorded : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string folder = testing::Env("LT2_DATA_DIR");
    if (folder.empty()) {
      GTEST_SKIP() << "LT2_DATA_DIR is not set: this test checked nothing";
    }
    std::ifstream file(folder + "/oracles/rope_recorded.json");
    ASSERT_TRUE(file.is_open()) << "no rope_recorded.json in " << folder;
    recorded_ = nlohmann::json::parse(file);
  }
  nlohmann::json recorded_;
};

TEST_F(RopeRecorded, HalfSplitMatchesGemma) {
  auto ctx = CpuContext();
  int checked = 0;
  for (const auto& c : recorded_["gemma"]["cases"]) {
    if (c["rope_proportion"] != 1.0) continue;  // part of a head: unsupported
    ASSERT_EQ(c["input"], "ones");
    const std::vector<int64_t> shape = c["shape_BLNH"];
    RopeArgs args;
    const Shape extents{absl::Span<const int64_t>(shape)};
    args.x = ToTensor(*ctx, DType::kF32, extents,
                      std::vector<double>(extents.numel(), 1.0));
    std::vector<double> positions;
    for (const auto& row : c["positions"]) positions.push_back(row[0]);
    args.positions = ToTensor(*ctx, DType::kI32, {shape[0]}, positions);
    args.theta = c["base"];
    args.layout = RopeLayout::kHalfSplit;
    const std::vector<double> y = RunRope(args, *ctx);
    std::vector<double> expected;
    for (const auto& b : c["expected"]) {
      for (const auto& t : b) {
        for (const auto& h : t) {
          for (const auto& v : h) expected.push_back(v);
        }
      }
    }
    ASSERT_EQ(y.size(), expected.size());
    for (size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], expected[i], 1e-6);
    ++checked;
  }
  EXPECT_GT(checked, 0);
}

TEST_F(RopeRecorded, InterleavedMatchesRoFormer) {
  auto ctx = CpuContext();
  const auto& roformer = recorded_["roformer"];
  constexpr int64_t kDim = 64;
  for (const char* which : {"query", "key"}) {
    const auto& expected =
        roformer[std::string("expected_") + which + "_0_0_first6_first8"];
    const int64_t seq = expected.size();
    ASSERT_GT(seq, 0);
    std::vector<double> x;
    for (int64_t i = 0; i < seq * kDim; ++i) {
      x.push_back(std::string(which) == "query" ? i / 100.0 : -i / 100.0);
    }
    RopeArgs args;
    args.x = ToTensor(*ctx, DType::kF32, {1, seq, 1, kDim}, x);
    const std::vector<double> y = RunRope(args, *ctx);
    for (int64_t t = 0; t < seq; ++t) {
      for (size_t i = 0; i < expected[t].size(); ++i) {
        EXPECT_NEAR(y[t * kDim + i], expected[t][i].get<double>(),
                    roformer["tolerance"].get<double>())
            << which << " " << t << " " << i;
      }
    }
  }
}

}  // namespace
}  // namespace lt2::kernels
