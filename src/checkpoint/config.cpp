#include "checkpoint/config.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "zaya/error.h"

namespace zaya {
namespace {

// Far above every released model, and low enough that no size computed from them overflows 64 bits.
constexpr std::int64_t kMaxVocab = 1 << 24;
constexpr std::int64_t kMaxWidth = 1 << 20;
constexpr std::int64_t kMaxHeadDim = 1 << 12;
constexpr std::int64_t kMaxLayers = 1 << 12;
constexpr std::int64_t kMaxExperts = 1 << 12;
constexpr std::size_t kMaxExpertsInAll = 1 << 17;
constexpr std::int64_t kMaxTaps = 16;
constexpr std::int64_t kMaxPositions = 1LL << 40;
constexpr std::int64_t kMaxToken = INT32_MAX;

constexpr std::uint64_t kMaxConfig = 256U << 10;

constexpr double kDefaultSlidingTheta = 10'000.0;

/// What the dialects share: access that notes defaults, checks of what we cannot honour.
class Reader {
 public:
  Reader(const Json& json, const std::string& where, ConfigFile& out)
      : view_(json, where), out_(out), m_(out.model) {}

 protected:
  /// A size that the file may leave to the loader's default; people are told, since a wrong one
  /// shows only as tensors of unexpected shapes.
  std::size_t size(std::string_view key, std::int64_t max, std::int64_t fallback) {
    if (!view_.has(key))
      out_.notes.push_back(fmt::format("'{}' is absent: {} assumed", key, fallback));
    return static_cast<std::size_t>(view_.integer(key, 1, max, fallback));
  }

  [[noreturn]] void fail(std::string_view key, std::string expected) const {
    view_.fail(key, std::move(expected));
  }

  void require_flag(std::string_view key, bool supported) const {
    if (view_.boolean(key, supported) != supported) fail(key, supported ? "true" : "false");
  }
  void require_text(std::string_view key, const std::string& supported) const {
    if (view_.string(key, supported) != supported) fail(key, fmt::format("'{}'", supported));
  }
  void require_one(std::string_view key) const {
    if (view_.integer(key, INT64_MIN, INT64_MAX, 1) != 1) {
      fail(key, "1 (one expert a token is the only routing there is)");
    }
  }

  /// theta and rotated share out of one rope dictionary.
  void read_rope(const JsonView& rope, RopeConfig& out) const {
    for (const char* key : {"rope_type", "type"}) {
      if (rope.string(key, "default") != "default") rope.fail(key, "'default'");
    }
    out.theta = rope.number("rope_theta", out.theta);
    out.partial_rotary_factor = rope.number("partial_rotary_factor", out.partial_rotary_factor);
  }

  /// Both spellings of "no scaling" are in released files: null and false.
  void read_scaling(RopeConfig& out) const {
    const Json* scaling = view_.find("rope_scaling");
    if (scaling != nullptr && *scaling != false) read_rope(view_.object("rope_scaling"), out);
  }

  void check_rope(const RopeConfig& rope) const {
    if (!(rope.theta > 0)) {
      throw Error({.where = view_.where(),
                   .what = "bad value for 'rope_theta'",
                   .expected = "a number above 0",
                   .found = fmt::format("{}", rope.theta)});
    }
    const double rotated =
        std::floor(static_cast<double>(m_.head_dim) * rope.partial_rotary_factor);
    if (!(rope.partial_rotary_factor > 0 && rope.partial_rotary_factor <= 1) || rotated < 2 ||
        std::fmod(rotated, 2.0) != 0) {
      throw Error({.where = view_.where(),
                   .what = "bad value for 'partial_rotary_factor'",
                   .expected = fmt::format("a share of head_dim {} that is even", m_.head_dim),
                   .found = fmt::format("{}", rope.partial_rotary_factor)});
    }
  }

