#include "kernels/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention/attention_impl.h"

namespace lt2::kernels {
namespace {

absl::Status CheckScale(float scale) {
  if (std::isfinite(scale) && scale > 0) return absl::OkStatus();
  return InvalidArgument("scale is ", scale, ", must be finite and > 0");
}

absl::Status CheckRank4(absl::string_view what, const Tensor& t) {
  if (!t.defined()) return InvalidArgument(what, " is undefined");
  if (t.rank() == 4) return absl::OkStatus();
  return InvalidArgument(what, " is ", t.ToString(),
                         ", must be [batch, seq, heads, dim]");
}

absl::Status CheckHeads(int64_t heads, int64_t kv_heads) {
  if (kv_heads > 0 ? heads % kv_heads == 0 : heads == 0) {
    return absl::OkStatus();
  }
  return InvalidArgument(heads, " query heads are not a multiple of ", kv_heads,
                         " key-value heads");
}

absl::Status CheckHeadDim(const Tensor& q) {
  const int64_t dim = q.dim(3);
  if (q.device() == Device::kCPU || (dim % 8 == 0 && dim <= 128)) {
    return absl::OkStatus();
  }
  return InvalidArgument("head dimension is ", dim,
                         ", must be a multiple of 8 up to 128 on a GPU");
}

absl::Status CheckF32OrBf16(absl::string_view what, const Tensor& t) {
  if (t.dtype() == DType::kF32) return absl::OkStatus();
  if (t.dtype() == DType::kBF16 && t.device() == Device::kCUDA) {
    return absl::OkStatus();
  }
  return InvalidArgument(what, " is ", t.ToString(),
                         ", must be f32 (or bf16 on a GPU)");
}

absl::Status CheckDevice(const Context& ctx, const Tensor& t) {
  if (t.device() == ctx.device()) return absl::OkStatus();
  return InvalidArgument("tensor ", t.ToString(), " is not on ",
                         Name(ctx.device()));
}

}  // namespace

absl::Status AttentionSupports(const AttentionArgs& args) {
  LT2_RETURN_IF_ERROR(CheckRank4("q", args.q));
  LT2_RETURN_IF_ERROR(CheckRank4("k", args.k));
  const Tensor &q = args.q, &k = args.k;
  LT2_RETURN_IF_ERROR(CheckF32OrBf16("q", q));
  const DType dtype = q.dtype();
  const Shape kv({q.dim(0), k.dim(1), k.dim(2), q.dim(3)});
  LT2_RETURN_IF_ERROR(ExpectTensor("k", k, q.device(), dtype, kv));
  LT2_RETURN_IF_ERROR(ExpectTensor("v", args.v, q.device(), dtype, kv));
  LT2_RETURN_IF_ERROR(CheckHeads(q.dim(2), k.dim(2)));
  LT2_RETURN_IF_ERROR(CheckHeadDim(q));
  LT2_RETURN_IF_ERROR(CheckScale(args.scale));
  if (q.dim(1) > k.dim(1)) {
    return InvalidArgument("there are ", q.dim(1), " queries but only ",
                           k.dim(1), " keys");
  }
  if (args.window < 0) {
    return InvalidArgument("window is ", args.window, ", must be >= 0");
  }
  return absl::OkStatus();
}

namespace {

// (query, key) pairs inside the mask, all rows and heads.
int64_t MaskedPairs(const AttentionArgs& args) {
  const int64_t s = args.q.dim(1), l = args.k.dim(1);
  const int64_t w = args.window > 0 ? args.window : l;
  int64_t pairs = 0;
  for (int64_t i = l - s; i < l; ++i) pairs += std::min(i + 1, w);
  return args.q.dim(0) * args.q.dim(2) * pairs;
}

}  // namespace

absl::Status Attention(Context& ctx, const AttentionArgs& args,
                       AttentionResults* results) {
  LT2_RETURN_IF_ERROR(AttentionSupports(args));
  LT2_RETURN_IF_ERROR(CheckDevice(ctx, args.q));
  const Tensor& q = args.q;
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("attention o", q.dtype(), q.shape(), &results->o));
  LT2_RETURN_IF_ERROR(ctx.Prepare("attention lse", DType::kF32,
                                  {q.dim(0), q.dim(2), q.dim(1)},
                                  &results->lse));
  if (q.numel() == 0) return ctx.Zero(&results->lse);
  ctx.CountFlops(4 * q.dim(3) * MaskedPairs(args));
  LT2_DISPATCH(ctx, AttentionCpu(ctx, args, results),
               AttentionCuda(ctx, args, results));
}

absl::Status AttentionGradSupports(const AttentionGradArgs& args) {
  LT2_RETURN_IF_ERROR(AttentionSupports(args.forward));
  const Tensor& q = args.forward.q;
  const Device device = q.device();
  if (device == Device::kCUDA && q.dtype() != DType::kBF16) {
    return InvalidArgument("the gradient of attention on a GPU needs ",
                           Name(DType::kBF16), ", q is ", q.ToString());
  }
  LT2_RETURN_IF_ERROR(ExpectTensor("o", args.o, device, q.dtype(), q.shape()));
  LT2_RETURN_IF_ERROR(
      ExpectTensor("dout", args.dout, device, q.dtype(), q.shape()));
  return ExpectTensor("lse", args.lse, device, DType::kF32,
                      {q.dim(0), q.dim(2), q.dim(1)});
}

