#include "cache/kv_policy.h"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "compute/attention.h"
#include "zaya/error.h"

namespace zaya {

KvFormat parse_kv_format(std::string_view name, const std::string& where) {
  constexpr std::array<std::pair<std::string_view, KvFormat>, 6> kNames{{
      {"bf16", KvFormat::bf16},
      {"bfloat16", KvFormat::bf16},
      {"fp8", KvFormat::fp8},
      {"fp8_e4m3", KvFormat::fp8},
      {"int8", KvFormat::int8},
      {"int4", KvFormat::int4},
  }};
  for (const auto& [known, format] : kNames) {
    if (name == known) return format;
  }
  throw Error({.where = where,
               .what = "no format of the KV cache",
               .expected = "bf16, fp8, int8 or int4",
               .found = std::string(name)});
}

KvPolicy uniform_kv_policy(const ModelConfig& config, std::string_view name) {
  if (name == "auto") return {};
  const KvFormat format = parse_kv_format(name, "--kv-cache-dtype");
  return KvPolicy(config.layers, {format, format});
}

KvPolicy read_kv_policy(const std::filesystem::path& file, const ModelConfig& config) {
  constexpr std::uint64_t kMostBytes = 1U << 20;
  const Json json = read_json_file(file, kMostBytes);
  const JsonView view(json, file.string());
  const Json& layers = view.at("layers");
  if (!layers.is_array()) view.fail("layers", "an array");
  if (layers.size() != config.layers) {
    throw Error({.where = file.string(),
                 .what = "not made for this model",
                 .expected = fmt::format("{} layers", config.layers),
                 .found = std::to_string(layers.size())});
  }
  KvPolicy policy;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::string where = fmt::format("{}: layer {}", file.string(), i);
    const JsonView layer(layers[i], where);
    policy.push_back({parse_kv_format(layer.string("keys"), where + ": keys"),
                      parse_kv_format(layer.string("values"), where + ": values")});
  }
  return policy;
}

std::string kv_policy_json(const KvPolicy& policy, const Json& note) {
  Json json = note;
  Json& layers = json["layers"] = Json::array();
  for (const KvLayer& layer : policy) {
    layers.push_back(
        {{"keys", kv_format_name(layer.keys)}, {"values", kv_format_name(layer.values)}});
  }
  return json.dump(1) + "\n";
}

}  // namespace zaya
