// What has no noise is as pinned in exact.json. Where this fails: the table
// tells what moved. If that is meant, `./bazelw run //tools/exact -- --accept`
// and say why in the commit.
//
// Arguments: exact.json and the list of objects.

#include <algorithm>

#include "gtest/gtest.h"
#include "model/io/atomic_file.h"
#include "tools/exact/compare.h"
#include "tools/exact/operator_calls.h"
#include "tools/exact/sections.h"

namespace lt2::tools {
namespace {

std::string pinned_path, manifest_path;

const Record& Pinned() {
  static const Record& record = *[] {
    const auto text = model::ReadFile(pinned_path);
    LT2_CHECK_OK(text.status());
    auto parsed = ParseRecord(*text, pinned_path);
    LT2_CHECK_OK(parsed.status());
    return new Record(*std::move(parsed));
  }();
  return record;
}

// Fails, with the table, where `name` differs; skips where it cannot tell.
void Check(const std::string& name, absl::StatusOr<Section> section) {
  Measured measured;
  if (section.ok()) {
    measured.record[name] = *std::move(section);
  } else {
    ASSERT_TRUE(absl::IsFailedPrecondition(section.status()))
        << section.status();
    measured.unavailable[name] = std::string(section.status().message());
  }
  for (const SectionVerdict& verdict : Compare(Pinned(), measured)) {
    if (verdict.section != name) continue;
    if (verdict.outcome == SectionVerdict::kSkipped) {
      GTEST_SKIP() << VerdictText(verdict);
    }
    if (verdict.outcome == SectionVerdict::kDiffers) {
      ADD_FAILURE() << VerdictText(verdict);
    }
    EXPECT_GT(verdict.quantities, 0u);
  }
}

TEST(Exact, Bits) { Check("bits", MeasureBits()); }
TEST(Exact, Work) { Check("work", MeasureWork()); }
TEST(Exact, Launches) { Check("launches", MeasureLaunches()); }
TEST(Exact, Kernels) { Check("kernels", MeasureKernels(manifest_path)); }

// A section that is not in the file is skipped, so these must be there.
TEST(Exact, WhatNeedsNoGpuIsPinned) {
  for (const char* name : {"bits", "work", "kernels"}) {
    EXPECT_EQ(Pinned().count(name), 1u) << name;
  }
}

// The file is what the program would write: sorted, one quantity a line.
TEST(Exact, TheFileIsInItsOwnFormat) {
  EXPECT_EQ(*model::ReadFile(pinned_path), RecordJson(Pinned()));
}

// The program measures the same twice, in one process and across two.
TEST(Exact, TheSameTwice) {
  auto first = MeasureBits();
  auto second = MeasureBits();
  if (!first.ok()) GTEST_SKIP() << first.status();
  Measured measured;
  measured.record["bits"] = *std::move(second);
  const SectionVerdict verdict =
      Compare({{"bits", *std::move(first)}}, measured)[0];
  EXPECT_EQ(verdict.outcome, SectionVerdict::kSame) << VerdictText(verdict);
}

// By the model's formula: 2 layers in 3 loops; attention has four matrices,
// the feed-forward network three, and the logits one.
TEST(Work, CallsAreThoseOfTheFormula) {
  auto work = MeasureWork();
  ASSERT_TRUE(work.ok()) << work.status();
  Entry& forward = work->entries["small full forward"];
  EXPECT_EQ(forward["calls of Embedding"].number, 1);
  EXPECT_EQ(forward["calls of Attention"].number, 6);
  EXPECT_EQ(forward["calls of SwiGlu"].number, 6);
  EXPECT_EQ(forward["calls of Rope"].number, 2 * 6);
  EXPECT_EQ(forward["calls of RmsNorm"].number, 2 * 6 + 1);
  EXPECT_EQ(forward["calls of Gemm"].number, 7 * 6 + 1);
  EXPECT_EQ(forward["calls of ScaledAdd"].number, 3);
  Entry& training = work->entries["small full training step"];
  EXPECT_EQ(training["calls of Gemm"].number, 3 * (7 * 6 + 1));
  EXPECT_EQ(training["calls of AttentionGrad"].number, 6);
  EXPECT_EQ(training["calls of AdamWStep"].number, 1);
  Entry& decode = work->entries["small full decoding step"];
  EXPECT_EQ(decode["calls of AttentionDecode"].number, 6);
  EXPECT_EQ(decode["calls of CacheAppend"].number, 6);
  EXPECT_GT(decode["flops"].number, 0);
  EXPECT_LT(decode["flops"].number, forward["flops"].number);
}

TEST(OperatorCalls, KnowsTheOperators) {
  const auto calls = OperatorCalls();
  ASSERT_TRUE(calls.ok()) << calls.status();
  for (const char* name :
       {"Gemm", "RmsNorm", "RmsNormGrad", "Attention", "AttentionGrad",
        "DeltaRule", "DeltaRuleStep", "LinearAttention", "AdamWStep",
        "CrossEntropy", "Context::Zero"}) {
    EXPECT_EQ(calls->count(name), 1u) << name;
  }
  for (const auto& [name, ignored] : *calls) {
    EXPECT_EQ(name.find("Cpu"), name.npos) << name;
  }
}

}  // namespace
}  // namespace lt2::tools

int main(int argc, char** argv) {
  lt2::tools::UseOneArithmetic(argv);
  ::testing::InitGoogleTest(&argc, argv);
  LT2_CHECK(argc == 3, "usage: check_test EXACT.json OBJECTS");
  lt2::tools::pinned_path = argv[1];
  lt2::tools::manifest_path = argv[2];
  return RUN_ALL_TESTS();
}
