// Against vectors that PyTorch computed with the naive operators of
// flash-linear-attention: the indexer's choice, attention on it, its gradient.

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/numbers.h"
#include "gtest/gtest.h"
#include "kernels/core/golden.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/indexer_testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::MeetsContract;
using lt2::testing::Near;
using lt2::testing::Rounded;

struct GoldenCase {
  std::string path;
  IndexerCase indexer;
  IndexerInputs indexer_in;  // without a target
  ListCase attention;
  ListInputs in;  // with the file's indices
  std::vector<double> o, dq, dk, dv;
};

absl::StatusOr<GoldenCase> ReadCase(const std::string& path) {
  LT2_ASSIGN_OR_RETURN(const auto golden, ReadGolden(path));
  LT2_ASSIGN_OR_RETURN(const auto metadata, ReadGoldenMetadata(path));
  GoldenCase c;
  c.path = path;
  const Shape& qi = golden.at("q_indexer").shape;
  IndexerShape& indexer = c.indexer.shape;
  indexer.batch = qi.dim(0);
  indexer.queries = indexer.keys = qi.dim(1);
  indexer.heads = qi.dim(2);
  indexer.dim = qi.dim(3);
  indexer.scale = 1 / std::sqrt(static_cast<double>(indexer.dim));
  c.indexer_in.values = {golden.at("q_indexer").values,
                         golden.at("k_indexer").values,
                         golden.at("w_indexer").values};
  ListAttentionShape s;
  const Shape &q = golden.at("q").shape, &v = golden.at("v").shape;
  s.batch = q.dim(0);
  s.queries = s.keys = q.dim(1);
  s.heads = q.dim(2);
  s.kv_heads = v.dim(2);
  s.dim = q.dim(3);
  s.value_dim = v.dim(3);
  if (!absl::SimpleAtod(metadata.at("scale"), &s.scale) ||
      !absl::SimpleAtoi(metadata.at("topk"), &c.indexer.top_k)) {
    return absl::DataLossError("scale or topk is not a number");
  }
  c.attention = SelectedCase(s, 1, 1, c.indexer.top_k);
  const std::vector<double>& indices = golden.at("selected_idx").values;
  c.in = {golden.at("q").values,
          golden.at("k").values,
          golden.at("v").values,
          golden.at("do").values,
          {indices.begin(), indices.end()}};
  c.o = golden.at("o").values;
  c.dq = golden.at("dq").values;
  c.dk = golden.at("dk").values;
  c.dv = golden.at("dv").values;
  return c;
}

class SparseGolden : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string directory = lt2::testing::Env("LT2_GOLDEN_DIR");
    if (directory.empty()) {
      GTEST_SKIP() << "LT2_GOLDEN_DIR is not set: this test checked nothing";
    }
    for (const std::string& path : GoldenFiles(directory, "dsa_")) {
      auto c = ReadCase(path);
      ASSERT_TRUE(c.ok()) << path << ": " << c.status();
      cases_.push_back(*std::move(c));
    }
    ASSERT_FALSE(cases_.empty()) << "no dsa_ in " << directory;
  }

  // The file's choice and ours are both a top-k by our scores, and the same
  // where the last score taken differs from the first left out. Where several
  // are equal (a ReLU makes exact zeros) torch.topk takes any of them.
  void ExpectSameChoice(Context& ctx, DType dtype) {
    for (const GoldenCase& c : cases_) {
      const int64_t k = c.indexer.top_k;
      const auto scores =
          IndexerScoresReference(c.indexer.shape, c.indexer_in.values);
      const auto actual = RunIndexerTopK(ctx, c.indexer, dtype, c.indexer_in);
      int decided = 0;
      for (size_t row = 0; row < scores.size(); ++row) {
        std::vector<int32_t> theirs,
            ours(actual.begin() + row * k, actual.begin() + (row + 1) * k);
        for (int64_t j = 0; j < k; ++j) {
          const int32_t s = c.in.indices[row * k + j];
          if (s >= 0) theirs.push_back(s);
        }
        std::sort(theirs.begin(), theirs.end());
        theirs.resize(k, -1);
        const double tolerance = 1e-5;  // of f32 scores of order 1
        EXPECT_TRUE(IsTopK(theirs, scores[row], tolerance)) << c.path << row;
        EXPECT_TRUE(IsTopK(ours, scores[row], tolerance)) << c.path << row;
        std::vector<double> sorted = scores[row];
        std::sort(sorted.rbegin(), sorted.rend());
        if (static_cast<int64_t>(sorted.size()) > k &&
            sorted[k - 1] - sorted[k] <= tolerance) {
          continue;
        }
        ++decided;
        EXPECT_EQ(ours, theirs) << c.path << " query " << row;
      }
      EXPECT_GT(decided, static_cast<int>(scores.size()) / 2) << c.path;
    }
  }

  std::vector<GoldenCase> cases_;
};

