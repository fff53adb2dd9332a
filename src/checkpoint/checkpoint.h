#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/dtype.h"
#include "base/file.h"
#include "checkpoint/config.h"

namespace zaya {

/// The bytes of one tensor inside a mapped file: row-major, last dimension fastest.
struct TensorView {
  DType dtype = DType::f32;
  std::vector<std::size_t> shape;
  const std::byte* data = nullptr;

  std::size_t elements() const;
  std::size_t bytes() const { return elements() * dtype_size(dtype); }
};

/// A checkpoint folder, opened: config.json understood, every safetensors file mapped, every tensor
/// of the table checked for presence, shape and dtype. Nothing is read until it is used.
///
/// Tensors go by their native names (model.layers.3.self_attn.o_proj.weight), whatever the layout
/// on disk. Experts are single slices in both layouts:
///   model.layers.{i}.mlp.experts.{e}.gate_up_proj   [2 I, hidden], gate rows first
///   model.layers.{i}.mlp.experts.{e}.down_proj      [hidden, I]
/// (biases, where the config has them: ....gate_up_proj_bias, ....down_proj_bias).
class Checkpoint {
 public:
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
  std::vector<MappedFile> files_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, TensorView> tensors_;
};

}  // namespace zaya
