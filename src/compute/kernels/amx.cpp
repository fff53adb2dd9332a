#include "compute/kernels/tables.h"

namespace zaya {

Kernels amx_kernels() {
  Kernels table = avx512_kernels();
  table.isa = Isa::amx;
  add_amx_linear(table);
  return table;
}

}  // namespace zaya
