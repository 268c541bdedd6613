// Linear attention under the tests of recurrence_testing.h.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_LINEAR_ATTENTION_TESTING_H_
#define LT2_KERNELS_LINEAR_ATTENTION_LINEAR_ATTENTION_TESTING_H_

#include "kernels/linear_attention/linear_attention.h"
#include "kernels/linear_attention/recurrence_testing.h"

namespace lt2::kernels {

struct LinearAttentionFamily {
  using Args = LinearAttentionArgs;
  using Results = LinearAttentionResults;
  using GradArgs = LinearAttentionGradArgs;
  using GradResults = LinearAttentionGradResults;
  static constexpr auto Forward = LinearAttention;
  static constexpr auto Grad = LinearAttentionGrad;
  static constexpr auto Step = LinearAttentionStep;
};

inline constexpr Decay kAllDecays[] = {Decay::kNone, Decay::kHead,
                                       Decay::kToken, Decay::kChannel};

inline const char* Name(Decay decay) {
  switch (decay) {
    case Decay::kNone:
      return "no decay";
    case Decay::kHead:
      return "decay per head";
    case Decay::kToken:
      return "decay per token";
    case Decay::kChannel:
      return "decay per channel";
  }
  return "";
}

// Its recorded operators.
inline std::vector<std::string> LinearAttentionOracles() {
  return {"simple_gla", "gla"};
}
inline std::vector<std::string> LinearAttentionGolden() {
  return {"linear_attention", "retention", "scalar_decay", "gla", "hgrn2"};
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_LINEAR_ATTENTION_LINEAR_ATTENTION_TESTING_H_
