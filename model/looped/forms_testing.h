// Every form of every mixer against one definition, on any device.
//
// The definition of a model's logits is its one-token recurrence on the CPU in
// f32: each token through the decode state. Other forms are the whole sequence
// at once (chunked, without a state) and any cut into segments; the engines are
// CPU f32, CUDA f32 and CUDA bf16.
//
// Tolerance. Rounding errors grow through loops, gates that saturate and
// choices of tokens that jump, more in one model than in another. What a model
// makes of rounding is measured: the definition again with its weights moved by
// rounding errors of the engine's type. A form may differ from the definition
// by kSlack times that. A wrong mask, state or position is far above it (the
// test of the twin shows it).

#ifndef LT2_MODEL_LOOPED_FORMS_TESTING_H_
#define LT2_MODEL_LOOPED_FORMS_TESTING_H_

#include <string>
#include <vector>

#include "model/looped/test_models.h"

namespace lt2::model {

// The model with DSA and NSA selecting every token. In bf16 roundings change
// which tokens are selected, so that with a real selection the tolerance is of
// the size of the logits and the comparison says nothing.
TestModel SelectingAll(TestModel kind);

// How the gates of a model stand.
enum class Gates {
  kInitial,
  // Decays, write strengths and their biases far into saturation, some open and
  // some shut.
  kExtreme,
};

class Forms {
 public:
  Forms(const TestModel& kind, Gates gates);

  // Compares the forms of an engine; `loops` 1..4, some or all.
  void Check(Context& ctx, DType activation, const std::vector<int64_t>& loops);
  // The same assertion must refuse a sequence that forgets its first token.
  void CheckTwinIsRefused(Context& ctx, DType activation);

 private:
  static constexpr int64_t kTokens = 130;
  static constexpr double kSlack = 8;

  // Logits of tokens 0..kTokens-1, token by token, on the CPU.
  std::vector<double> Definition(LoopedModel& model, int64_t loops) const;
  // Relative change of the definition when weights are moved by roundings.
  double EffectOfRounding(DType type, int64_t loops);

  const TestModel kind_;
  const Gates gates_;
  std::unique_ptr<Context> cpu_;
  std::unique_ptr<LoopedModel> host_;
  std::vector<double> ids_;
};

// Logits [batch * seq, vocab] of ids in pieces through a state.
std::vector<double> InPieces(LoopedModel& model, const Tensor& ids,
                             const std::vector<int64_t>& pieces, int64_t loops);

}  // namespace lt2::model

#endif  // LT2_MODEL_LOOPED_FORMS_TESTING_H_
