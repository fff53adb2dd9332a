#include "train/ops/ops.h"

#include "train/ops/ops_tables.h"

namespace zaya::train {

template <>
const Ops<float>& ops_of(Isa isa) {
#if defined(__x86_64__)
  // Each table is made when it is asked for: even that may take instructions of its set.
  if (isa == Isa::avx2) {
    static const Ops<float> avx2 = avx2_ops();
    return avx2;
  }
  if (isa == Isa::avx512 || isa == Isa::amx) {
    static const Ops<float> avx512 = avx512_ops();
    return avx512;
  }
#endif
  (void)isa;
  static const Ops<float> scalar = scalar_ops();
  return scalar;
}

template <>
const Ops<double>& ops_of(Isa /*isa*/) {
  static const Ops<double> scalar = scalar_ops_double();
  return scalar;
}

}  // namespace zaya::train
