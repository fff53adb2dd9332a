#include <immintrin.h>

#include "compute/kernels/tables.h"

namespace zaya {
namespace {

// Each needs the one before.
// Each needs the one before.
// clang-format off
#include "compute/kernels/v_avx512-inl.h"
#include "compute/kernels/exp-inl.h"
#include "compute/kernels/attention-inl.h"
// clang-format on

}  // namespace

AttentionKernels avx512_attention() {
  return vector_attention();
}

}  // namespace zaya
