#include "compute/kernels/kernels.h"

#include "compute/kernels/tables.h"

namespace zaya {

const Kernels& kernels_of(Isa isa, bool deterministic) {
#if defined(__x86_64__)
  // Each table is made when it is asked for: even that may take instructions of its set.
  switch (isa) {
    case Isa::scalar:
      break;
    case Isa::avx2: {
      static const Kernels avx2 = avx2_kernels();
      return avx2;
    }
    case Isa::avx512: {
      static const Kernels avx512 = avx512_kernels();
      return avx512;
    }
    case Isa::amx: {
      static const Kernels amx = amx_kernels(false);
      static const Kernels amx_deterministic = amx_kernels(true);
      return deterministic ? amx_deterministic : amx;
    }
  }
#endif
  (void)isa;
  (void)deterministic;
  static const Kernels scalar = scalar_kernels();
  return scalar;
}

}  // namespace zaya
