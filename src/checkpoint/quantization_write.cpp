#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "checkpoint/quantize.h"
#include "zaya/error.h"

namespace zaya {
namespace {

/// The modules of a role, as a pattern of compressed-tensors.
const char* pattern(Role role) {
  switch (role) {
    case Role::experts:
      return "re:.*mlp\\.experts.*";
    case Role::attention:
      return "re:.*self_attn\\.(o_proj|qkv_proj\\.(q_proj|k_proj|v_proj_current|v_proj_delayed))$";
    case Role::router:
      return "re:.*mlp\\.gate\\..*";
    case Role::embed:
      return "re:.*embed_tokens$";
    case Role::head:
      return "re:.*lm_head$";
    case Role::other:
      break;
  }
  return "";
}

const char* container(WeightFormat format) {
  switch (format) {
    case WeightFormat::int8:
    case WeightFormat::int4:
      return "pack-quantized";
    case WeightFormat::mxfp4:
      return "mxfp4-pack-quantized";
    case WeightFormat::nvfp4:
      return "nvfp4-pack-quantized";
    default:
      return "float-quantized";
  }
}

Json weights_json(WeightFormat format) {
  const bool is_int = format == WeightFormat::int8 || format == WeightFormat::int4;
  const bool per_row = format == WeightFormat::int8 || format == WeightFormat::fp8;
  Json json;
  json["num_bits"] = per_row ? 8 : 4;
  json["type"] = is_int ? "int" : "float";
  json["symmetric"] = true;
  if (per_row) {
    json["strategy"] = "channel";
  } else {
    json["strategy"] = format == WeightFormat::nvfp4 ? "tensor_group" : "group";
    json["group_size"] = format == WeightFormat::nvfp4 ? 16 : 32;
  }
  json["dynamic"] = false;
  if (format == WeightFormat::mxfp4) json["scale_dtype"] = "torch.uint8";
  if (format == WeightFormat::nvfp4) json["scale_dtype"] = "torch.float8_e4m3fn";
  return json;
}

bool is_quantized(WeightFormat format) {
  return format != WeightFormat::keep && format != WeightFormat::bf16;
}

}  // namespace

WeightFormat QuantizeOptions::of(Role role) const {
  switch (role) {
    case Role::experts:
      return experts;
    case Role::attention:
      return attention;
    case Role::router:
      return router;
    case Role::embed:
      return embed;
    case Role::head:
      return head;
    case Role::other:
      break;
  }
  return WeightFormat::keep;
}

QuantizeOptions quantize_preset(std::string_view name) {
  QuantizeOptions options;
  WeightFormat spine = WeightFormat::int8;
  if (name == "q8") {
    options.experts = WeightFormat::int8;
  } else if (name == "q4") {
    options.experts = WeightFormat::int4;
  } else if (name == "q4-small") {
    options.experts = WeightFormat::int4;
    spine = WeightFormat::int4;
  } else {
    throw Error({.where = "preset",
                 .what = "unknown",
                 .expected = "q8, q4 or q4-small",
                 .found = fmt::format("'{}'", name)});
  }
  options.attention = spine;
  options.embed = spine;
  options.head = spine;
  return options;
}

Json quantization_json(const QuantizeOptions& options, bool tied_head) {
  std::map<WeightFormat, std::vector<std::string>> groups;
  Json ignore = Json::array();
  for (const Role role : kRoles) {
    if (role == Role::other) continue;
    const WeightFormat format = options.of(role == Role::head && tied_head ? Role::embed : role);
    if (is_quantized(format)) {
      groups[format].emplace_back(pattern(role));
    } else {
      ignore.push_back(pattern(role));
    }
  }
  if (groups.empty()) return nullptr;
  Json config_groups;
  std::string common;
  for (const auto& [format, targets] : groups) {
    const std::string own = container(format);
    common = common.empty() || common == own ? own : "mixed-precision";
    config_groups[fmt::format("group_{}", config_groups.size())] = {
        {"targets", targets},
        {"weights", weights_json(format)},
        {"input_activations", nullptr},
        {"output_activations", nullptr},
        {"format", own}};
  }
  return {{"quant_method", "compressed-tensors"}, {"format", common},
          {"quantization_status", "compressed"},  {"config_groups", std::move(config_groups)},
          {"ignore", std::move(ignore)},          {"kv_cache_scheme", nullptr}};
}

}  // namespace zaya
