// Native sparse attention against vectors that PyTorch computed with the naive
// operators of flash-linear-attention (testdata/recipes/nsa_vectors.py): means
// of blocks, attention to them, the choice of blocks, attention to the chosen.

#include <algorithm>
#include <string>

#include "absl/strings/numbers.h"
#include "gtest/gtest.h"
#include "kernels/core/golden.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/block_compress.h"
#include "kernels/sparse_attention/block_compress_testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::MeetsContract;
using lt2::testing::Near;
using lt2::testing::Rounded;

// One of the two attentions with what it must give.
struct Attention {
  ListCase problem;
  ListInputs in;
  std::vector<double> o, dq, dk, dv;
};

struct NsaCase {
  std::string path;
  int64_t top_n = 0;
  Shape keys;  // of k
  Attention compressed, selected;
  std::vector<int32_t> indices;  // ascending, then -1
};

absl::StatusOr<NsaCase> ReadCase(const std::string& path) {
  LT2_ASSIGN_OR_RETURN(const auto golden, ReadGolden(path));
  LT2_ASSIGN_OR_RETURN(const auto metadata, ReadGoldenMetadata(path));
  auto values = [&](const char* name) { return golden.at(name).values; };
  NsaCase c;
  c.path = path;
  c.keys = golden.at("k").shape;
  const Shape& q = golden.at("q").shape;
  ListAttentionShape s;
  s.batch = q.dim(0);
  s.queries = s.keys = q.dim(1);
  s.heads = q.dim(2);
  s.kv_heads = c.keys.dim(2);
  s.dim = s.value_dim = q.dim(3);
  int64_t block = 0;
  if (!absl::SimpleAtod(metadata.at("scale"), &s.scale) ||
      !absl::SimpleAtoi(metadata.at("block_size"), &block) ||
      !absl::SimpleAtoi(metadata.at("top_n"), &c.top_n)) {
    return absl::DataLossError("scale, block_size or top_n is not a number");
  }
  // torch.topk's order is by score, with -1 anywhere.
  for (double x : values("selected_idx")) {
    c.indices.push_back(static_cast<int32_t>(x));
  }
  for (auto i = c.indices.begin(); i != c.indices.end(); i += c.top_n) {
    std::sort(i, i + c.top_n, [](int32_t a, int32_t b) {
      return static_cast<uint32_t>(a) < static_cast<uint32_t>(b);
    });
  }
  c.compressed = {CompressedCase(s, s.queries, block),
                  {values("q"), values("kc"), values("vc"), values("do"), {}},
                  values("o_cmp"),
                  values("dq_cmp"),
                  values("dkc"),
                  values("dvc")};
  c.selected = {
      SelectedCase(s, block, s.kv_heads, c.top_n),
      {values("q"), values("k"), values("v"), values("do"), c.indices},
      values("o"),
      values("dq"),
      values("dk"),
      values("dv")};
  return c;
}

class NsaGolden : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string directory = lt2::testing::Env("LT2_GOLDEN_DIR");
    if (directory.empty()) {
      GTEST_SKIP() << "LT2_GOLDEN_DIR is not set: this test checked nothing";
    }
    for (const std::string& path : GoldenFiles(directory, "nsa_")) {
      auto c = ReadCase(path);
      ASSERT_TRUE(c.ok()) << path << ": " << c.status();
      cases_.push_back(*std::move(c));
    }
    ASSERT_FALSE(cases_.empty()) << "no nsa_ in " << directory;
  }

  void ExpectAgreementInF32(Context& ctx) {
    for (const NsaCase& c : cases_) {
      SCOPED_TRACE(c.path);
      for (const Attention* a : {&c.compressed, &c.selected}) {
        const auto f = RunListAttention(ctx, a->problem, DType::kF32, a->in);
        EXPECT_TRUE(Near(f.o, a->o, 2e-6));
        // On a GPU gradients of sparse attention are bf16's only.
        if (ctx.device() == Device::kCUDA) continue;
        const auto g =
            RunListAttentionGrad(ctx, a->problem, DType::kF32, a->in);
        EXPECT_TRUE(Near(g.dq, a->dq, 5e-6));
        EXPECT_TRUE(Near(g.dk, a->dk, 5e-6));
        EXPECT_TRUE(Near(g.dv, a->dv, 5e-6));
      }
      const BlockCase blocks = {c.compressed.problem, c.top_n};
      EXPECT_EQ(RunSelectBlocks(ctx, blocks, DType::kF32, c.compressed.in),
                c.indices);
      Tensor means;
      const Tensor k =
          lt2::testing::ToTensor(ctx, DType::kF32, c.keys, c.selected.in.k);
      LT2_CHECK_OK(BlockMean(ctx, {k, c.selected.problem.block_size}, &means));
      EXPECT_TRUE(
          Near(lt2::testing::ToDoubles(ctx, means), c.compressed.in.k, 1e-6));
    }
  }

  std::vector<NsaCase> cases_;
};

