#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/process.h"
#include "base/progress.h"
#include "compute/roofline.h"
#include "engine/runner.h"
#include "engine/step_cost.h"

namespace zaya {

struct BenchOptions {
  std::vector<std::size_t> prompts;  ///< lengths to feed to an empty sequence
  std::vector<std::size_t> depths;   ///< tokens of context that decoding starts from
  std::vector<std::size_t> batches;  ///< sequences that are decoded side by side
  std::size_t decode = 32;           ///< tokens a sequence in one repeat
  std::size_t repeat = 5;
  /// Contexts of random K and V (Runner::synthetic_sequence) in place of fed ones.
  bool fill_cache = false;
  std::uint64_t seed = 1;  ///< of the token ids
};

/// One measured line.
struct BenchLine {
  enum class Kind { prompt, decode };
  Kind kind = Kind::prompt;
  std::size_t batch = 1;
  std::size_t context = 0;  ///< length of the prompt, or tokens before decoding
  std::size_t tokens = 0;   ///< of one repeat, all sequences together
  double median_seconds = 0;
  double best_seconds = 0;
  StepCost cost = {};      ///< of one repeat
  Roofline roofline = {};  ///< the higher of before and after
  double stolen = 0;       ///< share of all processor time the hypervisor gave to others meanwhile
  std::optional<double> busy_seconds = {};  ///< median beside a busy process

  double least_seconds() const { return cost.least_seconds(roofline); }
};

/// Measures the speed of a runner, line by line. Token ids are random: a mixture of experts routes
/// them to all experts, as it does with text.
class Bench {
 public:
  /// `busy`: decoding is measured a second time beside it; null: not. Throws Error when a length
  /// passes the model's context. `progress` counts tokens.
  Bench(Runner& runner, const RooflineProbe& probe, BenchOptions options, BusyProcess* busy,
        Progress progress);

  /// Every prompt, then every depth at every batch size.
  std::vector<BenchLine> run();

 private:
  using Tokens = std::vector<TokenId>;

  BenchLine prompt(std::size_t length);
  BenchLine decode(std::size_t depth, std::size_t batch);
  /// Fills in all that is measured, by calling `once` for each repeat; it returns seconds.
  void measure(BenchLine& line, const std::function<double()>& once);
  Tokens random_tokens(std::size_t count, std::uint64_t stream) const;
  std::vector<Sequence> contexts(std::size_t depth, std::size_t batch);
  /// Appends tokens [n] to sequence n, one a step. Returns seconds.
  double decode_once(const std::vector<Sequence>& contexts, const std::vector<Tokens>& tokens,
                     const std::function<void(std::size_t step)>& after_step, Trace* trace);
  void advance(std::size_t tokens);

  Runner& runner_;
  const RooflineProbe& probe_;
  BenchOptions options_;
  BusyProcess* busy_;
  Progress progress_;
  ThreadPool pool_;  ///< of as many threads as the runner's, for the probe
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace zaya
