#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/adapter_config.h"
#include "checkpoint/config.h"
#include "checkpoint/safetensors.h"

namespace zaya {

/// The matrices that a LoRA adapter may change, in the order of a layer's tensors.
enum class Projection { q, k, v_current, v_delayed, o };
constexpr std::size_t kProjections = 5;

/// What an adapter says of one projection: W + scale B A (arXiv:2106.09685).
struct AdapterPair {
  std::size_t layer = 0;
  Projection projection = Projection::q;
  TensorView a;  ///< [rank, in], f32, bf16 or f16
  TensorView b;  ///< [out, rank]
  double scale = 0;
};

/// Finds the pairs among an adapter's tensors. Names are "base_model.model.", the module's name in
/// the native or the legacy layout, ".lora_A.weight" or ".lora_B.weight"; `own` is the layout of
/// the checkpoint, which decides where names fit both. In the order of layers and projections.
///
/// Throws Error naming the tensor for one that is no part of a pair of a q, k, v or o projection
/// (experts, router, embedding, head, ...), that the config does not mention, or whose shape or
/// type is wrong, or that is missing.
std::vector<AdapterPair> find_adapter_pairs(const AdapterConfig& config, const ModelConfig& model,
                                            Layout own,
                                            const std::map<std::string, TensorView>& tensors,
                                            const std::string& where);

/// A folder with a LoRA adapter as PEFT saves it: adapter_config.json and
/// adapter_model.safetensors, mapped and checked.
class AdapterFile {
 public:
  static constexpr const char* kConfig = "adapter_config.json";
  static constexpr const char* kTensors = "adapter_model.safetensors";

  /// Throws Error as AdapterConfig::parse() and find_adapter_pairs() do.
  AdapterFile(const std::filesystem::path& folder, const ModelConfig& model, Layout own);

  const std::vector<AdapterPair>& pairs() const { return pairs_; }

 private:
  SafetensorsFile file_;
  std::vector<AdapterPair> pairs_;
};

}  // namespace zaya
