// Gemm through cuBLASLt.
//
// cuBLASLt thinks in columns. A row-major [r, c] matrix is the column-major
// [c, r] matrix with leading dimension c, so the product computed is
//   c^T [n, m] = op(b)^T op(a)^T
// with b as the first operand.

#include <cublasLt.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <tuple>

#include "kernels/core/cuda_util.cuh"
#include "kernels/gemm/gemm_internal.h"

#define LT2_CUBLAS_RETURN_IF_ERROR(call)                             \
  do {                                                               \
    const cublasStatus_t lt2_status_code = (call);                   \
    if (lt2_status_code != CUBLAS_STATUS_SUCCESS) {                  \
      return ::absl::InternalError(                                  \
          ::absl::StrCat(__FILE__, ":", __LINE__, ": ", #call, ": ", \
                         cublasLtGetStatusString(lt2_status_code))); \
    }                                                                \
  } while (false)

namespace lt2::kernels {
namespace {

constexpr uint64_t kMaxWorkspace = uint64_t{32} << 20;

// What a choice of algorithm depends on. Alignments are those of the addresses,
// in bytes: slices of tensors start anywhere.
using Key = std::tuple<int64_t, int64_t, int64_t, bool, bool, bool, DType,
                       DType, uint32_t, uint32_t, uint32_t>;

struct Plan {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
  cublasLtMatmulAlgo_t algorithm = {};
  int64_t workspace = 0;
  bool supported = false;  // false: cuBLASLt has no algorithm for it
};

uint32_t Alignment(const Tensor& t) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(t.raw());
  return static_cast<uint32_t>(
      std::min<uintptr_t>(256, address & (~address + 1)));
}

cudaDataType_t TypeOf(DType dtype) {
  return dtype == DType::kBF16 ? CUDA_R_16BF : CUDA_R_32F;
}

absl::Status SetPreferences(cublasLtMatmulPreference_t preference,
                            uint32_t align_a, uint32_t align_b,
                            uint32_t align_c) {
  // Reductions over pieces of k go through the workspace in f32 and are added
  // in a separate step, in a fixed order; in-place ones are excluded.
  const uint32_t schemes =
      CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute,
                 const auto& value) {
    return cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value,
                                                sizeof(value));
  };
  LT2_CUBLAS_RETURN_IF_ERROR(
      set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMaxWorkspace));
  LT2_CUBLAS_RETURN_IF_ERROR(
      set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, schemes));
  // The first operand of cuBLASLt is b.
  LT2_CUBLAS_RETURN_IF_ERROR(
      set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, align_b));
  LT2_CUBLAS_RETURN_IF_ERROR(
      set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, align_a));
  LT2_CUBLAS_RETURN_IF_ERROR(
      set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, align_c));
  LT2_CUBLAS_RETURN_IF_ERROR(
      set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, align_c));
  return absl::OkStatus();
}

