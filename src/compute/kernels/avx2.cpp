#include <immintrin.h>

#include "compute/kernels/tables.h"

namespace zaya {
namespace {

#include "compute/kernels/v_avx2-inl.h"
#include "compute/kernels/vector-inl.h"

}  // namespace

Kernels avx2_kernels() {
  return make_table(Isa::avx2);
}

}  // namespace zaya
