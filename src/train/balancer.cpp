#include "train/balancer.h"

#include <cmath>

namespace zaya::train {

Balancer::Balancer(BalancerOptions options, std::size_t layers, std::size_t experts,
                   std::size_t classes)
    : options_(options),
      classes_(classes),
      balanced_(options.include_skip ? classes : experts),
      state_{0, std::vector<float>(layers * classes), std::vector<float>(layers * classes)} {}

void Balancer::update(const std::vector<std::vector<std::uint64_t>>& loads,
                      std::span<float* const> biases) {
  if (options_.kind == BalancerKind::none) return;
  ++state_.steps;
  const double correction1 = 1 - std::pow(options_.beta1, static_cast<double>(state_.steps));
  const double correction2 = 1 - std::pow(options_.beta2, static_cast<double>(state_.steps));
  for (std::size_t layer = 0; layer < loads.size(); ++layer) {
    double rows = 0;
    for (std::size_t c = 0; c < balanced_; ++c) rows += static_cast<double>(loads[layer][c]);
    if (rows == 0) continue;
    for (std::size_t c = 0; c < balanced_; ++c) {
      const double error =
          static_cast<double>(loads[layer][c]) / rows - 1.0 / static_cast<double>(balanced_);
      float& bias = biases[layer][c];
      double change = 0;
      if (options_.kind == BalancerKind::sign) {
        change = error > 0 ? 1 : error < 0 ? -1 : 0;
      } else {
        float& m = state_.first[layer * classes_ + c];
        float& v = state_.second[layer * classes_ + c];
        m = static_cast<float>(options_.beta1 * m + (1 - options_.beta1) * error);
        v = static_cast<float>(options_.beta2 * v + (1 - options_.beta2) * error * error);
        change = m / correction1 / (std::sqrt(v / correction2) + options_.eps);
      }
      bias = static_cast<float>(bias - options_.rate * (change + options_.decay * bias));
    }
  }
}

double load_entropy(std::span<const std::uint64_t> load, std::size_t experts) {
  double rows = 0;
  for (std::size_t e = 0; e < experts; ++e) rows += static_cast<double>(load[e]);
  if (rows == 0) return 0;
  if (experts < 2) return 1;
  double entropy = 0;
  for (std::size_t e = 0; e < experts; ++e) {
    if (load[e] == 0) continue;
    const double p = static_cast<double>(load[e]) / rows;
    entropy -= p * std::log(p);
  }
  return entropy / std::log(static_cast<double>(experts));
}

}  // namespace zaya::train
