#include "checkpoint/quantization.h"

#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "zaya/error.h"

namespace zaya {
namespace {

constexpr std::int64_t kMaxGroup = 1 << 20;
constexpr std::size_t kMaxSchemes = 64;

const char* const kAllMethods = "compressed-tensors, modelopt, fp8, mxfp4 or bitsandbytes";

class Reader {
 public:
  Reader(const JsonView& config, Quantization& out, std::vector<std::string>& notes)
      : config_(config), out_(out), notes_(notes) {}

  void read() {
    out_.method = config_.string("quant_method", "");
    if (out_.method.empty() && (config_.has("load_in_4bit") || config_.has("load_in_8bit"))) {
      out_.method = "bitsandbytes";  // as it wrote before the key came up
    }
    if (out_.method.empty() && config_.has("quantization")) out_.method = "modelopt";
    if (out_.method.starts_with("modelopt")) {
      out_.method = "modelopt";
      read_modelopt();
    } else if (out_.method == "compressed-tensors") {
      read_compressed_tensors();
    } else if (out_.method == "fp8") {
      read_fp8();
    } else if (out_.method == "mxfp4") {
      add({.key = "quant_method", .code = WeightCode::e2m1, .scale_rows = 1, .scale_cols = 32});
    } else if (out_.method == "bitsandbytes") {
      read_bitsandbytes();
    } else {
      config_.fail("quant_method", kAllMethods);
    }
    if (config_.has("kv_cache_scheme") || config_.has("kv_cache_quant_algo")) {
      notes_.emplace_back("the KV cache scheme of quantization_config is ignored");
    }
  }

 private:
  void add(QuantScheme scheme) { out_.schemes.push_back(std::move(scheme)); }

  void read_compressed_tensors() {
    refuse_transforms();
    const std::string format = config_.string("format", "");
    // "frozen" and earlier states keep full weights; then no tensor is quantised.
    if (!config_.has("config_groups")) config_.fail("config_groups", "an object");
    const JsonView groups = config_.object("config_groups");
    if (groups.json().size() > kMaxSchemes) {
      config_.fail("config_groups", fmt::format("at most {} groups", kMaxSchemes));
    }
    for (const auto& [name, value] : groups.json().items()) {
      const JsonView group(value, fmt::format("{}: {}", groups.where(), name));
      read_group(group, "config_groups." + name, group.string("format", format));
    }
  }

  void refuse_transforms() const {
    const Json* transform = config_.find("transform_config");
    if (transform != nullptr && !transform->empty()) {
      config_.fail("transform_config", "nothing: rotated weights are not supported");
    }
    const Json* sparsity = config_.find("sparsity_config");
    if (sparsity == nullptr || sparsity->empty()) return;
    const JsonView view = config_.object("sparsity_config");
    if (view.string("format", "dense") != "dense") view.fail("format", "dense");
  }

  void read_group(const JsonView& group, std::string key, const std::string& format) {
    if (!group.has("weights")) return;
    if (group.has("input_activations") || group.has("output_activations")) {
      note_activations();
    }
    const JsonView weights = group.object("weights");
    check_plain(weights);
    QuantScheme scheme = scale_layout(weights);
    scheme.key = std::move(key);
    scheme.code = code_of(group, weights, format);
    scheme.global = scheme.code == WeightCode::e2m1 && format != "mxfp4-pack-quantized" &&
                    scheme_is_nv(weights, format);
    add(std::move(scheme));
  }

  /// With no format named, NVFP4 is known by its two levels of scales.
  static bool scheme_is_nv(const JsonView& weights, const std::string& format) {
    return format == "nvfp4-pack-quantized" || weights.string("strategy", "") == "tensor_group";
  }

  void note_activations() {
    const std::string text =
        "quantization_config also quantises activations; here only the weights are as it says";
    if (notes_.empty() || notes_.back() != text) notes_.push_back(text);
  }

  static void check_plain(const JsonView& weights) {
    if (!weights.boolean("symmetric", true)) weights.fail("symmetric", "true (no zero points)");
    const Json* order = weights.find("actorder");
    // "static" and "weight" order the search only: the groups are stored in plain order.
    if (order != nullptr && *order != false && *order != "static" && *order != "weight") {
      weights.fail("actorder", "null or 'static': groups in the order of the columns");
    }
    if (weights.has("dynamic") && weights.at("dynamic") != false) {
      weights.fail("dynamic", "false for weights");
    }
  }

  static QuantScheme scale_layout(const JsonView& weights) {
    const auto group_size = [&] {
      return static_cast<std::size_t>(weights.integer("group_size", 1, kMaxGroup));
    };
    const std::string fallback = weights.has("group_size")        ? "group"
                                 : weights.has("block_structure") ? "block"
                                                                  : "tensor";
    const std::string strategy = weights.string("strategy", fallback);
    if (strategy == "tensor") return {.scale_rows = 0, .scale_cols = 0};
    if (strategy == "channel") return {.scale_rows = 1, .scale_cols = 0};
    if (strategy == "group" || strategy == "tensor_group") {
      // -1 is an older spelling of a scale for each row.
      if (weights.has("group_size") && weights.at("group_size") == -1) {
        return {.scale_rows = 1, .scale_cols = 0};
      }
      return {.scale_rows = 1, .scale_cols = group_size()};
    }
    if (strategy == "block") return block(weights, "block_structure");
    weights.fail("strategy", "tensor, channel, group, tensor_group or block");
  }

