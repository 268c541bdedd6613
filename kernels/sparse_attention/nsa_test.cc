// The three branches of NSA composed of this folder's operators, on the CPU.

#include <numeric>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/nsa_testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::CpuContext;
using lt2::testing::FiniteDifferences;
using lt2::testing::Near;
using lt2::testing::Rounded;
using lt2::testing::Uniform;

TEST(Nsa, CompositionIsTheDefinition) {
  auto ctx = CpuContext();
  ExpectNsaIsTheDefinition(*ctx);
}

TEST(Nsa, DecodingEqualsTheWhole) {
  auto ctx = CpuContext();
  ExpectNsaDecodingEqualsTheWhole(*ctx);
}

// The choice is a constant of the gradient; an infinitesimal step does not
// change it.
TEST(Nsa, GradientOfTheCompositionIsThatOfFiniteDifferences) {
  auto ctx = CpuContext();
  NsaShape n;
  n.batch = 1;
  n.tokens = 21;
  n.heads = 2;
  n.dim = 3;
  const NsaValues in = MakeNsaValues(n, 2);
  const auto gates = MakeNsaGates(n);
  const auto dout = Rounded(DType::kF32, Uniform(8, 21 * 2 * 3));
  const NsaValues actual = NsaComposition(*ctx, n, in).Gradient(gates, dout);
  auto differences = [&](std::vector<double> NsaValues::*field) {
    return FiniteDifferences(
        [&](const std::vector<double>& moved) {
          NsaValues x = in;
          x.*field = moved;
          const auto o = NsaReference(n, x, gates).o;
          return std::inner_product(o.begin(), o.end(), dout.begin(), 0.0);
        },
        in.*field);
  };
  EXPECT_TRUE(Near(actual.q, differences(&NsaValues::q), 1e-6));
  EXPECT_TRUE(Near(actual.k, differences(&NsaValues::k), 1e-6));
  EXPECT_TRUE(Near(actual.v, differences(&NsaValues::v), 1e-6));
}

}  // namespace
}  // namespace lt2::kernels
