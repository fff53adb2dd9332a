#pragma once

#include <cstddef>
#include <vector>

#include "checkpoint/config.h"
#include "train/batch.h"
#include "train/context.h"

namespace zaya::train {

/// Final norm, head and cross-entropy in one: logits are held for a few rows at a time and become
/// their own gradient. Rows without a target take no part.
template <class T>
class Head {
 public:
  explicit Head(const ModelConfig& config)
      : hidden_(config.hidden), vocab_(config.vocab), eps_(static_cast<T>(config.norm_eps)) {}

  /// The sum of -log p[target] over all targets. Where `dx` [R, H] is not null also the gradients
  /// of `scale` times that sum: dx overwritten, dnorm and dhead added to.
  double loss(Context<T>& context, const T* norm, const T* head, const PackedBatch& batch,
              const T* x, T scale, T* dx, T* dnorm, T* dhead);

  /// Rows whose logits are held at once.
  std::size_t chunk_rows() const;

 private:
  std::size_t hidden_;
  std::size_t vocab_;
  T eps_;
  std::vector<std::size_t> wanted_;  ///< rows that have a target
  std::vector<T> gathered_;          ///< [wanted, H]
  std::vector<T> normed_;
  std::vector<T> inverse_;
  std::vector<T> dnormed_;
  std::vector<T> dgathered_;
  std::vector<T> logits_;
  std::vector<T> losses_;
};

}  // namespace zaya::train
