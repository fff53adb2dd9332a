#pragma once

#include <array>

#include "compute/kernels/kernels.h"

namespace zaya {

// What each instruction set's translation units define. A set starts from the table of the set
// below it and replaces what it does better.
Kernels scalar_kernels();
Kernels avx2_kernels();
Kernels avx512_kernels();
Kernels amx_kernels(bool deterministic);

AttentionKernels scalar_attention();
/// The plain kernels of keys or values, by KvFormat.
std::array<KvKernels, kKvFormats> scalar_kv(bool keys);
AttentionKernels avx2_attention();
AttentionKernels avx512_attention();
AttentionKernels amx_attention();

GemmKernels scalar_gemm(GemmKind kind);
GemmKernels avx2_gemm(GemmKind kind);
GemmKernels avx512_gemm(GemmKind kind);
GemmKernels amx_gemm();  ///< bf16

extern const LinearKernels kScalarFloats;
extern const LinearKernels kScalarIntegers;
extern const LinearKernels kAvx2Integers;
extern const LinearKernels kAvx512Floats;
/// A row of quantised weights as floats.
void expand_avx512(const WeightView& w, std::size_t r, float* out);
extern const LinearKernels kAvx512Integers;
extern const LinearKernels kAmxIntegers;
extern const LinearKernels kAmxFloats;
extern const LinearKernels kAmxFloatTiles;

}  // namespace zaya