  /// Keys that mean the same in every dialect.
  void read_common(TokenId default_eos) {
    read_quantization();
    require_text("hidden_act", "silu");
    m_.vocab = size("vocab_size", kMaxVocab, 262'272);
    m_.hidden = size("hidden_size", kMaxWidth, 2048);
    m_.conv_time0 = static_cast<std::size_t>(view_.integer("cca_time0", 1, kMaxTaps, 2));
    m_.conv_time1 = static_cast<std::size_t>(view_.integer("cca_time1", 1, kMaxTaps, 2));
    m_.initializer_range = view_.number("initializer_range", 0.02);
    if (m_.initializer_range < 0 || m_.initializer_range > 1000) {
      fail("initializer_range", "a number from 0 to 1000");
    }
    m_.tied_head = view_.boolean("tie_word_embeddings", true);
    m_.attention_bias = view_.boolean("attention_bias", false);
    m_.head_bias = view_.boolean("lm_head_bias", false);
    m_.expert_bias = view_.boolean("add_bias_linear", false);
    m_.eda = view_.boolean("zaya_use_eda", true);
    m_.skip_class = view_.boolean("zaya_use_mod", true);
    m_.clamp_temp = view_.boolean("clamp_temp", false);
    read_parts();
    out_.dtype = view_.string("dtype", view_.string("torch_dtype", ""));
    read_tokens(default_eos);
  }

  void read_parts() {
    if (!view_.has("zaya_cpp")) return;
    const JsonView own = view_.object("zaya_cpp");
    const Json* without = own.find("attention_without");
    if (without == nullptr) return;
    for (const Json& part : without->is_array() ? *without : Json::array({0})) {
      if (part == "convolutions") {
        m_.parts.convolutions = false;
      } else if (part == "means") {
        m_.parts.means = false;
      } else if (part == "value_shift") {
        m_.parts.value_shift = false;
      } else {
        own.fail("attention_without", "a list of convolutions, means, value_shift");
      }
    }
  }

  void read_quantization() {
    if (view_.has("quantization_config")) {
      out_.quantization = parse_quantization(view_.object("quantization_config"), out_.notes);
    } else if (view_.has("quantization")) {
      fail("quantization", "nothing: the quantisation of MLX is not supported");
    }
    // Beside quantization_config, which other readers validate strictly.
    if (view_.has("zaya_cpp") && out_.quantization) {
      out_.quantization->stepped = view_.object("zaya_cpp").boolean("stepped_scales", false);
    }
  }

  void read_tokens(TokenId default_eos) {
    m_.bos = static_cast<TokenId>(view_.integer("bos_token_id", 0, kMaxToken, 2));
    m_.pad = static_cast<TokenId>(view_.integer("pad_token_id", 0, kMaxToken, 0));
    const Json* eos = view_.find("eos_token_id");
    if (eos != nullptr && eos->is_array()) {
      for (const std::int64_t id : view_.integers("eos_token_id", 0, kMaxToken)) {
        m_.eos.push_back(static_cast<TokenId>(id));
      }
    } else {
      m_.eos.push_back(
          static_cast<TokenId>(view_.integer("eos_token_id", 0, kMaxToken, default_eos)));
    }
  }

  double read_norm_eps(std::string_view key) const {
    const double eps = view_.number(key, 1e-5);
    if (!(eps > 0 && eps < 1)) fail(key, "a number between 0 and 1");
    return eps;
  }

  /// What must hold between the sizes, once all are read.
  void check_sizes(std::string_view heads_key, std::string_view kv_key) const {
    if (m_.heads % m_.kv_heads != 0) {
      fail(heads_key, fmt::format("a multiple of '{}' ({})", kv_key, m_.kv_heads));
    }
    if (m_.head_dim % 2 != 0) {
      throw Error({.where = view_.where(),
                   .what = "head size is odd",
                   .expected = "an even number",
                   .found = fmt::format("{}", m_.head_dim)});
    }
    if (m_.q_width() > static_cast<std::size_t>(kMaxWidth)) {
      fail(heads_key, fmt::format("heads * head size of at most {}", kMaxWidth));
    }
    if (m_.layers * m_.experts > kMaxExpertsInAll) {
      fail("num_experts", fmt::format("at most {} experts in all layers", kMaxExpertsInAll));
    }
    check_rope(m_.rope);
    if (m_.window != 0) check_rope(m_.sliding_rope);
  }

  JsonView view_;
  ConfigFile& out_;
  ModelConfig& m_;
};

/// Transformers' ZayaForCausalLM.
class NativeReader : Reader {
 public:
  using Reader::Reader;

