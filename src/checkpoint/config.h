#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "checkpoint/quantization.h"
#include "zaya/token.h"

namespace zaya {

/// How a checkpoint names and folds its layers.
enum class Layout {
  native,  ///< one hybrid layer = CCA attention + MoE; Transformers' ZayaForCausalLM
  legacy,  ///< attention and MoE as alternating layers; Zyphra's fork
};
const char* layout_name(Layout layout);

/// Rotary position embedding of one kind of layer.
struct RopeConfig {
  double theta = 5e6;
  double partial_rotary_factor = 0.5;  ///< share of head_dim that is rotated
};

/// What the forward pass needs to know of a model, whichever dialect config.json was written in.
/// Sizes are per hybrid layer (attention + MoE), so a legacy 80-layer file has `layers` = 40.
/// Parts of Compressed Convolutional Attention that an experiment may leave out, to see what each
/// is worth (`zaya_cpp.attention_without` in config.json). Only training knows how to.
struct CcaParts {
  bool convolutions = true;
  bool means = true;
  bool value_shift = true;

  bool whole() const { return convolutions && means && value_shift; }
};

struct ModelConfig {
  std::size_t vocab = 0;
  std::size_t hidden = 0;
  std::size_t layers = 0;
  std::size_t heads = 0;  ///< query heads, after compression
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  std::size_t experts = 0;       ///< the router has experts + 1 classes: the last one skips
  std::size_t expert_width = 0;  ///< I: gate_up is [2 I, hidden], down is [hidden, I]
  std::size_t router_hidden = 0;
  std::size_t conv_time0 = 2;     ///< taps of the depthwise convolution
  std::size_t conv_time1 = 2;     ///< taps of the grouped convolution
  std::size_t max_positions = 0;  ///< context length
  double norm_eps = 1e-5;
  double initializer_range = 0.02;

  std::vector<bool> sliding;  ///< per layer: attends within `window` only
  std::size_t window = 0;     ///< span of sliding layers, current token included; 0: none
  RopeConfig rope;            ///< of full layers
  RopeConfig sliding_rope;    ///< of sliding layers

  bool tied_head = true;        ///< the head is the embedding
  bool attention_bias = false;  ///< q, k, both v and o projections carry biases
  bool head_bias = false;
  bool expert_bias = false;      ///< both expert matrices carry biases (legacy add_bias_linear)
  bool eda = true;               ///< router state is carried over depth (zaya_use_eda)
  bool skip_class = true;        ///< the router has the extra skip class (zaya_use_mod)
  bool skip_adds_input = false;  ///< legacy: a skipped token receives p_skip * input; native: 0
  bool clamp_temp = false;       ///< key temperature is exp(clamp(temp, 1e-7, 2))
  CcaParts parts;

  TokenId bos = 2;
  TokenId pad = 0;
  std::vector<TokenId> eos;  ///< every id that ends generation, as the config names them

  std::size_t q_width() const { return heads * head_dim; }
  std::size_t kv_width() const { return kv_heads * head_dim; }
  std::size_t conv_width() const { return q_width() + kv_width(); }  ///< channels of [q ; k]
  std::size_t classes() const { return experts + (skip_class ? 1 : 0); }
  /// Rows of [q ; k] before the current one that the two convolutions reach back to.
  std::size_t conv_tail() const { return conv_time0 + conv_time1 - 2; }
};

/// config.json, understood.
struct ConfigFile {
  ModelConfig model;
  Layout layout = Layout::native;
  std::string dialect;             ///< "native", "legacy" or "base": the schema it was written in
  std::string dtype;               ///< "bfloat16", "float32", ... as the file says; may be empty
  std::vector<std::string> notes;  ///< what was ignored or assumed, for people
  std::optional<Quantization> quantization;
};

/// Reads any dialect: native, legacy, the list-valued one of ZAYA1-base, sliding-window models.
/// Throws Error naming the key for a value that is missing, absurd or not supported.
ConfigFile parse_config(const Json& json, const std::string& where);

/// parse_config of `folder`/config.json; at most 256 KiB of it. Where that says nothing of
/// quantisation, ModelOpt's hf_quant_config.json beside it may.
ConfigFile read_config(const std::filesystem::path& folder);
/// The same for a file of any name.
ConfigFile read_config_file(const std::filesystem::path& file);

/// The native config.json of `config`, as `zaya init` and `zaya convert` write it.
Json native_config_json(const ModelConfig& config, const std::string& dtype);
/// The legacy config.json of `config`. Throws Error for what that schema cannot say.
Json legacy_config_json(const ModelConfig& config, const std::string& dtype);

}  // namespace zaya
