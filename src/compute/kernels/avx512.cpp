#include <immintrin.h>

#include "compute/kernels/tables.h"

namespace zaya {
namespace {

#include "compute/kernels/v_avx512-inl.h"
#include "compute/kernels/vector-inl.h"

}  // namespace

Kernels avx512_kernels() {
  return make_table(Isa::avx512);
}

}  // namespace zaya
