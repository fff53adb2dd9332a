#pragma once

#include <cstddef>
#include <vector>

#include "train/batch.h"
#include "train/context.h"
#include "train/frozen_base.h"

namespace zaya::train {

/// Final norm, head and cross-entropy over a base that is not trained. The head is widened some
/// rows at a time for all of the batch: once for the sums of the softmax, once for the gradients,
/// for which logits are computed again. A head of its own, as Head is where the head is trained,
/// would be widened for every few rows of the batch, or held in fp32 (2 GB of ZAYA1-8B).
template <class T>
class FrozenHead {
 public:
  explicit FrozenHead(const ModelConfig& config)
      : hidden_(config.hidden), vocab_(config.vocab), eps_(static_cast<T>(config.norm_eps)) {}

  /// The sum of -log p[target] over all targets. Where `dx` [R, H] is not null, it becomes the
  /// gradient of `scale` times that sum.
  double loss(Context<T>& context, FrozenBase<T>& base, const PackedBatch& batch, const T* x,
              T scale, T* dx);

 private:
  static constexpr std::size_t kBlock = 4096;  // tokens of the vocabulary

  std::size_t hidden_;
  std::size_t vocab_;
  T eps_;
  std::vector<T> gathered_;  ///< [targets, H]
  std::vector<T> normed_;
  std::vector<T> inverse_;
  std::vector<T> logits_;   ///< [targets, block]
  std::vector<T> log_sum_;  ///< [targets]
  std::vector<T> dnormed_;
  std::vector<T> dgathered_;
};

}  // namespace zaya::train