absl::Status AttentionGrad(Context& ctx, const AttentionGradArgs& args,
                           AttentionGradResults* results) {
  LT2_RETURN_IF_ERROR(AttentionGradSupports(args));
  const Tensor &q = args.forward.q, &k = args.forward.k;
  LT2_RETURN_IF_ERROR(CheckDevice(ctx, q));
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("attention dq", q.dtype(), q.shape(), &results->dq));
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("attention dk", k.dtype(), k.shape(), &results->dk));
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("attention dv", k.dtype(), k.shape(), &results->dv));
  if (k.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, AttentionGradCpu(ctx, args, results),
               AttentionGradCuda(ctx, args, results));
}

absl::Status AttentionDecodeSupports(const AttentionDecodeArgs& args) {
  LT2_RETURN_IF_ERROR(CheckRank4("q", args.q));
  LT2_RETURN_IF_ERROR(CheckRank4("k_cache", args.k_cache));
  const Tensor &q = args.q, &k = args.k_cache;
  LT2_RETURN_IF_ERROR(CheckF32OrBf16("q", q));
  if (q.dim(1) != 1) {
    return InvalidArgument("decoding takes one query per row, q is ",
                           q.ToString());
  }
  const Shape cache({q.dim(0), k.dim(1), k.dim(2), q.dim(3)});
  LT2_RETURN_IF_ERROR(ExpectTensor("k_cache", k, q.device(), q.dtype(), cache));
  LT2_RETURN_IF_ERROR(
      ExpectTensor("v_cache", args.v_cache, q.device(), q.dtype(), cache));
  LT2_RETURN_IF_ERROR(ExpectTensor("lengths", args.lengths, q.device(),
                                   DType::kI32, {q.dim(0)}));
  LT2_RETURN_IF_ERROR(CheckHeads(q.dim(2), k.dim(2)));
  LT2_RETURN_IF_ERROR(CheckHeadDim(q));
  return CheckScale(args.scale);
}

absl::Status AttentionDecode(Context& ctx, const AttentionDecodeArgs& args,
                             Tensor* o) {
  LT2_RETURN_IF_ERROR(AttentionDecodeSupports(args));
  LT2_RETURN_IF_ERROR(CheckDevice(ctx, args.q));
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("decode o", args.q.dtype(), args.q.shape(), o));
  if (args.q.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, AttentionDecodeCpu(ctx, args, o),
               AttentionDecodeCuda(ctx, args, o));
}

absl::Status CacheAppendSupports(const CacheAppendArgs& args,
                                 const Tensor& k_cache, const Tensor& v_cache) {
  LT2_RETURN_IF_ERROR(CheckRank4("k", args.k));
  LT2_RETURN_IF_ERROR(CheckRank4("k_cache", k_cache));
  const Tensor& k = args.k;
  LT2_RETURN_IF_ERROR(CheckF32OrBf16("k", k));
  LT2_RETURN_IF_ERROR(
      ExpectTensor("v", args.v, k.device(), k.dtype(), k.shape()));
  const Shape cache({k.dim(0), k_cache.dim(1), k.dim(2), k.dim(3)});
  LT2_RETURN_IF_ERROR(
      ExpectTensor("k_cache", k_cache, k.device(), k.dtype(), cache));
  LT2_RETURN_IF_ERROR(
      ExpectTensor("v_cache", v_cache, k.device(), k.dtype(), cache));
  LT2_RETURN_IF_ERROR(ExpectTensor("lengths", args.lengths, k.device(),
                                   DType::kI32, {k.dim(0)}));
  if (k.dim(1) > k_cache.dim(1)) {
    return InvalidArgument("appending ", k.dim(1), " entries to a cache of ",
                           k_cache.dim(1));
  }
  return absl::OkStatus();
}

absl::Status CacheAppend(Context& ctx, const CacheAppendArgs& args,
                         Tensor* k_cache, Tensor* v_cache) {
  LT2_RETURN_IF_ERROR(CacheAppendSupports(args, *k_cache, *v_cache));
  LT2_RETURN_IF_ERROR(CheckDevice(ctx, args.k));
  if (args.k.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, CacheAppendCpu(ctx, args, k_cache, v_cache),
               CacheAppendCuda(ctx, args, k_cache, v_cache));
}

absl::Status AdvanceLengths(Context& ctx, int64_t n, Tensor* lengths) {
  if (!lengths->defined() || lengths->rank() != 1) {
    return InvalidArgument("lengths must be i32 [batch]");
  }
  LT2_RETURN_IF_ERROR(ExpectTensor("lengths", *lengths, ctx.device(),
                                   DType::kI32, lengths->shape()));
  if (n < 0 || n > std::numeric_limits<int32_t>::max()) {
    return InvalidArgument("cannot advance lengths by ", n);
  }
  if (lengths->numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, AdvanceLengthsCpu(ctx, n, lengths),
               AdvanceLengthsCuda(ctx, n, lengths));
}

}  // namespace lt2::kernels