// Objects of a plan that fails halfway are leaked: it means a broken cuBLASLt.
absl::StatusOr<Plan> MakePlan(cublasLtHandle_t handle, const GemmArgs& args,
                              const GemmShape& shape, const Tensor& c) {
  Plan plan;
  LT2_CUBLAS_RETURN_IF_ERROR(cublasLtMatmulDescCreate(
      &plan.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  const cublasOperation_t first = args.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t second = args.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
  LT2_CUBLAS_RETURN_IF_ERROR(cublasLtMatmulDescSetAttribute(
      plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof(first)));
  LT2_CUBLAS_RETURN_IF_ERROR(cublasLtMatmulDescSetAttribute(
      plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof(second)));
  auto layout = [](cublasLtMatrixLayout_t* out, DType dtype, int64_t rows,
                   int64_t columns) {  // of the row-major matrix
    return cublasLtMatrixLayoutCreate(out, TypeOf(dtype), columns, rows,
                                      columns);
  };
  const DType in = args.a.dtype();
  LT2_CUBLAS_RETURN_IF_ERROR(args.transpose_a
                                 ? layout(&plan.a, in, shape.k, shape.m)
                                 : layout(&plan.a, in, shape.m, shape.k));
  LT2_CUBLAS_RETURN_IF_ERROR(args.transpose_b
                                 ? layout(&plan.b, in, shape.n, shape.k)
                                 : layout(&plan.b, in, shape.k, shape.n));
  LT2_CUBLAS_RETURN_IF_ERROR(layout(&plan.c, c.dtype(), shape.m, shape.n));

  cublasLtMatmulPreference_t preference;
  LT2_CUBLAS_RETURN_IF_ERROR(cublasLtMatmulPreferenceCreate(&preference));
  LT2_RETURN_IF_ERROR(SetPreferences(preference, Alignment(args.a),
                                     Alignment(args.b), Alignment(c)));
  cublasLtMatmulHeuristicResult_t result = {};
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle, plan.operation, plan.b, plan.a, plan.c, plan.c, preference, 1,
      &result, &found);
  cublasLtMatmulPreferenceDestroy(preference);
  if (status != CUBLAS_STATUS_NOT_SUPPORTED) LT2_CUBLAS_RETURN_IF_ERROR(status);
  plan.supported = status == CUBLAS_STATUS_SUCCESS && found == 1 &&
                   result.state == CUBLAS_STATUS_SUCCESS;
  plan.algorithm = result.algo;
  plan.workspace = static_cast<int64_t>(result.workspaceSize);
  return plan;
}

// The plan for these arguments: asking cuBLASLt costs tens of microseconds, so
// once per process and key. Plans live as long as the process.
absl::StatusOr<Plan> FindPlan(cublasLtHandle_t handle, const GemmArgs& args,
                              const GemmShape& shape, const Tensor& c) {
  static std::mutex* mutex = new std::mutex;
  static auto* plans = new std::map<Key, Plan>;
  const Key key(shape.m, shape.n, shape.k, args.transpose_a, args.transpose_b,
                args.accumulate, args.a.dtype(), c.dtype(), Alignment(args.a),
                Alignment(args.b), Alignment(c));
  std::lock_guard<std::mutex> lock(*mutex);
  const auto found = plans->find(key);
  if (found != plans->end()) return found->second;
  LT2_ASSIGN_OR_RETURN(Plan plan, MakePlan(handle, args, shape, c));
  plans->emplace(key, plan);
  return plan;
}

// Element (i, p) of op(a) is a[i * a_row + p * a_column], and so on.
template <typename In, typename Out>
__global__ void PlainGemmKernel(const In* a, const In* b, Out* c, int64_t m,
                                int64_t n, int64_t k, int64_t a_row,
                                int64_t a_column, int64_t b_row,
                                int64_t b_column, bool accumulate) {
  const int64_t index =
      static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= m * n) return;
  const int64_t i = index / n, j = index % n;
  float sum = 0.0f;
  for (int64_t p = 0; p < k; ++p) {
    sum += cuda::AsFloat(a[i * a_row + p * a_column]) *
           cuda::AsFloat(b[p * b_row + j * b_column]);
  }
  if (accumulate) sum += cuda::AsFloat(c[index]);
  c[index] = cuda::FromFloat<Out>(sum);
}

template <typename In, typename Out>
absl::Status LaunchPlain(Context& ctx, const GemmArgs& args,
                         const GemmShape& shape, Tensor* c) {
  constexpr int kThreads = 256;
  const int64_t blocks = cuda::CeilDiv(shape.m * shape.n, kThreads);
  if (blocks >= (int64_t{1} << 31)) {
    return InvalidArgument("gemm: c ", c->ToString(), " is too large");
  }
  const int64_t lda = args.a.dim(-1), ldb = args.b.dim(-1);
  PlainGemmKernel<<<static_cast<unsigned>(blocks), kThreads, 0,
                    cuda::StreamOf(ctx)>>>(
      cuda::Data<In>(args.a), cuda::Data<In>(args.b), cuda::Data<Out>(*c),
      shape.m, shape.n, shape.k, args.transpose_a ? 1 : lda,
      args.transpose_a ? lda : 1, args.transpose_b ? 1 : ldb,
      args.transpose_b ? ldb : 1, args.accumulate);
  LT2_RETURN_LAUNCH_ERROR("PlainGemmKernel");
  return absl::OkStatus();
}

}  // namespace

absl::Status GemmCudaPlain(Context& ctx, const GemmArgs& args,
                           const GemmShape& shape, Tensor* c) {
  if (args.a.dtype() == DType::kF32) {
    return LaunchPlain<float, float>(ctx, args, shape, c);
  }
  if (c->dtype() == DType::kF32) {
    return LaunchPlain<BFloat16, float>(ctx, args, shape, c);
  }
  return LaunchPlain<BFloat16, BFloat16>(ctx, args, shape, c);
}

absl::Status GemmCuda(Context& ctx, const GemmArgs& args,
                      const GemmShape& shape, Tensor* c) {
  const auto handle = static_cast<cublasLtHandle_t>(ctx.cublas());
  LT2_ASSIGN_OR_RETURN(const Plan plan, FindPlan(handle, args, shape, *c));
  if (!plan.supported) return GemmCudaPlain(ctx, args, shape, c);
  // Goes back to the arena on return; the stream orders its next use.
  LT2_ASSIGN_OR_RETURN(Tensor workspace,
                       ctx.Empty(DType::kU8, {plan.workspace}));
  const float alpha = 1.0f, beta = args.accumulate ? 1.0f : 0.0f;
  LT2_CUBLAS_RETURN_IF_ERROR(cublasLtMatmul(
      handle, plan.operation, &alpha, args.b.raw(), plan.b, args.a.raw(),
      plan.a, &beta, c->raw(), plan.c, c->raw(), plan.c, &plan.algorithm,
      workspace.raw(), plan.workspace, cuda::StreamOf(ctx)));
  return absl::OkStatus();
}

}  // namespace lt2::kernels
