#include <immintrin.h>

#include "compute/kernels/tables.h"

namespace zaya {
namespace {

#include "compute/kernels/v_avx512-inl.h"
#include "compute/kernels/vector-inl.h"
// After the above.
#include "compute/kernels/linear_floats-inl.h"
// Plain loops.
#include "compute/kernels/int4_row-inl.h"

}  // namespace

const LinearKernels kAvx512Floats = kFloats;

void expand_avx512(const WeightView& w, std::size_t r, float* out) {
  expand(w, r, out);
}

Kernels avx512_kernels() {
  Kernels table = make_table(Isa::avx512);
  table.attention = avx512_attention();
  table.gemm_f32 = avx512_gemm(GemmKind::f32);
  table.gemm_bf16 = avx512_gemm(GemmKind::bf16);
  table.expand = expand;
  table.round_to_int4 = round_to_int4;
  table.exact = kAvx512Floats;
  table.floats = kAvx512Floats;
  table.integers = kAvx512Integers;
  return table;
}

}  // namespace zaya