  void read() {
    out_.layout = Layout::native;
    out_.dialect = "native";
    read_common(106);
    require_one("num_experts_per_tok");
    m_.layers = size("num_hidden_layers", kMaxLayers, 40);
    m_.heads = size("num_attention_heads", kMaxWidth, 8);
    m_.kv_heads = size("num_key_value_heads", kMaxWidth, 2);
    m_.head_dim = size("head_dim", kMaxHeadDim, 128);
    m_.experts = size("num_experts", kMaxExperts, 16);
    m_.expert_width = size("moe_intermediate_size", kMaxWidth, 2048);
    m_.router_hidden = size("router_hidden_size", kMaxWidth, 256);
    m_.max_positions = size("max_position_embeddings", kMaxPositions, 131'072);
    m_.norm_eps = read_norm_eps("rms_norm_eps");
    m_.skip_adds_input = false;
    read_layer_types();
    read_ropes();
    check_sizes("num_attention_heads", "num_key_value_heads");
  }

 private:
  void read_layer_types() {
    m_.sliding.assign(m_.layers, false);
    if (view_.has("swa_layers")) fail("swa_layers", "nothing: 'layer_types' says it here");
    const Json* types = view_.find("layer_types");
    if (types == nullptr) return;
    if (!types->is_array() || types->size() != m_.layers) {
      fail("layer_types", fmt::format("a list of num_hidden_layers = {} names", m_.layers));
    }
    for (std::size_t i = 0; i < m_.layers; ++i) {
      const Json& type = (*types)[i];
      if (type == "hybrid_sliding") {
        m_.sliding[i] = true;
      } else if (type != "hybrid") {
        fail("layer_types", "'hybrid' or 'hybrid_sliding' for every layer");
      }
    }
    if (std::find(m_.sliding.begin(), m_.sliding.end(), true) == m_.sliding.end()) return;
    m_.window = static_cast<std::size_t>(view_.integer("sliding_window", 1, kMaxPositions));
  }

  void read_ropes() {
    m_.rope.theta = view_.number("rope_theta", 5e6);
    m_.rope.partial_rotary_factor = view_.number("partial_rotary_factor", 0.5);
    m_.sliding_rope = {.theta = kDefaultSlidingTheta,
                       .partial_rotary_factor = m_.rope.partial_rotary_factor};
    read_scaling(m_.rope);
    if (!view_.has("rope_parameters")) return;
    const JsonView ropes = view_.object("rope_parameters");
    if (!ropes.has("hybrid") && !ropes.has("hybrid_sliding")) {
      read_rope(ropes, m_.rope);
      return;
    }
    if (ropes.has("hybrid")) read_rope(ropes.object("hybrid"), m_.rope);
    if (ropes.has("hybrid_sliding")) read_rope(ropes.object("hybrid_sliding"), m_.sliding_rope);
    if (ropes.has("rope_type")) {
      // The released file has it next to the nested dictionaries, where it means nothing.
      out_.notes.emplace_back("'rope_parameters' has a stray 'rope_type': ignored");
    }
  }
};

/// Zyphra's fork: attention and MoE as alternating layers. ZAYA1-base gives many sizes as lists
/// with one entry for each of those, the later files as one number.
class LegacyReader : Reader {
 public:
  using Reader::Reader;

