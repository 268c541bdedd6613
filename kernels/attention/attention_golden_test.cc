// Against vectors that PyTorch computed: causal and window attention with two
// query heads for each key-value head, and their gradients.

#include <algorithm>
#include <string>

#include "absl/strings/numbers.h"
#include "gtest/gtest.h"
#include "kernels/attention/attention_reference.h"
#include "kernels/attention/attention_testing.h"
#include "kernels/core/golden.h"
#include "kernels/core/testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::MeetsContract;
using lt2::testing::Near;

// Rows of `dim` elements, each followed by zeros up to `wide`: a file whose
// values have another dimension than its keys is the same attention with both
// padded, as zeros add nothing to a score or an output.
std::vector<double> Widened(const GoldenTensor& t, int64_t wide) {
  const int64_t dim = t.shape.dim(-1);
  std::vector<double> result;
  for (int64_t r = 0; r < t.shape.numel() / dim; ++r) {
    for (int64_t d = 0; d < wide; ++d) {
      result.push_back(d < dim ? t.values[r * dim + d] : 0.0);
    }
  }
  return result;
}

struct GoldenCase {
  std::string path;
  AttentionShape shape;
  AttentionInputs in;
  std::vector<double> o, dq, dk, dv;
};

absl::StatusOr<GoldenCase> ReadCase(const std::string& path) {
  LT2_ASSIGN_OR_RETURN(const auto golden, ReadGolden(path));
  LT2_ASSIGN_OR_RETURN(const auto metadata, ReadGoldenMetadata(path));
  GoldenCase c;
  c.path = path;
  const Shape& q = golden.at("q").shape;
  const Shape& v = golden.at("v").shape;
  c.shape.batch = q.dim(0);
  c.shape.queries = q.dim(1);
  c.shape.keys = v.dim(1);
  c.shape.heads = q.dim(2);
  c.shape.kv_heads = v.dim(2);
  const int64_t dim = std::max(q.dim(3), v.dim(3));
  c.shape.dim = dim;
  if (!absl::SimpleAtod(metadata.at("scale"), &c.shape.scale)) {
    return absl::DataLossError("scale is not a number");
  }
  const auto window = metadata.find("window");
  if (window != metadata.end() &&
      !absl::SimpleAtoi(window->second, &c.shape.window)) {
    return absl::DataLossError("window is not a number");
  }
  c.in = {Widened(golden.at("q"), dim), Widened(golden.at("k"), dim),
          Widened(golden.at("v"), dim), Widened(golden.at("do"), dim)};
  c.o = Widened(golden.at("o"), dim);
  c.dq = Widened(golden.at("dq"), dim);
  c.dk = Widened(golden.at("dk"), dim);
  c.dv = Widened(golden.at("dv"), dim);
  return c;
}

class AttentionGolden : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string directory = lt2::testing::Env("LT2_GOLDEN_DIR");
    if (directory.empty()) {
      GTEST_SKIP() << "LT2_GOLDEN_DIR is not set: this test checked nothing";
    }
    for (const std::string& path : GoldenFiles(directory, GetParam())) {
      auto c = ReadCase(path);
      ASSERT_TRUE(c.ok()) << path << ": " << c.status();
      cases_.push_back(*std::move(c));
    }
    ASSERT_FALSE(cases_.empty()) << "no " << GetParam() << " in " << directory;
  }

  std::vector<GoldenCase> cases_;
};

// The vectors are float32 sums of at most 200 terms.
TEST_P(AttentionGolden, ReferenceAgrees) {
  for (const GoldenCase& c : cases_) {
    const AttentionInputs& in = c.in;
    EXPECT_TRUE(
        Near(AttentionReference(c.shape, in.q, in.k, in.v).o, c.o, 2e-6))
        << c.path;
    const AttentionGradients g =
        AttentionGradReference(c.shape, in.q, in.k, in.v, in.dout);
    EXPECT_TRUE(Near(g.dq, c.dq, 5e-6)) << c.path;
    EXPECT_TRUE(Near(g.dk, c.dk, 5e-6)) << c.path;
    EXPECT_TRUE(Near(g.dv, c.dv, 5e-6)) << c.path;
  }
}

// One key more in the window, or none at all, does not agree.
TEST_P(AttentionGolden, AnotherWindowDoesNotAgree) {
  for (const GoldenCase& c : cases_) {
    AttentionShape wrong = c.shape;
    wrong.window = wrong.window == 0 ? wrong.keys - 1 : wrong.window + 1;
    EXPECT_FALSE(
        Near(AttentionReference(wrong, c.in.q, c.in.k, c.in.v).o, c.o, 2e-6))
        << c.path;
  }
}

TEST_P(AttentionGolden, CpuAgrees) {
  auto ctx = lt2::testing::CpuContext();
  for (const GoldenCase& c : cases_) {
    EXPECT_TRUE(
        Near(RunAttention(*ctx, c.shape, DType::kF32, c.in).o, c.o, 2e-6))
        << c.path;
    const AttentionGradients g =
        RunAttentionGrad(*ctx, c.shape, DType::kF32, c.in);
    EXPECT_TRUE(Near(g.dq, c.dq, 5e-6)) << c.path;
    EXPECT_TRUE(Near(g.dk, c.dk, 5e-6)) << c.path;
    EXPECT_TRUE(Near(g.dv, c.dv, 5e-6)) << c.path;
  }
}

// The plain formula starts from the same rounded inputs.
TEST_P(AttentionGolden, CudaAgrees) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = lt2::testing::CudaContext();
  constexpr DType kBF16 = DType::kBF16;
  for (GoldenCase& c : cases_) {
    AttentionInputs& in = c.in;
    for (auto* x : {&in.q, &in.k, &in.v, &in.dout}) {
      *x = lt2::testing::Rounded(kBF16, *x);
    }
    const AttentionValues a = RunAttention(*ctx, c.shape, kBF16, in);
    const AttentionValues plain = PlainAttention(c.shape, kBF16, in);
    EXPECT_TRUE(MeetsContract(a.o, plain.o, c.o, kBF16)) << c.path;
    const AttentionGradients g = RunAttentionGrad(*ctx, c.shape, kBF16, in);
    const AttentionGradients p = PlainAttentionGrad(c.shape, kBF16, in);
    EXPECT_TRUE(MeetsContract(g.dq, p.dq, c.dq, kBF16)) << c.path;
    EXPECT_TRUE(MeetsContract(g.dk, p.dk, c.dk, kBF16)) << c.path;
    EXPECT_TRUE(MeetsContract(g.dv, p.dv, c.dv, kBF16)) << c.path;
  }
}

INSTANTIATE_TEST_SUITE_P(Files, AttentionGolden,
                         ::testing::Values("attention_", "window_attention_"));

}  // namespace
}  // namespace lt2::kernels
