#include "checkpoint/layout.h"

#include <utility>

#include <fmt/format.h>

namespace zaya {
namespace {

using Shape = std::vector<std::size_t>;

/// Builds the table in native order; each entry is given under its native and its legacy name.
class Table {
 public:
  Table(const ModelConfig& config, Layout layout) : c_(config), legacy_(layout == Layout::legacy) {}

  std::vector<StoredTensor> build() {
    add("model.embed_tokens.weight", "model.embed_tokens.weight", {c_.vocab, c_.hidden});
    for (const char* field : {"scale", "bias"}) {
      add(fmt::format("model.input_hidden_states_{}", field),
          fmt::format("model.layers.0.res_scale.hidden_states_{}", field), {c_.hidden});
    }
    for (std::size_t i = 0; i < c_.layers; ++i) {
      native_ = fmt::format("model.layers.{}.", i);
      legacy_attention_ = fmt::format("model.layers.{}.", 2 * i);
      legacy_moe_ = fmt::format("model.layers.{}.", 2 * i + 1);
      attention();
      residual("post_attention_residual_scale.", legacy_moe_ + "res_scale.");
      router(i);
      experts();
      residual("post_mlp_residual_scale.",
               i + 1 == c_.layers ? "model.res_scale."
                                  : fmt::format("model.layers.{}.res_scale.", 2 * i + 2));
    }
    add("model.norm.weight", "model.final_norm.weight", {c_.hidden});
    if (!c_.tied_head) add("lm_head.weight", "lm_head.weight", {c_.vocab, c_.hidden});
    if (c_.head_bias) add("lm_head.bias", "lm_head.bias", {c_.vocab});
    return std::move(table_);
  }

 private:
  void add(std::string native, std::string legacy, Shape shape) {
    table_.push_back({.name = legacy_ ? std::move(legacy) : native,
                      .shape = std::move(shape),
                      .parts = {std::move(native)},
                      .stacked = false});
  }

  void projection(const char* native, const char* legacy, std::size_t rows, std::size_t columns) {
    const auto both = [&](const char* suffix, Shape shape) {
      add(fmt::format("{}self_attn.{}{}", native_, native, suffix),
          fmt::format("{}self_attn.{}{}", legacy_attention_, legacy, suffix), std::move(shape));
    };
    both(".weight", {rows, columns});
    if (c_.attention_bias) both(".bias", {rows});
  }

  void attention() {
    const auto part = [&](const char* native, const char* legacy, Shape shape) {
      add(native_ + native, legacy_attention_ + legacy, std::move(shape));
    };
    const std::size_t half = c_.kv_width() / 2;
    part("input_layernorm.weight", "input_norm.weight", {c_.hidden});
    projection("qkv_proj.q_proj", "qkv.linear_q", c_.q_width(), c_.hidden);
    projection("qkv_proj.k_proj", "qkv.linear_k", c_.kv_width(), c_.hidden);
    projection("qkv_proj.v_proj_current", "qkv.val_proj1", half, c_.hidden);
    projection("qkv_proj.v_proj_delayed", "qkv.val_proj2", half, c_.hidden);
    const std::string depthwise = "self_attn.qkv_proj.conv_qk_depthwise.";
    const std::string grouped = "self_attn.qkv_proj.conv_qk_grouped.";
    part((depthwise + "weight").c_str(), "self_attn.qkv.conv_qk.0.weight",
         {c_.conv_width(), 1, c_.conv_time0});
    part((depthwise + "bias").c_str(), "self_attn.qkv.conv_qk.0.bias", {c_.conv_width()});
    part((grouped + "weight").c_str(), "self_attn.qkv.conv_qk.1.weight",
         {c_.conv_width(), c_.head_dim, c_.conv_time1});
    part((grouped + "bias").c_str(), "self_attn.qkv.conv_qk.1.bias", {c_.conv_width()});
    part("self_attn.qk_norm.temp", "self_attn.qkv.temp", {c_.kv_heads});
    projection("o_proj", "o_proj", c_.hidden, c_.q_width());
  }

