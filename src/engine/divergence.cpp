#include "engine/divergence.h"

#include <algorithm>
#include <cmath>

#include "zaya/error.h"

namespace zaya {
namespace {

struct Row {
  std::size_t top;
  double log_sum;  ///< log of the sum of exp(logits)
};

Row summarise(std::span<const float> logits) {
  const auto top =
      static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x) - logits[top]);
  return {top, logits[top] + std::log(sum)};
}

}  // namespace

void Divergence::add(std::span<const float> reference, std::span<const float> other, TokenId next) {
  const Row a = summarise(reference);
  const Row b = summarise(other);
  double kl = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double log_p = reference[i] - a.log_sum;
    kl += std::exp(log_p) * (log_p - (other[i] - b.log_sum));
  }
  kl_.push_back(std::max(0.0, kl));  // rounding can leave a tiny negative sum
  agreed_ += a.top == b.top ? 1 : 0;
  const auto token = static_cast<std::size_t>(next);
  reference_nll_ += a.log_sum - reference[token];
  other_nll_ += b.log_sum - other[token];
}

Divergence::Result Divergence::result() const {
  if (kl_.empty()) {
    throw Error({.where = "text",
                 .what = "too short to compare on",
                 .expected = "at least 2 tokens",
                 .found = "fewer"});
  }
  std::vector<double> sorted = kl_;
  std::sort(sorted.begin(), sorted.end());
  const auto n = static_cast<double>(sorted.size());
  double sum = 0;
  for (const double kl : sorted) sum += kl;
  return {
      .positions = sorted.size(),
      .mean_kl = sum / n,
      .median_kl = sorted[sorted.size() / 2],
      .p99_kl = sorted[static_cast<std::size_t>(0.99 * (n - 1))],
      .max_kl = sorted.back(),
      .top1_agreement = static_cast<double>(agreed_) / n,
      .reference_perplexity = std::exp(reference_nll_ / n),
      .other_perplexity = std::exp(other_nll_ / n),
  };
}

}  // namespace zaya
