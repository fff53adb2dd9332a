#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/config.h"
#include "zaya/token.h"

namespace zaya {

/// Every tensor of a model by its native name (checkpoint.h), row-major.
using Weights = std::map<std::string, std::vector<double>>;

/// What one pass over a sequence of T tokens gives.
struct ReferenceRun {
  std::vector<std::vector<double>> logits;        ///< [T][vocab]
  std::vector<std::vector<std::size_t>> classes;  ///< [layers][T]: chosen; `experts` is the skip
  /// [layers][T][classes]: what the router gives each class, before the balancing biases.
  std::vector<std::vector<std::vector<double>>> probabilities;
  /// Smallest distance, over all layers and tokens, between the chosen class and the next best. A
  /// computation in single precision may choose otherwise when it is tiny. Exact ties do not count:
  /// they have one right answer.
  double margin = 1e300;
};

/// The ZAYA1 forward pass, written down once more: over the whole sequence, in double precision,
/// without caches, threads or kernels, straight from the equations of arXiv:2510.04476 (CCA) and
/// arXiv:2605.05365 (router, residual scaling). It shares no code with src/model.
ReferenceRun reference_forward(const ModelConfig& config, const Weights& weights,
                               std::span<const TokenId> tokens);

/// All tensors of a checkpoint, in double precision.
Weights read_weights(const Checkpoint& checkpoint);

}  // namespace zaya
