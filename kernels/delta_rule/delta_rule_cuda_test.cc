// The delta rule on the GPU: without decay, with a decay per token and with one
// per channel. The bodies are in
// kernels/linear_attention/recurrence_cuda_testing.h.

#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/delta_rule/delta_rule_testing.h"
#include "kernels/linear_attention/recurrence_cuda_testing.h"

namespace lt2::kernels {
namespace {

using Family = DeltaRuleFamily;

class DeltaRuleCuda : public ::testing::TestWithParam<Decay> {
 protected:
  RecurrenceCaseOptions options() const {
    RecurrenceCaseOptions options;
    options.delta = true;
    options.decay = GetParam();
    return options;
  }
  uint64_t seed(uint64_t base) const {
    return base + 1000 * static_cast<uint64_t>(GetParam());
  }
};

INSTANTIATE_TEST_SUITE_P(Decays, DeltaRuleCuda,
                         ::testing::Values(Decay::kNone, Decay::kToken,
                                           Decay::kChannel),
                         DecayName);

TEST_P(DeltaRuleCuda, MeetsTheContractAtEveryEdgeLength) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectContractAt<Family>(EdgeLengths(), options(), seed(10));
}

TEST_P(DeltaRuleCuda, MeetsTheContractAtManySizes) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectContractAt<Family>(ManySizes(), options(), seed(100));
}

TEST_P(DeltaRuleCuda, MeetsTheContractWithGroupedValueHeads) {
  LT2_SKIP_WITHOUT_CUDA();
  if (GetParam() == Decay::kChannel) {
    GTEST_SKIP() << "decay per channel has one value head per query head";
  }
  ExpectContractAt<Family>(GroupedHeads(), options(), seed(150));
}

TEST_P(DeltaRuleCuda, MeetsTheContractWithManyHeads) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectContractAt<Family>(ManyHeads(), options(), seed(170));
}

TEST_P(DeltaRuleCuda, MeetsTheContractWithoutStates) {
  LT2_SKIP_WITHOUT_CUDA();
  RecurrenceCaseOptions without = options();
  without.states = false;
  ExpectContractAt<Family>({{2, 150, 2, 2, 32, 32}, {2, 64, 2, 2, 64, 64}},
                           without, seed(200));
}

TEST_P(DeltaRuleCuda, MeetsTheContractWithNegativeEigenvalues) {
  LT2_SKIP_WITHOUT_CUDA();
  RecurrenceCaseOptions negative = options();
  negative.max_beta = 2;
  negative.min_g = -0.05;
  ExpectContractAt<Family>(
      {{2, 150, 2, 2, 16, 32}, {2, 150, 2, 2, 64, 32}, {2, 150, 2, 2, 128, 32}},
      negative, seed(300));
}

TEST_P(DeltaRuleCuda, MeetsTheContractWithStrongDecay) {
  LT2_SKIP_WITHOUT_CUDA();
  RecurrenceCaseOptions strong = options();
  strong.min_g = -8;  // Of a chunk nothing is left.
  // All tokens of a chunk share the errors of its states: dg of a few chunks
  // would be a matter of luck.
  ExpectContractAt<Family>({{4, 150, 4, 4, 32, 32}, {4, 129, 4, 4, 64, 64}},
                           strong, seed(350));
}

TEST_P(DeltaRuleCuda, MeetsTheContractWithExtremeDecays) {
  LT2_SKIP_WITHOUT_CUDA();
  if (GetParam() == Decay::kNone) GTEST_SKIP() << "no decay";
  RecurrenceCaseOptions extreme = options();
  extreme.max_beta = 2;
  ExpectContractWithExtremeDecays<Family>(extreme, seed(400));
}

TEST_P(DeltaRuleCuda, TotalDecayEverywhereStaysFinite) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectFiniteUnderTotalDecay<Family>(options());
}

TEST_P(DeltaRuleCuda, SegmentsAndStepsMatchTheWhole) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectContractInSegments<Family>(options(), seed(500));
}

TEST_P(DeltaRuleCuda, F32MeetsTheContractAtOddSizes) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectContractInF32<Family>(options(), seed(550));
}

// A kernel's limit of shared memory is the same for all threads.
TEST_P(DeltaRuleCuda, ThreadsMayHaveDifferentSizes) {
  LT2_SKIP_WITHOUT_CUDA();
  std::vector<std::thread> threads;
  for (const int64_t d : {16, 32, 64, 128}) {
    threads.emplace_back([this, d] {
      const std::vector<RecurrenceShape> shapes(5, {2, 70, 4, 4, d, d});
      ExpectContractAt<Family>(shapes, options(), seed(600));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_P(DeltaRuleCuda, ContractRejectsForgettingTheChunksOwnTokens) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectContractRejectsTwin(options());
}

TEST_P(DeltaRuleCuda, SameBitsTwice) {
  LT2_SKIP_WITHOUT_CUDA();
  const bool channel = GetParam() == Decay::kChannel;
  ExpectSameBitsTwice<Family>({2, 150, 2, channel ? 2 : 6, 48, 96}, options());
}

TEST_P(DeltaRuleCuda, ARowDoesNotDependOnTheBatchAroundIt) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectRowsAreIndependent<Family>(options());
}

TEST_P(DeltaRuleCuda, RunsInAGraph) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectCapturable<Family>(options());
}

TEST_P(DeltaRuleCuda, NoTokensPassTheStateOn) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectNoTokensPassTheStateOn<Family>(options());
}

TEST_P(DeltaRuleCuda, UnsupportedCallsAreClearErrors) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectClearErrors<Family>(options());
}

TEST(DeltaRuleCudaRecorded, MatchesRecordedThirdPartyValues) {
  LT2_SKIP_WITHOUT_CUDA();
  const std::string directory = testing::Env("LT2_DATA_DIR");
  if (directory.empty()) GTEST_SKIP() << "LT2_DATA_DIR is not set";
  ExpectRecordedOnCuda<Family>(ReadDeltaRuleOracles(directory));
}

TEST(DeltaRuleCudaRecorded, MatchesGoldenFiles) {
  LT2_SKIP_WITHOUT_CUDA();
  const std::string directory = testing::Env("LT2_GOLDEN_DIR");
  if (directory.empty()) GTEST_SKIP() << "LT2_GOLDEN_DIR is not set";
  ExpectRecordedOnCuda<Family>(ReadDeltaRuleGolden(directory));
}

}  // namespace
}  // namespace lt2::kernels
