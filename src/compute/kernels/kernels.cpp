#include "compute/kernels/kernels.h"

#include "compute/kernels/tables.h"

namespace zaya {

const Kernels& kernels_of(Isa isa) {
#if defined(__x86_64__)
  switch (isa) {
    case Isa::scalar:
      return kScalarKernels;
    case Isa::avx2:
      return kAvx2Kernels;
    case Isa::avx512:
      return kAvx512Kernels;
  }
#endif
  (void)isa;
  return kScalarKernels;
}

}  // namespace zaya
