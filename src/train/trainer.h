#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "compute/kernels/kernels.h"
#include "compute/thread_pool.h"
#include "train/run_config.h"
#include "train/run_state.h"

namespace zaya::train {

/// What one step did.
struct StepReport {
  std::uint64_t step = 0;  ///< from 1
  double loss = 0;         ///< mean over the step's targets
  double rate = 0;
  double norm = 0;  ///< of the gradients, before clipping
  std::size_t rows = 0;
  std::size_t targets = 0;
  double seconds = 0;
  std::vector<double> load_entropy;  ///< of each layer
  std::optional<double> evaluation;  ///< mean loss on held-out data
};

/// A run: begins at the model of its config, or goes on from its newest checkpoint.
///
/// On several ranks each computes some of a step's batches, and everything that is reported is of
/// all of them: the run is the same for any number of ranks, within rounding.
class Trainer {
 public:
  /// Throws Error when a step has fewer batches than there are ranks.
  Trainer(RunConfig config, const Kernels& kernels, ThreadPool& pool,
          Communicator& ranks = alone());

  const RunConfig& config() const { return config_; }
  Model<float>& model() { return *model_; }
  const Loader& loader() const { return *loader_; }
  std::uint64_t step() const { return step_; }  ///< steps done

  /// One step of the optimiser. Throws Error when the loss or a gradient is no finite number; the
  /// parameters are then as before.
  StepReport train_step();
  /// Mean loss on the held-out data: the same batches every time.
  double evaluate();
  void save();

  /// Steps to the end: saves and evaluates as the config says, appends one line a step to
  /// out/log.jsonl, calls `report`; when that returns false, on any rank, saves and returns early.
  /// Returns whether the run is complete.
  bool run(const std::function<bool(const StepReport&)>& report);

 private:
  RunState state() { return {*model_, *optimizer_, *balancer_, *loader_, ranks_}; }
  std::optional<SavedRun> newest();
  bool all_go_on(bool go_on);
  /// Whether ranks go through every layer together.
  bool in_step() const { return config_.expert_parallel && ranks_.size() > 1; }
  void each_own(const std::vector<PackedBatch>& batches,
                const std::function<void(const PackedBatch&)>& f);
  void sum_loads();
  void open_log();

  RunConfig config_;
  ThreadPool& pool_;
  Communicator& ranks_;
  std::unique_ptr<Model<float>> model_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Balancer> balancer_;
  std::unique_ptr<Loader> loader_;
  std::vector<float*> biases_;
  std::uint64_t step_ = 0;
  std::ofstream log_;
};

/// Operations a second of bf16 (or fp32) products that this machine does at most, measured.
double matrix_peak(GemmKind kind, Isa isa, ThreadPool& pool);

}  // namespace zaya::train
