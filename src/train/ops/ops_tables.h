#pragma once

#include "train/ops/ops.h"

namespace zaya::train {

// What each instruction set's translation unit defines.
Ops<float> scalar_ops();
Ops<double> scalar_ops_double();
Ops<float> avx2_ops();
Ops<float> avx512_ops();

}  // namespace zaya::train
