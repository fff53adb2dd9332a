#include <immintrin.h>

#include "compute/kernels/tables.h"

namespace zaya {
namespace {

#include "compute/kernels/v_avx2-inl.h"
#include "compute/kernels/vector-inl.h"
// After the above.
#include "compute/kernels/linear_floats-inl.h"
// Plain loops.
#include "compute/kernels/int4_row-inl.h"

}  // namespace

Kernels avx2_kernels() {
  Kernels table = make_table(Isa::avx2);
  table.attention = avx2_attention();
  table.gemm_f32 = avx2_gemm(GemmKind::f32);
  table.gemm_bf16 = avx2_gemm(GemmKind::bf16);
  table.expand = expand;
  table.round_to_int4 = round_to_int4;
  table.exact = kFloats;
  table.floats = kFloats;
  table.integers = kAvx2Integers;
  return table;
}

}  // namespace zaya
