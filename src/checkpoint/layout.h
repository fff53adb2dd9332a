#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/config.h"

namespace zaya {

/// One tensor as a layout stores it.
struct StoredTensor {
  std::string name;                ///< on disk
  std::vector<std::size_t> shape;  ///< on disk
  /// What it is in the native table: one name, or one an expert for a native expert stack, whose
  /// first dimension they divide.
  std::vector<std::string> parts;
  bool stacked = false;  ///< parts are slices along the first dimension

  std::uint64_t elements() const;
};

/// Every tensor of a model in the order of the native table: embedding, layers, final norm, head.
/// The legacy table is the same list under legacy names, with experts one by one.
std::vector<StoredTensor> tensor_table(const ModelConfig& config, Layout layout);

/// Sums over the table. `balancing` is what the balancing biases add: they are no trained
/// parameters and not part of the other numbers.
struct ParameterCounts {
  std::uint64_t total = 0;
  std::uint64_t active = 0;  ///< used by one token: one expert a layer; the embedding counts once
                             ///< when it is also the head, else as the head alone
  std::uint64_t embedding = 0;  ///< embedding table, and the head where it is a tensor of its own
  std::uint64_t balancing = 0;
};
ParameterCounts count_parameters(const ModelConfig& config);

}  // namespace zaya
