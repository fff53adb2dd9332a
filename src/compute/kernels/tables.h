#pragma once

#include "compute/kernels/kernels.h"

namespace zaya {

// What each instruction set's translation unit defines.
extern const Kernels kScalarKernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;

}  // namespace zaya
