#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "checkpoint/config.h"
#include "engine/runner.h"
#include "tests/model/reference.h"

namespace zaya {

/// Three small layers with sizes that no vector width divides.
ModelConfig small_config();
void slide(ModelConfig& config, std::vector<bool> sliding, std::size_t window);

/// A model small enough to compute by hand. Every tensor is random, none at its initial value:
/// scales around 1, biases around 0, balancing biases such that routing is diverse.
struct RandomModel {
  RandomModel(ModelConfig config, std::uint64_t seed);

  ModelConfig config;
  Weights weights;
  Layout layout = Layout::native;

  /// A tensor of one layer, to be changed.
  std::vector<double>& at(std::size_t layer, const std::string& name);
  std::vector<double>& global(const std::string& name) { return weights.at(name); }
  /// Fills a tensor of every layer.
  void fill(const std::string& name, double value);
  /// Sends every token of a layer to one class.
  void force_class(std::size_t layer, std::size_t index);

  /// Rounds the weights to `type` (f32, bf16 or f16), which is also how open() will store them.
  void store_as(DType type);
  /// Writes a checkpoint, and opens it.
  std::unique_ptr<Runner> open(Compute compute = Compute::f32, int threads = 1) const;

  ReferenceRun reference(std::span<const TokenId> tokens) const {
    return reference_forward(config, weights, tokens);
  }
  std::vector<TokenId> tokens(std::size_t count, std::uint64_t seed = 1) const;

 private:
  /// Shifts the balancing biases so that every class has about the same mean score.
  void balance();

  DType stored_ = DType::f32;
};

using LogitRows = std::vector<std::vector<double>>;  ///< [position][vocab]

/// Logits of every token, `chunk` tokens a step.
LogitRows feed_all(Runner& runner, Sequence& sequence, std::span<const TokenId> tokens,
                   std::size_t chunk = 1U << 20);
/// The same for a new sequence.
LogitRows run_all(Runner& runner, std::span<const TokenId> tokens, std::size_t chunk = 1U << 20);

/// Largest difference, as a share of the largest absolute logit of `want`. Infinite when the sizes
/// differ or anything is not a finite number.
double difference(const LogitRows& got, const LogitRows& want);

/// What compute mode f32 is held to.
constexpr double kTolerance = 1e-4;

}  // namespace zaya
