#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "train/balancer.h"
#include "train/communicator.h"
#include "train/loader.h"
#include "train/model.h"
#include "train/optimizer.h"
#include "train/run_config.h"

namespace zaya::train {

/// What a run is made of, besides its config.
struct RunState {
  Model<float>& model;
  Optimizer& optimizer;
  Balancer& balancer;
  Loader& loader;
  Communicator& ranks;
};

/// Writes out/step-NNNNNNNN: the model in the native layout with the text files of `config.model`,
/// or the adapter as PEFT saves it, and optimizer.safetensors, what else it takes to go on to the
/// bit. The folder appears under its name when it is complete. Then removes checkpoints by the
/// config's policy. Rank 0 writes, what the others have too, so that any number of ranks can go on.
void save_run(const RunConfig& config, std::uint64_t step, const RunState& state);

/// The newest checkpoint of a run.
struct SavedRun {
  std::filesystem::path folder;
  std::uint64_t step = 0;
};
std::optional<SavedRun> latest_run(const std::filesystem::path& out);

/// Puts everything back as it was, on every rank. Throws Error when the checkpoint is of another
/// model, adapter or data.
void load_run(const RunConfig& config, const SavedRun& saved, const RunState& state);

}  // namespace zaya::train
