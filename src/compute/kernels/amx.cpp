#include "compute/kernels/tables.h"

namespace zaya {

Kernels amx_kernels() {
  Kernels table = avx512_kernels();
  table.isa = Isa::amx;
  return table;
}

}  // namespace zaya
