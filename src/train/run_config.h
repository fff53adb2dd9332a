#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/dtype.h"
#include "base/json.h"
#include "compute/kernels/gemm.h"
#include "train/balancer.h"
#include "train/loader.h"
#include "train/lora.h"
#include "train/model.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace zaya::train {

/// One training run. docs/training.md says what each key of its file means.
struct RunConfig {
  std::filesystem::path model;  ///< what it starts from
  std::filesystem::path out;
  std::uint64_t steps = 0;
  std::uint64_t seed = 0;

  std::vector<SourceOptions> data;
  std::size_t context = 0;
  std::size_t batch_rows = 0;
  std::size_t accumulate = 1;  ///< batches of a step
  bool split = true;
  std::optional<double> rope_theta;          ///< of full layers, where it is to change
  std::optional<std::size_t> max_positions;  ///< the model's context, where it is to change

  struct Evaluation {
    std::vector<SourceOptions> data;
    std::uint64_t every = 0;  ///< steps; 0: never
    std::size_t rows = 65536;
  };
  Evaluation evaluation;

  OptimizerOptions optimizer;
  Schedule schedule;
  BalancerOptions balancing;
  ModelOptions options;
  bool expert_parallel = false;     ///< each process has some of the experts, and no others
  std::optional<LoraOptions> lora;  ///< an adapter is trained, and the model stays as it is
  GemmKind precision = GemmKind::bf16;
  int threads = 0;

  struct Checkpoints {
    std::uint64_t every = 0;       ///< steps; 0: at the end only
    std::size_t keep = 2;          ///< the newest so many
    std::uint64_t keep_every = 0;  ///< and those whose step this divides; 0: none
    DType dtype = DType::bf16;
  };
  Checkpoints checkpoints;

  LoaderOptions loader() const { return {data, context, batch_rows, split, seed}; }
  LoaderOptions evaluation_loader() const {
    return {evaluation.data, context, batch_rows, split, seed};
  }
};

/// Throws Error naming the key that is missing, unknown or out of range. Relative paths are
/// relative to `folder`; a model that is no folder there is looked for as a hub id.
RunConfig parse_run_config(const Json& json, const std::string& where,
                           const std::filesystem::path& folder);
RunConfig read_run_config(const std::filesystem::path& file);

}  // namespace zaya::train
