#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "checkpoint/adapter.h"
#include "checkpoint/config.h"

namespace zaya {

/// A projection of a model.
struct AdapterModule {
  std::size_t layer = 0;
  Projection projection = Projection::q;
  std::size_t out = 0;
  std::size_t in = 0;
  std::string name;  ///< in the model: "model.layers.3.self_attn.o_proj"

  /// Of its matrix A or B in an adapter's file.
  std::string tensor_name(char half) const;
};

/// All projections of a model by their names in a layout, in the order of layers and projections.
std::vector<AdapterModule> adapter_modules(const ModelConfig& model, Layout layout);

}  // namespace zaya
