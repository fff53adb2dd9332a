#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/runner.h"

namespace zaya::cli {

/// The mean square of each input column of a model's matrices, over the tokens it is shown.
class Calibration : public InputObserver {
 public:
  explicit Calibration(const ModelWeights& weights);

  void inputs(const WeightView& w, Rows<const float> x, const std::uint32_t* index,
              std::size_t rows) override;

  /// Runs the text through the model in pieces, each a sequence of its own.
  void run(Runner& runner, std::span<const TokenId> tokens, const Progress& progress);

  /// By native name; empty for a matrix that saw no input. Evened out where few inputs were seen.
  std::vector<float> importance(const std::string& name) const;

 private:
  struct Sums {
    std::vector<double> squares;
    std::uint64_t rows = 0;
  };

  void add(const std::string& name, const Linear& linear);

  std::unordered_map<std::string, const std::byte*> data_;  ///< native name to codes
  std::unordered_map<const std::byte*, Sums> sums_;         ///< by codes
};

}  // namespace zaya::cli
