#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/stored_matrix.h"
#include "checkpoint/tensor.h"
#include "compute/weight_view.h"

namespace zaya {

/// A checkpoint folder, opened: config.json understood, every safetensors file mapped, every tensor
/// of the table checked for presence, shape and dtype. Nothing is read until it is used.
///
/// Tensors go by their native names (model.layers.3.self_attn.o_proj.weight), whatever the layout
/// on disk. Their type is f32, bf16 or f16. Experts are single slices in both layouts:
///   model.layers.{i}.mlp.experts.{e}.gate_up_proj   [2 I, hidden], gate rows first
///   model.layers.{i}.mlp.experts.{e}.down_proj      [hidden, I]
/// (biases, where the config has them: ....gate_up_proj_bias, ....down_proj_bias).
///
/// Matrices (linear layers, experts, embedding, head) may be quantised, where config.json has a
/// quantization_config; the tensors on disk decide which are. Stacked experts are understood under
/// each of the names that tools give their parts: with g for ....experts.gate_up_proj, codes g,
/// g.weight, g.weight_packed or g_blocks, scales g.weight_scale, g_weight_scale, g_scale or
/// g_scales; and unstacked as ....experts.{e}.gate_up_proj.weight or the two of gate_proj, up_proj.
class Checkpoint {
 public:
  /// Reads model.safetensors, or the shards of model.safetensors.index.json when there is none.
  /// Throws Error that names every missing, surplus or misshapen tensor (the first few of many)
  /// with expected and found shape.
  static Checkpoint open(const std::filesystem::path& folder);
  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;
  ~Checkpoint();

  const std::filesystem::path& folder() const { return folder_; }
  const ConfigFile& config_file() const { return config_; }
  const ModelConfig& config() const { return config_.model; }

  /// By native name. Throws Error when the checkpoint has no such tensor, or it is quantised.
  const TensorView& tensor(const std::string& name) const;
  bool has(const std::string& name) const;

  /// The matrix behind a native name, as stored; leading dimensions are rows. What cannot be read
  /// as it lies in the file (NF4 of bitsandbytes, gate and up stored apart) is repacked at the
  /// first call and kept. Reads all scales once to check them. Throws Error for a scale that is not
  /// finite, and for f16, which no kernel reads: that is what tensor() is for.
  WeightView matrix(const std::string& name) const;
  /// Whether matrix() is the only way to it.
  bool is_quantized(const std::string& name) const { return quantized_.count(name) != 0; }
  bool is_quantized() const { return !quantized_.empty(); }
  /// How a tensor is stored: "BF16", "int4, BF16 scale every 32 columns".
  std::string format(const std::string& name) const;
  /// Bytes on disk of one tensor, scales included.
  std::uint64_t bytes(const std::string& name) const;
  /// The files as they are.
  const std::vector<SafetensorsFile>& files() const { return files_; }
  /// Every tensor by native name, in the order of the table.
  const std::vector<std::string>& names() const { return names_; }

  /// Bytes of all tensor data on disk.
  std::uint64_t bytes() const;

 private:
  Checkpoint();

  std::filesystem::path folder_;
  ConfigFile config_;
  std::vector<SafetensorsFile> files_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, TensorView> tensors_;
  std::unordered_map<std::string, StoredMatrix> quantized_;

  struct Repacked;
  std::unique_ptr<Repacked> repacked_;
};

}  // namespace zaya
