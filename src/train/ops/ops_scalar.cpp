#include "train/ops/ops_tables.h"

namespace zaya::train {
namespace {

#include "train/ops/table-inl.h"

}  // namespace

Ops<float> scalar_ops() {
  return make_ops<float>();
}

Ops<double> scalar_ops_double() {
  return make_ops<double>();
}

}  // namespace zaya::train
