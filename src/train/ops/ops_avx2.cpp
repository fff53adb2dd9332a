#include "train/ops/ops_tables.h"

namespace zaya::train {
namespace {

#include "train/ops/table-inl.h"

}  // namespace

Ops<float> avx2_ops() {
  return make_ops<float>();
}

}  // namespace zaya::train
