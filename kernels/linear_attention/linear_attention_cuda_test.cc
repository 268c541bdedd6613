// Linear attention on the GPU, with every kind of decay. The bodies are in
// recurrence_cuda_testing.h.

#include "gtest/gtest.h"
#include "kernels/linear_attention/linear_attention_testing.h"
#include "kernels/linear_attention/recurrence_cuda_testing.h"

namespace lt2::kernels {
namespace {

using Family = LinearAttentionFamily;

class LinearAttentionCuda : public ::testing::TestWithParam<Decay> {
 protected:
  RecurrenceCaseOptions options() const {
    RecurrenceCaseOptions options;
    options.decay = GetParam();
    return options;
  }
  uint64_t seed(uint64_t base) const {
    return base + 1000 * static_cast<uint64_t>(GetParam());
  }
};

INSTANTIATE_TEST_SUITE_P(Decays, LinearAttentionCuda,
                         ::testing::ValuesIn(kAllDecays), DecayName);

TEST_P(LinearAttentionCuda, MeetsTheContractAtEveryEdgeLength) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectContractAt<Family>(EdgeLengths(), options(), seed(10));
}

TEST_P(LinearAttentionCuda, MeetsTheContractAtManySizes) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectContractAt<Family>(ManySizes(), options(), seed(100));
}

TEST_P(LinearAttentionCuda, MeetsTheContractWithGroupedValueHeads) {
  LT2_SKIP_WITHOUT_CUDA();
  if (GetParam() == Decay::kChannel) {
    GTEST_SKIP() << "decay per channel has one value head per query head";
  }
  ExpectContractAt<Family>(GroupedHeads(), options(), seed(150));
}

TEST_P(LinearAttentionCuda, MeetsTheContractWithManyHeads) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectContractAt<Family>(ManyHeads(), options(), seed(170));
}

TEST_P(LinearAttentionCuda, MeetsTheContractWithoutStates) {
  LT2_SKIP_WITHOUT_CUDA();
  RecurrenceCaseOptions without = options();
  without.states = false;
  ExpectContractAt<Family>({{2, 150, 2, 2, 32, 32}, {2, 64, 2, 2, 64, 64}},
                           without, seed(200));
}

TEST_P(LinearAttentionCuda, MeetsTheContractWithStrongDecay) {
  LT2_SKIP_WITHOUT_CUDA();
  RecurrenceCaseOptions strong = options();
  strong.min_g = -8;
  ExpectContractAt<Family>({{2, 150, 2, 2, 32, 32}, {2, 129, 2, 2, 64, 64}},
                           strong, seed(250));
}

TEST_P(LinearAttentionCuda, MeetsTheContractWithExtremeDecays) {
  LT2_SKIP_WITHOUT_CUDA();
  if (GetParam() == Decay::kNone) GTEST_SKIP() << "no decay";
  ExpectContractWithExtremeDecays<Family>(options(), seed(400));
}

TEST_P(LinearAttentionCuda, TotalDecayEverywhereStaysFinite) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectFiniteUnderTotalDecay<Family>(options());
}

TEST_P(LinearAttentionCuda, SegmentsAndStepsMatchTheWhole) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectContractInSegments<Family>(options(), seed(500));
}

TEST_P(LinearAttentionCuda, F32MeetsTheContractAtOddSizes) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectContractInF32<Family>(options(), seed(550));
}

TEST_P(LinearAttentionCuda, ContractRejectsDecayThatIsOffByAToken) {
  LT2_SKIP_WITHOUT_CUDA();
  if (GetParam() == Decay::kNone) GTEST_SKIP() << "no decay";
  ExpectContractRejectsTwin(options());
}

TEST_P(LinearAttentionCuda, SameBitsTwice) {
  LT2_SKIP_WITHOUT_CUDA();
  const bool channel = GetParam() == Decay::kChannel;
  ExpectSameBitsTwice<Family>({2, 150, 2, channel ? 2 : 6, 48, 96}, options());
}

TEST_P(LinearAttentionCuda, ARowDoesNotDependOnTheBatchAroundIt) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectRowsAreIndependent<Family>(options());
}

TEST_P(LinearAttentionCuda, RunsInAGraph) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectCapturable<Family>(options());
}

TEST_P(LinearAttentionCuda, NoTokensPassTheStateOn) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectNoTokensPassTheStateOn<Family>(options());
}

TEST_P(LinearAttentionCuda, UnsupportedCallsAreClearErrors) {
  LT2_SKIP_WITHOUT_CUDA();
  ExpectClearErrors<Family>(options());
}

TEST(LinearAttentionCudaRecorded, MatchesRecordedThirdPartyValues) {
  LT2_SKIP_WITHOUT_CUDA();
  const std::string directory = testing::Env("LT2_DATA_DIR");
  if (directory.empty()) GTEST_SKIP() << "LT2_DATA_DIR is not set";
  ExpectRecordedOnCuda<Family>(
      ReadRecurrenceOracles(directory, LinearAttentionOracles()));
}

TEST(LinearAttentionCudaRecorded, MatchesGoldenFiles) {
  LT2_SKIP_WITHOUT_CUDA();
  const std::string directory = testing::Env("LT2_GOLDEN_DIR");
  if (directory.empty()) GTEST_SKIP() << "LT2_GOLDEN_DIR is not set";
  ExpectRecordedOnCuda<Family>(
      ReadRecurrenceGolden(directory, LinearAttentionGolden()));
}

}  // namespace
}  // namespace lt2::kernels
