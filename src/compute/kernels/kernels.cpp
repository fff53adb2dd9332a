#include "compute/kernels/kernels.h"

#include "compute/kernels/tables.h"

namespace zaya {

const Kernels& kernels_of(Isa isa, bool deterministic) {
#if defined(__x86_64__)
  static const Kernels avx2 = avx2_kernels();
  static const Kernels avx512 = avx512_kernels();
  static const Kernels amx = amx_kernels(false);
  static const Kernels amx_deterministic = amx_kernels(true);
  switch (isa) {
    case Isa::scalar:
      break;
    case Isa::avx2:
      return avx2;
    case Isa::avx512:
      return avx512;
    case Isa::amx:
      return deterministic ? amx_deterministic : amx;
  }
#endif
  (void)isa;
  (void)deterministic;
  static const Kernels scalar = scalar_kernels();
  return scalar;
}

}  // namespace zaya
