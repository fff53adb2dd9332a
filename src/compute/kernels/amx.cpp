#include "compute/kernels/tables.h"

namespace zaya {

Kernels amx_kernels(bool deterministic) {
  Kernels table = avx512_kernels();
  table.isa = Isa::amx;
  table.attention = amx_attention();
  table.gemm_bf16 = amx_gemm();
  table.floats = deterministic ? kAmxFloatTiles : kAmxFloats;
  table.integers = kAmxIntegers;
  return table;
}

}  // namespace zaya
