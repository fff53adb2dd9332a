#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "checkpoint/adapter.h"
#include "checkpoint/config.h"

namespace zaya::train {

// Where the tensors of a model lie in an arena: of its parameters, or, by the same offsets, of
// their gradients. Names and shapes are those of the native checkpoint (checkpoint/layout.h).

/// One tensor of the arena.
struct TensorInfo {
  std::string name;
  std::vector<std::size_t> shape;
  std::size_t offset = 0;
  std::size_t elements = 0;

  bool balancing() const { return name.ends_with(".balancing_biases"); }
  /// A stack of experts' matrices.
  bool experts() const { return name.find(".mlp.experts.") != std::string::npos; }
};

template <class T>
struct ResidualTensors {
  T* hidden_scale;
  T* hidden_bias;
  T* residual_scale;
  T* residual_bias;

  operator ResidualTensors<const T>() const {
    return {hidden_scale, hidden_bias, residual_scale, residual_bias};
  }
};

/// A LoRA adapter's part of a layer: projection W x + scale B A x, in the order of Projection. Null
/// where it has no pair.
template <class T>
struct LoraTensors {
  struct Pair {
    T* a = nullptr;  ///< [rank, in]
    T* b = nullptr;  ///< [out, rank]
  };
  std::size_t rank = 0;  ///< 0: no adapter
  std::remove_const_t<T> scale = 0;
  std::array<Pair, kProjections> pairs{};
};

/// Gradients of tensors that are not trained are null.
template <class T>
struct LayerTensors {
  T* attention_norm;
  T* qkv;             ///< q, k, v_current and v_delayed, one below the other: [P, H]
  T* depthwise;       ///< [C, 2]
  T* depthwise_bias;  ///< [C]
  T* grouped;         ///< [C, d, 2]
  T* grouped_bias;    ///< [C]
  T* temp;            ///< [kv heads]
  T* o;               ///< [H, q width]
  ResidualTensors<T> after_attention;
  T* mlp_norm;
  T* router_down;  ///< [R, H]
  T* router_down_bias;
  T* router_norm;
  T* fc1;  ///< [R, R]
  T* fc1_bias;
  T* fc2;
  T* fc2_bias;
  T* router_out;  ///< [classes, R]
  T* balancing;   ///< [classes]; not trained by gradients
  T* eda_scale;   ///< [R]; null in the first layer
  T* gate_up;     ///< [experts, 2 I, H]
  T* down;        ///< [experts, H, I]
  ResidualTensors<T> after_mlp;
  LoraTensors<T> lora{};
};

template <class T>
struct ModelTensors {
  T* embedding;
  T* input_scale;
  T* input_bias;
  std::vector<LayerTensors<T>> layers;
  T* final_norm;
  T* head;  ///< the embedding when tied
};

/// Every tensor of `config` in the order of the checkpoint's table, one behind the other. Throws
/// Error for what training does not do: biases of projections, experts or head, clamped key
/// temperatures, a skip class that adds its input, convolutions of other than two taps.
std::vector<TensorInfo> arena_layout(const ModelConfig& config);

/// Numbers in the arena.
inline std::size_t arena_size(const std::vector<TensorInfo>& layout) {
  return layout.back().offset + layout.back().elements;
}

/// One layer's tensors, by their names.
template <class T>
LayerTensors<T> bind_layer(const ModelConfig& config, std::size_t layer,
                           const std::unordered_map<std::string, T*>& by_name);

template <class T>
ModelTensors<T> bind_tensors(const ModelConfig& config, const std::vector<TensorInfo>& layout,
                             T* arena);

}  // namespace zaya::train
