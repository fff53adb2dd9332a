#include "compute/kernels/tables.h"

namespace zaya {

AttentionKernels amx_attention() {
  return avx512_attention();
}

}  // namespace zaya
