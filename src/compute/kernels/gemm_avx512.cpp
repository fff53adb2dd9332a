#include <immintrin.h>

#include "compute/kernels/tables.h"

namespace zaya {
namespace {

#include "compute/kernels/v_avx512-inl.h"
// After the above.
#include "compute/kernels/gemm-inl.h"

}  // namespace

GemmKernels avx512_gemm(GemmKind kind) {
  return kind == GemmKind::f32 ? gemm_kernels<false>() : gemm_kernels<true>();
}

}  // namespace zaya
