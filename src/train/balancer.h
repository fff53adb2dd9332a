#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace zaya::train {

/// How a router's balancing biases follow the load of its experts.
enum class BalancerKind : std::uint8_t {
  none,
  /// AdamW on the load error (arXiv:2605.05365, section II-A-2): the bias is the error's integral,
  /// the first moment its low-pass, the second an automatic gain. The report gives no step size and
  /// no moments; the defaults below are AMD's choice for their reproduction.
  controller,
  sign,  ///< bias -= rate sign(error): DeepSeek-V3 (arXiv:2412.19437)
};

struct BalancerOptions {
  BalancerKind kind = BalancerKind::controller;
  double rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double decay = 0;  ///< of biases toward 0, as AdamW's weight decay
  /// The skip class takes part as one more expert. The released models kept it where it began, at
  /// -1, where it is never chosen.
  bool include_skip = false;
};

/// Balancing of all layers; its moments are part of a training checkpoint.
class Balancer {
 public:
  Balancer(BalancerOptions options, std::size_t layers, std::size_t experts, std::size_t classes);

  /// Once a step: `loads`, the rows of the whole step that each class of a layer was given, moves
  /// that layer's biases. Error of a class: its share of rows minus 1 / balanced classes.
  void update(const std::vector<std::vector<std::uint64_t>>& loads, std::span<float* const> biases);

  struct State {
    std::uint64_t steps = 0;
    std::vector<float> first;   ///< [layers, classes]
    std::vector<float> second;  ///< [layers, classes]
  };
  State& state() { return state_; }

 private:
  BalancerOptions options_;
  std::size_t classes_;
  std::size_t balanced_;
  State state_;
};

/// Entropy of the experts' shares of rows, as a share of its largest value, ln E. The skip class is
/// left out. 0 when no row went to an expert.
double load_entropy(std::span<const std::uint64_t> load, std::size_t experts);

}  // namespace zaya::train
