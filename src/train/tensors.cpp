#include "train/tensors.h"

#include <fmt/format.h>

#include "checkpoint/layout.h"
#include "zaya/error.h"

namespace zaya::train {
namespace {

void check_trainable(const ModelConfig& c) {
  const auto refuse = [](bool wrong, const char* what) {
    if (wrong) throw Error({.where = "config.json", .what = fmt::format("cannot train {}", what)});
  };
  refuse(c.attention_bias, "biases of attention's projections");
  refuse(c.expert_bias, "biases of experts");
  refuse(c.head_bias, "a bias of the head");
  refuse(c.clamp_temp, "clamped key temperatures");
  refuse(c.skip_adds_input, "a skip class that adds its input");
  refuse(c.conv_time0 != 2 || c.conv_time1 != 2, "convolutions of other than two taps");
}

}  // namespace

std::vector<TensorInfo> arena_layout(const ModelConfig& config) {
  check_trainable(config);
  std::vector<TensorInfo> layout;
  std::size_t offset = 0;
  for (const StoredTensor& stored : tensor_table(config, Layout::native)) {
    const auto elements = static_cast<std::size_t>(stored.elements());
    layout.push_back({stored.name, stored.shape, offset, elements});
    offset += elements;
  }
  return layout;
}

template <class T>
LayerTensors<T> bind_layer(const ModelConfig& config, std::size_t index,
                           const std::unordered_map<std::string, T*>& by_name) {
  const std::string layer = fmt::format("model.layers.{}.", index);
  const auto at = [&](const char* name) { return by_name.at(layer + name); };
  const auto residual = [&](const char* part) -> ResidualTensors<T> {
    const std::string name = layer + part;
    return {by_name.at(name + "hidden_states_scale"), by_name.at(name + "hidden_states_bias"),
            by_name.at(name + "residual_scale"), by_name.at(name + "residual_bias")};
  };
  return {
      .attention_norm = at("input_layernorm.weight"),
      .qkv = at("self_attn.qkv_proj.q_proj.weight"),
      .depthwise = at("self_attn.qkv_proj.conv_qk_depthwise.weight"),
      .depthwise_bias = at("self_attn.qkv_proj.conv_qk_depthwise.bias"),
      .grouped = at("self_attn.qkv_proj.conv_qk_grouped.weight"),
      .grouped_bias = at("self_attn.qkv_proj.conv_qk_grouped.bias"),
      .temp = at("self_attn.qk_norm.temp"),
      .o = at("self_attn.o_proj.weight"),
      .after_attention = residual("post_attention_residual_scale."),
      .mlp_norm = at("post_attention_layernorm.weight"),
      .router_down = at("mlp.gate.down_proj.weight"),
      .router_down_bias = at("mlp.gate.down_proj.bias"),
      .router_norm = at("mlp.gate.router_mlp.norm.weight"),
      .fc1 = at("mlp.gate.router_mlp.fc1.weight"),
      .fc1_bias = at("mlp.gate.router_mlp.fc1.bias"),
      .fc2 = at("mlp.gate.router_mlp.fc2.weight"),
      .fc2_bias = at("mlp.gate.router_mlp.fc2.bias"),
      .router_out = at("mlp.gate.router_mlp.out_proj.weight"),
      .balancing = at("mlp.gate.balancing_biases"),
      .eda_scale = config.eda && index > 0 ? at("mlp.gate.router_states_scale") : nullptr,
      .gate_up = at("mlp.experts.gate_up_proj"),
      .down = at("mlp.experts.down_proj"),
      .after_mlp = residual("post_mlp_residual_scale."),
  };
}

template <class T>
ModelTensors<T> bind_tensors(const ModelConfig& config, const std::vector<TensorInfo>& layout,
                             T* arena) {
  std::unordered_map<std::string, T*> by_name;
  for (const TensorInfo& t : layout) by_name.emplace(t.name, arena + t.offset);
  ModelTensors<T> model{};
  model.embedding = by_name.at("model.embed_tokens.weight");
  model.input_scale = by_name.at("model.input_hidden_states_scale");
  model.input_bias = by_name.at("model.input_hidden_states_bias");
  for (std::size_t i = 0; i < config.layers; ++i) {
    model.layers.push_back(bind_layer(config, i, by_name));
  }
  model.final_norm = by_name.at("model.norm.weight");
  model.head = config.tied_head ? model.embedding : by_name.at("lm_head.weight");
  return model;
}

template LayerTensors<const float> bind_layer(const ModelConfig&, std::size_t,
                                              const std::unordered_map<std::string, const float*>&);
template LayerTensors<const double> bind_layer(
    const ModelConfig&, std::size_t, const std::unordered_map<std::string, const double*>&);
template ModelTensors<float> bind_tensors(const ModelConfig&, const std::vector<TensorInfo>&,
                                          float*);
template ModelTensors<double> bind_tensors(const ModelConfig&, const std::vector<TensorInfo>&,
                                           double*);
template ModelTensors<const float> bind_tensors(const ModelConfig&, const std::vector<TensorInfo>&,
                                                const float*);
template ModelTensors<const double> bind_tensors(const ModelConfig&, const std::vector<TensorInfo>&,
                                                 const double*);

}  // namespace zaya::train
