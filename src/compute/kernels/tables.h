#pragma once

#include "compute/kernels/kernels.h"

namespace zaya {

// What each instruction set's translation units define. A set starts from the table of the set
// below it and replaces what it does better.
Kernels scalar_kernels();
Kernels avx2_kernels();
Kernels avx512_kernels();
Kernels amx_kernels();

// Products with stored weights: the four functions from packed_bytes to multiply.
void add_amx_linear(Kernels& table);

}  // namespace zaya