  void residual(const char* native, const std::string& legacy) {
    for (const char* field :
         {"hidden_states_scale", "hidden_states_bias", "residual_scale", "residual_bias"}) {
      add(native_ + native + field, legacy + field, {c_.hidden});
    }
  }

  void router(std::size_t layer) {
    const std::size_t r = c_.router_hidden;
    const auto part = [&](const char* native, const char* legacy, Shape shape) {
      add(native_ + "mlp.gate." + native, legacy_moe_ + "zaya_block.router." + legacy,
          std::move(shape));
    };
    add(native_ + "post_attention_layernorm.weight", legacy_moe_ + "input_norm.weight",
        {c_.hidden});
    part("down_proj.weight", "down_proj.weight", {r, c_.hidden});
    part("down_proj.bias", "down_proj.bias", {r});
    part("router_mlp.norm.weight", "rmsnorm_eda.weight", {r});
    part("router_mlp.fc1.weight", "router_mlp.0.weight", {r, r});
    part("router_mlp.fc1.bias", "router_mlp.0.bias", {r});
    part("router_mlp.fc2.weight", "router_mlp.2.weight", {r, r});
    part("router_mlp.fc2.bias", "router_mlp.2.bias", {r});
    part("router_mlp.out_proj.weight", "router_mlp.4.weight", {c_.classes(), r});
    part("balancing_biases", "balancing_biases", {c_.classes()});
    // The first layer has no state from above to scale.
    if (c_.eda && layer > 0) part("router_states_scale", "router_states_scale", {r});
  }

  void experts() {
    const std::size_t width = c_.expert_width;
    stack("gate_up_proj", "linear_fc1.weight", {2 * width, c_.hidden});
    if (c_.expert_bias) stack("gate_up_proj_bias", "linear_fc1.bias", {2 * width});
    stack("down_proj", "linear_fc2.weight", {c_.hidden, width});
    if (c_.expert_bias) stack("down_proj_bias", "linear_fc2.bias", {c_.hidden});
  }

  void stack(const char* native, const char* legacy, const Shape& shape) {
    const auto slice = [&](std::size_t e) {
      return fmt::format("{}mlp.experts.{}.{}", native_, e, native);
    };
    if (legacy_) {
      for (std::size_t e = 0; e < c_.experts; ++e) {
        add(slice(e),
            fmt::format("{}zaya_block.experts.local_experts.{}.{}", legacy_moe_, e, legacy), shape);
      }
      return;
    }
    StoredTensor stored{.name = fmt::format("{}mlp.experts.{}", native_, native),
                        .shape = {c_.experts},
                        .parts = {},
                        .stacked = true};
    stored.shape.insert(stored.shape.end(), shape.begin(), shape.end());
    for (std::size_t e = 0; e < c_.experts; ++e) stored.parts.push_back(slice(e));
    table_.push_back(std::move(stored));
  }

  const ModelConfig& c_;
  bool legacy_;
  std::string native_;            ///< prefix of the layer
  std::string legacy_attention_;  ///< prefix of its attention half
  std::string legacy_moe_;        ///< prefix of its MoE half
  std::vector<StoredTensor> table_;
};

}  // namespace

std::uint64_t StoredTensor::elements() const {
  std::uint64_t n = 1;
  for (const std::size_t d : shape) n *= d;
  return n;
}

std::vector<StoredTensor> tensor_table(const ModelConfig& config, Layout layout) {
  return Table(config, layout).build();
}

ParameterCounts count_parameters(const ModelConfig& config) {
  ParameterCounts counts;
  for (const StoredTensor& t : tensor_table(config, Layout::native)) {
    const std::uint64_t n = t.elements();
    if (t.name.ends_with(".balancing_biases")) {
      counts.balancing += n;
      continue;
    }
    counts.total += n;
    if (t.name == "model.embed_tokens.weight") {
      counts.embedding += n;
      // Looking one row up costs nothing; as the head every row is used.
      if (config.tied_head) counts.active += n;
    } else {
      if (t.name == "lm_head.weight") counts.embedding += n;
      counts.active += n / t.parts.size();
    }
  }
  return counts;
}

}  // namespace zaya