TEST_F(NsaGolden, ReferenceAgrees) {
  for (const NsaCase& c : cases_) {
    SCOPED_TRACE(c.path);
    for (const Attention* a : {&c.compressed, &c.selected}) {
      const RowLists lists = ListsOf(a->problem, a->in);
      const ListInputs& in = a->in;
      const ListAttentionShape& s = a->problem.shape;
      EXPECT_TRUE(Near(ListAttentionReference(s, lists, in.q, in.k, in.v).o,
                       a->o, 2e-6));
      const auto g =
          ListAttentionGradReference(s, lists, in.q, in.k, in.v, in.dout);
      EXPECT_TRUE(Near(g.dq, a->dq, 5e-6));
      EXPECT_TRUE(Near(g.dk, a->dk, 5e-6));
      EXPECT_TRUE(Near(g.dv, a->dv, 5e-6));
    }
  }
}

// Another block instead of the first one of each list, or seen one token early.
TEST_F(NsaGolden, AnotherDefinitionDoesNotAgree) {
  for (NsaCase& c : cases_) {
    Attention& a = c.selected;
    for (size_t i = 0; i < a.in.indices.size(); i += c.top_n) {
      a.in.indices[i] = -1;
    }
    EXPECT_FALSE(
        Near(ListAttentionReference(a.problem.shape, ListsOf(a.problem, a.in),
                                    a.in.q, a.in.k, a.in.v)
                 .o,
             a.o, 2e-6));
    EXPECT_FALSE(Near(c.compressed.o, c.selected.o, 2e-6));
  }
}

TEST_F(NsaGolden, CpuAgrees) {
  auto ctx = lt2::testing::CpuContext();
  ExpectAgreementInF32(*ctx);
}

// bf16 starts from the same rounded inputs; f32 as on the CPU.
TEST_F(NsaGolden, CudaAgrees) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = lt2::testing::CudaContext();
  ExpectAgreementInF32(*ctx);
  constexpr DType kBF16 = DType::kBF16;
  for (NsaCase& c : cases_) {
    SCOPED_TRACE(c.path);
    for (Attention* a : {&c.compressed, &c.selected}) {
      ListInputs& in = a->in;
      for (auto* x : {&in.q, &in.k, &in.v, &in.dout}) *x = Rounded(kBF16, *x);
      const auto f = RunListAttention(*ctx, a->problem, kBF16, in);
      const auto plain = PlainListAttention(a->problem, kBF16, in);
      EXPECT_TRUE(MeetsContract(f.o, plain.o, a->o, kBF16));
      const auto g = RunListAttentionGrad(*ctx, a->problem, kBF16, in);
      const auto p = PlainListAttentionGrad(a->problem, kBF16, in);
      EXPECT_TRUE(MeetsContract(g.dq, p.dq, a->dq, kBF16));
      EXPECT_TRUE(MeetsContract(g.dk, p.dk, a->dk, kBF16));
      EXPECT_TRUE(MeetsContract(g.dv, p.dv, a->dv, kBF16));
    }
  }
}

}  // namespace
}  // namespace lt2::kernels
