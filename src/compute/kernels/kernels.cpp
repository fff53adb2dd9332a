#include "compute/kernels/kernels.h"

#include "compute/kernels/tables.h"

namespace zaya {

const Kernels& kernels_of(Isa isa) {
#if defined(__x86_64__)
  static const Kernels avx2 = avx2_kernels();
  static const Kernels avx512 = avx512_kernels();
  static const Kernels amx = amx_kernels();
  switch (isa) {
    case Isa::scalar:
      break;
    case Isa::avx2:
      return avx2;
    case Isa::avx512:
      return avx512;
    case Isa::amx:
      return amx;
  }
#endif
  (void)isa;
  static const Kernels scalar = scalar_kernels();
  return scalar;
}

}  // namespace zaya
