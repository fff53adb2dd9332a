#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/tensor.h"

namespace zaya {

/// A checkpoint folder, opened: config.json understood, every safetensors file mapped, every tensor
/// of the table checked for presence, shape and dtype. Nothing is read until it is used.
///
/// Tensors go by their native names (model.layers.3.self_attn.o_proj.weight), whatever the layout
/// on disk. Their type is f32, bf16 or f16. Experts are single slices in both layouts:
///   model.layers.{i}.mlp.experts.{e}.gate_up_proj   [2 I, hidden], gate rows first
///   model.layers.{i}.mlp.experts.{e}.down_proj      [hidden, I]
/// (biases, where the config has them: ....gate_up_proj_bias, ....down_proj_bias).
class Checkpoint {
 public:
  /// Reads model.safetensors, or the shards of model.safetensors.index.json when there is none.
  /// Throws Error that names every missing, surplus or misshapen tensor (the first few of many)
  /// with expected and found shape.
  static Checkpoint open(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  const ConfigFile& config_file() const { return config_; }
  const ModelConfig& config() const { return config_.model; }

  /// By native name. Throws Error when the checkpoint has no such tensor.
  const TensorView& tensor(const std::string& name) const;
  bool has(const std::string& name) const;
  /// Every tensor by native name, in the order of the table.
  const std::vector<std::string>& names() const { return names_; }

  /// Bytes of all tensor data on disk.
  std::uint64_t bytes() const;

 private:
  std::filesystem::path folder_;
  ConfigFile config_;
  std::vector<SafetensorsFile> files_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, TensorView> tensors_;
};

}  // namespace zaya
