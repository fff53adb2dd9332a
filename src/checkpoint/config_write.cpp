#include <string>
#include <utility>

#include "checkpoint/config.h"
#include "zaya/error.h"

namespace zaya {
namespace {

Json eos_json(const ModelConfig& config) {
  if (config.eos.size() == 1) return config.eos.front();
  return config.eos;
}

/// Both dialects; written only where they differ from what a reader assumes.
void add_exceptions(const ModelConfig& config, Json& json) {
  if (config.expert_bias) json["add_bias_linear"] = true;
  if (config.clamp_temp) json["clamp_temp"] = true;
  if (!config.eda) json["zaya_use_eda"] = false;
  if (!config.skip_class) json["zaya_use_mod"] = false;
  if (!config.parts.whole()) {
    Json without = Json::array();
    if (!config.parts.convolutions) without.push_back("convolutions");
    if (!config.parts.means) without.push_back("means");
    if (!config.parts.value_shift) without.push_back("value_shift");
    json["zaya_cpp"]["attention_without"] = std::move(without);
  }
}

void add_common(const ModelConfig& config, const std::string& dtype, Json& json) {
  json["architectures"] = {"ZayaForCausalLM"};
  json["model_type"] = "zaya";
  if (!dtype.empty()) json["dtype"] = dtype;
  json["vocab_size"] = config.vocab;
  json["hidden_size"] = config.hidden;
}

void add_tokens(const ModelConfig& config, Json& json) {
  json["pad_token_id"] = config.pad;
  json["bos_token_id"] = config.bos;
  json["eos_token_id"] = eos_json(config);
}

Json rope_json(const RopeConfig& rope) {
  return {{"rope_type", "default"},
          {"rope_theta", rope.theta},
          {"partial_rotary_factor", rope.partial_rotary_factor}};
}

}  // namespace

Json native_config_json(const ModelConfig& config, const std::string& dtype) {
  Json json;
  add_common(config, dtype, json);
  json["num_hidden_layers"] = config.layers;
  json["num_attention_heads"] = config.heads;
  json["num_key_value_heads"] = config.kv_heads;
  json["head_dim"] = config.head_dim;
  json["num_experts"] = config.experts;
  json["num_experts_per_tok"] = 1;
  json["moe_intermediate_size"] = config.expert_width;
  json["router_hidden_size"] = config.router_hidden;
  json["hidden_act"] = "silu";
  json["cca_time0"] = config.conv_time0;
  json["cca_time1"] = config.conv_time1;
  json["max_position_embeddings"] = config.max_positions;
  json["rms_norm_eps"] = config.norm_eps;
  json["initializer_range"] = config.initializer_range;
  json["layer_types"] = Json::array();
  for (const bool sliding : config.sliding) {
    json["layer_types"].push_back(sliding ? "hybrid_sliding" : "hybrid");
  }
  json["sliding_window"] = config.window == 0 ? Json() : Json(config.window);
  json["rope_parameters"] = {{"hybrid", rope_json(config.rope)},
                             {"hybrid_sliding", rope_json(config.sliding_rope)}};
  json["attention_bias"] = config.attention_bias;
  json["attention_dropout"] = 0.0;
  json["lm_head_bias"] = config.head_bias;
  json["tie_word_embeddings"] = config.tied_head;
  json["output_router_logits"] = false;
  json["use_cache"] = true;
  add_tokens(config, json);
  add_exceptions(config, json);
  return json;
}

Json legacy_config_json(const ModelConfig& config, const std::string& dtype) {
  const auto impossible = [](const char* what) {
    throw Error({.where = "legacy layout", .what = what});
  };
  if (config.window == 1) impossible("has no sliding window of 1: it writes that as no window");
  if (config.window != 0 &&
      config.rope.partial_rotary_factor != config.sliding_rope.partial_rotary_factor) {
    impossible("has one partial_rotary_factor for full and sliding layers");
  }
  Json json;
  add_common(config, dtype, json);
  json["num_hidden_layers"] = 2 * config.layers;
  json["num_attention_heads"] = config.heads;
  json["num_key_value_heads"] = config.kv_heads;
  json["num_query_groups"] = config.kv_heads;
  json["head_dim"] = config.head_dim;
  json["kv_channels"] = config.head_dim;
  json["num_experts"] = config.experts;
  json["moe_router_topk"] = 1;
  json["ffn_hidden_size"] = 2 * config.expert_width;
  json["zaya_mlp_expansion"] = config.router_hidden;
  json["activation_func"] = "swiglu";
  json["gated_linear_unit"] = true;
  json["normalization"] = "RMSNorm";
  json["norm_epsilon"] = config.norm_eps;
  json["initializer_range"] = config.initializer_range;
  json["cca"] = true;
  if (config.conv_time0 != 2) json["cca_time0"] = config.conv_time0;
  if (config.conv_time1 != 2) json["cca_time1"] = config.conv_time1;
  json["max_position_embeddings"] = config.max_positions;
  json["partial_rotary_factor"] = config.rope.partial_rotary_factor;
  json["rope_scaling"] = false;
  json["rope_theta"] = config.rope.theta;
  json["sliding_window"] = nullptr;
  if (config.window != 0) {
    // One entry an alternating layer: the tokens before the current one that attention reaches.
    json["swa_layers"] = Json::array();
    for (const bool sliding : config.sliding) {
      const std::size_t previous = sliding ? config.window - 1 : 0;
      json["swa_layers"].push_back(previous);
      json["swa_layers"].push_back(previous);
    }
    json["swa_rotary_base"] = config.sliding_rope.theta;
  }
  json["add_bias_linear"] = false;
  json["attention_bias"] = config.attention_bias;
  json["attention_dropout"] = 0.0;
  json["lm_head_bias"] = config.head_bias;
  json["tie_word_embeddings"] = config.tied_head;
  json["residual_in_fp32"] = true;
  json["scale_residual_merge"] = true;
  json["use_cache"] = true;
  json["zaya_use_eda"] = true;
  json["zaya_use_mod"] = true;
  add_tokens(config, json);
  add_exceptions(config, json);
  return json;
}

}  // namespace zaya
