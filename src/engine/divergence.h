#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "zaya/token.h"

namespace zaya {

/// How far one model's predictions are from another's, over many positions of a text.
class Divergence {
 public:
  struct Result {
    std::size_t positions = 0;
    double mean_kl = 0;  ///< of KL(reference || other), nats
    double median_kl = 0;
    double p99_kl = 0;  ///< 99th percentile
    double max_kl = 0;
    double top1_agreement = 0;        ///< share of positions with the same most probable token
    double reference_perplexity = 0;  ///< exp of the mean negative log-likelihood of the text
    double other_perplexity = 0;
  };

  /// One position: both models' logits [vocab] and the token that follows in the text. Safe to call
  /// from one thread at a time.
  void add(std::span<const float> reference, std::span<const float> other, TokenId next);

  std::size_t positions() const { return kl_.size(); }
  /// Throws Error when no position was added.
  Result result() const;

 private:
  std::vector<double> kl_;
  std::size_t agreed_ = 0;
  double reference_nll_ = 0;
  double other_nll_ = 0;
};

}  // namespace zaya
