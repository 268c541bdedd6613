// NSA composed of this folder's operators and of window attention, in f32 on
// any device, and the test bodies that compare it with its definition.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_NSA_TESTING_H_
#define LT2_KERNELS_SPARSE_ATTENTION_NSA_TESTING_H_

#include <cstdint>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/core/context.h"
#include "kernels/sparse_attention/block_compress.h"
#include "kernels/sparse_attention/nsa_reference.h"
#include "kernels/sparse_attention/selected_attention.h"

namespace lt2::kernels {

NsaValues MakeNsaValues(const NsaShape& n, uint64_t seed);
// Gates of the branches, [B, L, H, 3], in [0, 1).
std::vector<double> MakeNsaGates(const NsaShape& n);

// Runs the forward pass when made. An error fails the calling program.
class NsaComposition {
 public:
  NsaComposition(Context& ctx, const NsaShape& n, const NsaValues& in);

  std::vector<double> Output(const std::vector<double>& gates);
  NsaValues Gradient(const std::vector<double>& gates,
                     const std::vector<double>& dout);

  CompressedAttentionResults cmp;
  SelectedAttentionResults slc;
  AttentionResults swa;
  Tensor indices;

 private:
  Context& ctx_;
  const NsaShape n_;
  Tensor q_, k_, v_, kc_, vc_;
  CompressedAttentionArgs compressed_;
  SelectedAttentionArgs selected_;
  AttentionArgs window_;
};

// Output and chosen blocks at lengths around the block size. dim is that of
// NsaShape, a multiple of 8.
void ExpectNsaIsTheDefinition(Context& ctx);

// Token by token over caches, with lengths: the blocks and outputs of the
// whole.
void ExpectNsaDecodingEqualsTheWhole(Context& ctx);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SPARSE_ATTENTION_NSA_TESTING_H_