  void read() {
    out_.layout = Layout::legacy;
    out_.dialect = view_.has("zaya_layers") ? "base" : "legacy";
    read_common(1);
    check_supported();
    read_layers();
    read_attention();
    const std::size_t gate_and_up =
        per_layer("ffn_hidden_size", "ffn_hidden_size_list", 1, 2 * kMaxWidth, 4096);
    if (gate_and_up % 2 != 0) fail(used_key_, "an even number (gate and up together)");
    m_.expert_width = gate_and_up / 2;
    m_.router_hidden = per_layer("zaya_mlp_expansion", "zaya_mlp_expansion", 1, kMaxWidth, 256);
    m_.max_positions = size("max_position_embeddings", kMaxPositions, 32'768);
    m_.norm_eps = read_norm_eps("norm_epsilon");
    m_.skip_adds_input = true;
    read_ropes();
    read_sliding();
    check_sizes(view_.has("cca_num_q_heads") ? "cca_num_q_heads" : "num_attention_heads",
                "num_key_value_heads");
  }

 private:
  void check_supported() {
    require_flag("cca", true);
    require_flag("gated_linear_unit", true);
    require_flag("scale_residual_merge", true);
    require_text("activation_func", "swiglu");
    require_text("normalization", "RMSNorm");
    require_one("moe_router_topk");
    if (!view_.boolean("residual_in_fp32", true)) {
      out_.notes.emplace_back(
          "'residual_in_fp32' is false: the residual stream is fp32 all the same");
    }
  }

  void read_layers() {
    if (!view_.has("zaya_layers")) {
      const std::size_t alternating = size("num_hidden_layers", 2 * kMaxLayers, 80);
      if (alternating % 2 != 0) fail("num_hidden_layers", "an even number (attention, MoE, ...)");
      m_.layers = alternating / 2;
      m_.experts = size("num_experts", kMaxExperts, 16);
      return;
    }
    const Json& kinds = view_.at("zaya_layers");
    const std::string expected = "a list \"a\", E, \"a\", E, ... with one number of experts E";
    if (!kinds.is_array() || kinds.empty() || kinds.size() % 2 != 0 ||
        kinds.size() > 2 * static_cast<std::size_t>(kMaxLayers)) {
      fail("zaya_layers", expected);
    }
    for (std::size_t i = 0; i < kinds.size(); i += 2) {
      const Json& experts = kinds[i + 1];
      if (kinds[i] != "a" || !experts.is_number_integer() || experts != kinds[1]) {
        fail("zaya_layers", expected);
      }
    }
    if (kinds[1] < 1 || kinds[1] > kMaxExperts) {
      fail("zaya_layers", fmt::format("1 to {} experts", kMaxExperts));
    }
    m_.experts = kinds[1].get<std::size_t>();
    m_.layers = kinds.size() / 2;
    if (view_.has("num_hidden_layers") && view_.at("num_hidden_layers") != kinds.size()) {
      out_.notes.push_back(
          fmt::format("'num_hidden_layers' is stale: 'zaya_layers' has {}", kinds.size()));
    }
  }

  void read_attention() {
    const bool counted = view_.has("cca_num_q_heads");
    if (out_.dialect == "base" && !counted) view_.at("cca_num_q_heads");
    m_.heads = per_layer("num_attention_heads", "cca_num_q_heads", 0, kMaxWidth, 8);
    m_.kv_heads =
        per_layer(view_.has("num_query_groups") ? "num_query_groups" : "num_key_value_heads",
                  "num_query_groups_list", 0, kMaxWidth, 2);
    const std::string kv_source = used_key_;
    for (const char* key : {"num_query_groups", "num_key_value_heads"}) {
      if (view_.has(key) &&
          static_cast<std::size_t>(view_.integer(key, 1, kMaxWidth)) != m_.kv_heads) {
        fail(key, fmt::format("the value of '{}' ({})", kv_source, m_.kv_heads));
      }
    }
    if (view_.has("head_dim") || view_.has("kv_channels") || !counted) {
      m_.head_dim = size(view_.has("head_dim") ? "head_dim" : "kv_channels", kMaxHeadDim, 128);
    } else {
      // num_attention_heads counts the heads before compression here; they share the hidden size.
      const auto uncompressed =
          static_cast<std::size_t>(view_.integer("num_attention_heads", 1, kMaxWidth));
      if (m_.hidden % uncompressed != 0 ||
          m_.hidden / uncompressed > static_cast<std::size_t>(kMaxHeadDim)) {
        fail("num_attention_heads", fmt::format("a divisor of hidden_size {}", m_.hidden));
      }
      m_.head_dim = m_.hidden / uncompressed;
    }
  }

  /// A size given as one number or as a list over the alternating layers, which counts for the even
  /// (0: attention) or odd (1: MoE) ones. Lists may be longer than the model.
  std::size_t per_layer(std::string_view key, std::string_view list_key, std::size_t parity,
                        std::int64_t max, std::int64_t fallback) {
    const Json* list = view_.find(list_key);
    if (list == nullptr || !list->is_array()) {
      used_key_ = key;
      if (list != nullptr && key != list_key) fail(list_key, "a list");
      return size(key, max, fallback);
    }
    used_key_ = list_key;
    const std::vector<std::int64_t> values = view_.integers(list_key, 0, max);
    const std::string expected =
        fmt::format("at least {} entries, those of {} layers all the same and above 0",
                    2 * m_.layers, parity == 0 ? "attention" : "MoE");
    if (values.size() < 2 * m_.layers) fail(list_key, expected);
    for (std::size_t i = parity; i < 2 * m_.layers; i += 2) {
      if (values[i] < 1 || values[i] != values[parity]) fail(list_key, expected);
    }
    return static_cast<std::size_t>(values[parity]);
  }

  void read_ropes() {
    m_.rope.theta = 1e6;
    read_scaling(m_.rope);
    if (view_.has("rope_parameters")) read_rope(view_.object("rope_parameters"), m_.rope);
    m_.rope.theta = view_.number("rope_theta", m_.rope.theta);
    m_.rope.partial_rotary_factor =
        view_.number("partial_rotary_factor", m_.rope.partial_rotary_factor);
    m_.sliding_rope = {.theta = view_.number("swa_rotary_base", kDefaultSlidingTheta),
                       .partial_rotary_factor = m_.rope.partial_rotary_factor};
  }

  void read_sliding() {
    m_.sliding.assign(m_.layers, false);
    if (!view_.has("swa_layers")) {
      const Json* types = view_.find("layer_types");
      if (types != nullptr && types->dump(-1, ' ', true).find("sliding") != std::string::npos) {
        fail("layer_types", "'swa_layers' to say which layers slide");
      }
      if (view_.has("sliding_window") && view_.at("sliding_window") != false) {
        fail("sliding_window", "null, or 'swa_layers' to say which layers it is for");
      }
      return;
    }
    const std::vector<std::int64_t> previous = view_.integers("swa_layers", 0, kMaxPositions - 1);
    // One entry a hybrid layer is a later spelling; else one an alternating layer.
    const std::size_t step = previous.size() == m_.layers ? 1 : 2;
    if (previous.size() < step * m_.layers) {
      fail("swa_layers", fmt::format("{} entries", 2 * m_.layers));
    }
    std::set<std::int64_t> windows;
    for (std::size_t i = 0; i < m_.layers; ++i) {
      m_.sliding[i] = previous[step * i] != 0;
      if (m_.sliding[i]) windows.insert(previous[step * i]);
    }
    if (windows.size() > 1) fail("swa_layers", "one window for all sliding layers");
    // The file counts the tokens before the current one.
    if (!windows.empty()) m_.window = static_cast<std::size_t>(*windows.begin()) + 1;
  }

  std::string used_key_;  ///< the key that the last per_layer() read
};

void check_is_zaya(const JsonView& view) {
  const std::string type = view.string("model_type", "");
  if (type == "zaya") return;
  if (!type.empty()) view.fail("model_type", "'zaya'");
  const Json* names = view.find("architectures");
  if (names == nullptr || !names->is_array() || names->empty() ||
      names->front() != "ZayaForCausalLM") {
    throw Error({.where = view.where(),
                 .what = "not the configuration of a ZAYA model",
                 .expected = "'model_type' to be 'zaya'",
                 .found = "nothing"});
  }
}

}  // namespace

const char* layout_name(Layout layout) {
  return layout == Layout::native ? "native" : "legacy";
}

ConfigFile parse_config(const Json& json, const std::string& where) {
  const JsonView view(json, where);
  check_is_zaya(view);
  ConfigFile out;
  const bool native_marks = view.has("layer_types") || view.has("moe_intermediate_size");
  const bool legacy_marks =
      view.has("activation_func") || view.has("ffn_hidden_size") || view.has("zaya_layers");
  if (native_marks && !legacy_marks) {
    NativeReader(json, where, out).read();
  } else {
    LegacyReader(json, where, out).read();
  }
  return out;
}

ConfigFile read_config_file(const std::filesystem::path& file) {
  return parse_config(read_json_file(file, kMaxConfig), file.string());
}

ConfigFile read_config(const std::filesystem::path& folder) {
  ConfigFile config = read_config_file(folder / "config.json");
  const std::filesystem::path beside = folder / "hf_quant_config.json";
  std::error_code ignored;
  if (!config.quantization && std::filesystem::exists(beside, ignored)) {
    const Json json = read_json_file(beside, kMaxConfig);
    config.quantization = parse_quantization(JsonView(json, beside.string()), config.notes);
  }
  return config;
}

}  // namespace zaya