  static QuantScheme block(const JsonView& view, std::string_view key) {
    const std::vector<std::int64_t> sizes = view.integers(key, 1, kMaxGroup);
    if (sizes.size() != 2) view.fail(key, "two sizes, rows and columns");
    return {.scale_rows = static_cast<std::size_t>(sizes[0]),
            .scale_cols = static_cast<std::size_t>(sizes[1])};
  }

  static WeightCode code_of(const JsonView& group, const JsonView& weights,
                            const std::string& format) {
    const std::int64_t bits = weights.integer("num_bits", 1, 32, 8);
    const std::string type = weights.string("type", "int");
    if (type != "int" && type != "float") weights.fail("type", "int or float");
    const bool is_int = type == "int";
    const auto need_bits = [&](std::int64_t a, std::int64_t b) {
      if (bits != a && bits != b) {
        weights.fail("num_bits", a == b ? fmt::format("{}", a) : fmt::format("{} or {}", a, b));
      }
    };
    if (format == "pack-quantized" || (format.empty() && is_int && bits < 8)) {
      if (!is_int) weights.fail("type", "int");
      need_bits(4, 8);
      return bits == 4 ? WeightCode::u4 : WeightCode::u8;
    }
    if (format == "int-quantized" || format == "float-quantized" || format == "naive-quantized" ||
        format == "mxfp8-quantized" || (format.empty() && bits == 8)) {
      need_bits(is_int ? 4 : 8, 8);
      return is_int ? WeightCode::i8 : WeightCode::e4m3;
    }
    if (format == "nvfp4-pack-quantized" || format == "mxfp4-pack-quantized" ||
        (format.empty() && !is_int && bits == 4)) {
      if (is_int) weights.fail("type", "float");
      need_bits(4, 4);
      return WeightCode::e2m1;
    }
    throw Error({.where = group.where(),
                 .what = "unsupported 'format'",
                 .expected = "pack-quantized, int-quantized, float-quantized, "
                             "nvfp4-pack-quantized, mxfp4-pack-quantized or mxfp8-quantized",
                 .found = fmt::format("'{}'", format)});
  }

  void read_modelopt() {
    if (config_.has("quantization")) {
      read_modelopt_keys(config_.object("quantization"));
    } else {
      read_modelopt_keys(config_);
    }
  }

  void read_modelopt_keys(const JsonView& view) {
    const std::string algorithm = view.string("quant_algo");
    if (algorithm == "NVFP4") {
      note_activations();
      add({.key = "quant_algo",
           .code = WeightCode::e2m1,
           .scale_rows = 1,
           .scale_cols = modelopt_group(view),
           .global = true});
    } else if (algorithm == "FP8") {
      note_activations();
      add({.key = "quant_algo", .code = WeightCode::e4m3, .scale_rows = 0, .scale_cols = 0});
    } else {
      view.fail("quant_algo", "NVFP4 or FP8");
    }
  }

  /// Newer files repeat it in the words of compressed-tensors.
  static std::size_t modelopt_group(const JsonView& view) {
    if (!view.has("group_size") && view.has("config_groups")) {
      const JsonView groups = view.object("config_groups");
      for (const auto& [name, value] : groups.json().items()) {
        const JsonView group(value, fmt::format("{}: {}", groups.where(), name));
        if (group.has("weights")) {
          return static_cast<std::size_t>(
              group.object("weights").integer("group_size", 1, kMaxGroup));
        }
      }
    }
    return static_cast<std::size_t>(view.integer("group_size", 1, kMaxGroup));
  }

  void read_fp8() {
    if (config_.string("fmt", "e4m3") != "e4m3") config_.fail("fmt", "e4m3");
    if (config_.has("activation_scheme")) note_activations();
    if (config_.has("weight_block_size")) {
      QuantScheme scheme = block(config_, "weight_block_size");
      scheme.key = "weight_block_size";
      scheme.code = WeightCode::e4m3;
      add(std::move(scheme));
      return;
    }
    // The file does not say which; the shape of the scales does.
    add({.key = "quant_method", .code = WeightCode::e4m3, .scale_rows = 1, .scale_cols = 0});
    add({.key = "quant_method", .code = WeightCode::e4m3, .scale_rows = 0, .scale_cols = 0});
  }

  void read_bitsandbytes() {
    if (!config_.boolean("load_in_4bit", false)) {
      config_.fail("load_in_4bit", "true (8-bit bitsandbytes is not supported)");
    }
    if (config_.string("bnb_4bit_quant_type", "fp4") != "nf4") {
      config_.fail("bnb_4bit_quant_type", "nf4");
    }
    if (config_.string("bnb_4bit_quant_storage", "uint8") != "uint8") {
      config_.fail("bnb_4bit_quant_storage", "uint8");
    }
    // The size of the blocks is with each tensor.
    add({.key = "bnb_4bit_quant_type", .code = WeightCode::nf4});
  }

  const JsonView& config_;
  Quantization& out_;
  std::vector<std::string>& notes_;
};

}  // namespace

std::string scheme_text(const QuantScheme& scheme) {
  std::string text(code_name(scheme.code));
  if (scheme.code == WeightCode::nf4) return text;
  if (scheme.scale_rows == 0 && scheme.scale_cols == 0) {
    text += ", one scale";
  } else if (scheme.scale_rows == 1) {
    text += scheme.scale_cols == 0 ? ", a scale every row"
                                   : fmt::format(", a scale every {} columns", scheme.scale_cols);
  } else {
    text += fmt::format(", a scale every {} x {} block", scheme.scale_rows, scheme.scale_cols);
  }
  if (scheme.global) text += " and one for all";
  return text;
}

Quantization parse_quantization(const JsonView& config, std::vector<std::string>& notes) {
  Quantization out;
  Reader(config, out, notes).read();
  return out;
}

}  // namespace zaya