TEST_F(SparseGolden, ReferenceAgrees) {
  for (const GoldenCase& c : cases_) {
    const RowLists lists = ListsOf(c.attention, c.in);
    const ListAttentionShape& s = c.attention.shape;
    EXPECT_TRUE(Near(ListAttentionReference(s, lists, c.in.q, c.in.k, c.in.v).o,
                     c.o, 2e-6))
        << c.path;
    const auto g =
        ListAttentionGradReference(s, lists, c.in.q, c.in.k, c.in.v, c.in.dout);
    EXPECT_TRUE(Near(g.dq, c.dq, 5e-6)) << c.path;
    EXPECT_TRUE(Near(g.dk, c.dk, 5e-6)) << c.path;
    EXPECT_TRUE(Near(g.dv, c.dv, 5e-6)) << c.path;
  }
}

// One index less in every list does not agree.
TEST_F(SparseGolden, AnotherChoiceDoesNotAgree) {
  for (GoldenCase& c : cases_) {
    RowLists lists = ListsOf(c.attention, c.in);
    for (auto& list : lists) list.pop_back();
    EXPECT_FALSE(Near(
        ListAttentionReference(c.attention.shape, lists, c.in.q, c.in.k, c.in.v)
            .o,
        c.o, 2e-6));
  }
}

TEST_F(SparseGolden, CpuAgrees) {
  auto ctx = lt2::testing::CpuContext();
  ExpectSameChoice(*ctx, DType::kF32);
  for (const GoldenCase& c : cases_) {
    EXPECT_TRUE(Near(RunListAttention(*ctx, c.attention, DType::kF32, c.in).o,
                     c.o, 2e-6))
        << c.path;
    const auto g = RunListAttentionGrad(*ctx, c.attention, DType::kF32, c.in);
    EXPECT_TRUE(Near(g.dq, c.dq, 5e-6)) << c.path;
    EXPECT_TRUE(Near(g.dk, c.dk, 5e-6)) << c.path;
    EXPECT_TRUE(Near(g.dv, c.dv, 5e-6)) << c.path;
  }
}

// bf16 starts from the same rounded inputs; f32 as on the CPU.
TEST_F(SparseGolden, CudaAgrees) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = lt2::testing::CudaContext();
  ExpectSameChoice(*ctx, DType::kF32);
  constexpr DType kBF16 = DType::kBF16;
  for (GoldenCase& c : cases_) {
    EXPECT_TRUE(Near(RunListAttention(*ctx, c.attention, DType::kF32, c.in).o,
                     c.o, 2e-6))
        << c.path;
    ListInputs& in = c.in;
    for (auto* x : {&in.q, &in.k, &in.v, &in.dout}) *x = Rounded(kBF16, *x);
    const auto a = RunListAttention(*ctx, c.attention, kBF16, in);
    const auto plain = PlainListAttention(c.attention, kBF16, in);
    EXPECT_TRUE(MeetsContract(a.o, plain.o, c.o, kBF16)) << c.path;
    const auto g = RunListAttentionGrad(*ctx, c.attention, kBF16, in);
    const auto p = PlainListAttentionGrad(c.attention, kBF16, in);
    EXPECT_TRUE(MeetsContract(g.dq, p.dq, c.dq, kBF16)) << c.path;
    EXPECT_TRUE(MeetsContract(g.dk, p.dk, c.dk, kBF16)) << c.path;
    EXPECT_TRUE(MeetsContract(g.dv, p.dv, c.dv, kBF16)) << c.path;
  }
}

}  // namespace
}  // namespace lt2::kernels
