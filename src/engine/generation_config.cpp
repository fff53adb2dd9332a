#include "engine/generation_config.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string_view>

#include <fmt/format.h>

#include "zaya/error.h"

namespace zaya {
namespace {

// What else changes Transformers' output. Zero, one, false and empty mean that it is not used,
// whichever of them is the neutral value of the key.
constexpr std::array<std::string_view, 24> kUnsupported = {
    "num_beams",
    "num_beam_groups",
    "diversity_penalty",
    "typical_p",
    "epsilon_cutoff",
    "eta_cutoff",
    "top_h",
    "penalty_alpha",
    "guidance_scale",
    "no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "encoder_no_repeat_ngram_size",
    "min_length",
    "min_new_tokens",
    "bad_words_ids",
    "force_words_ids",
    "sequence_bias",
    "constraints",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "begin_suppress_tokens",
    "exponential_decay_length_penalty",
    "watermarking_config",
    "dola_layers",
};

bool is_used(const Json& value) {
  if (value.is_number()) return value.get<double>() != 0.0 && value.get<double>() != 1.0;
  if (value.is_boolean()) return value.get<bool>();
  return !value.empty();
}

// A key that holds one id or a list of them.
std::vector<TokenId> ids(const JsonView& view, std::string_view key) {
  constexpr std::int64_t kMax = std::numeric_limits<TokenId>::max();
  std::vector<TokenId> found;
  if (!view.has(key)) return found;
  if (view.at(key).is_array()) {
    for (const std::int64_t id : view.integers(key, 0, kMax)) {
      found.push_back(static_cast<TokenId>(id));
    }
  } else {
    found.push_back(static_cast<TokenId>(view.integer(key, 0, kMax)));
  }
  return found;
}

std::vector<std::string> strings(const JsonView& view, std::string_view key) {
  if (!view.has(key)) return {};
  const Json& value = view.at(key);
  if (value.is_string()) return {value.get<std::string>()};
  if (!value.is_array() ||
      !std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_string(); })) {
    view.fail(key, "a string or a list of strings");
  }
  return value.get<std::vector<std::string>>();
}

void read_sampling(const JsonView& view, SamplingParams& p) {
  p.temperature = view.number("temperature", 1.0);
  p.top_p = view.number("top_p", 1.0);
  p.min_p = view.number("min_p", 0.0);
  constexpr std::int64_t kMax = std::numeric_limits<std::int32_t>::max();
  // vLLM spells "off" as -1, Transformers as 0 or null.
  p.top_k = static_cast<std::size_t>(std::max<std::int64_t>(0, view.integer("top_k", -1, kMax, 0)));
  if (!view.boolean("do_sample", true)) p.temperature = 0.0;

  constexpr std::array kKeys = {"do_sample", "temperature", "top_p", "top_k", "min_p"};
  if (std::none_of(kKeys.begin(), kKeys.end(), [&](const char* key) { return view.has(key); })) {
    p.top_p = 0.95;
  }
}

}  // namespace

GenerationConfig parse_generation_config(const Json& json, const std::string& where,
                                         std::size_t vocab) {
  const JsonView view(json, where);
  GenerationConfig config;
  for (const std::string_view key : kUnsupported) {
    if (const Json* value = view.find(key); value != nullptr && is_used(*value)) {
      throw Error({.where = where,
                   .what = fmt::format("'{}' is not supported", key),
                   .expected = "the key to be absent",
                   .found = value->dump(-1, ' ', true, Json::error_handler_t::replace)});
    }
  }
  SamplingParams& p = config.params;
  read_sampling(view, p);
  p.repetition_penalty = view.number("repetition_penalty", 1.0);
  if (view.has("max_new_tokens")) {
    p.max_tokens = static_cast<std::size_t>(
        view.integer("max_new_tokens", 1, std::numeric_limits<std::int32_t>::max()));
  }
  if (view.has("max_length")) {
    config.notes.push_back(where + ": max_length is ignored, max_new_tokens is the bound to set");
  }
  p.stop = strings(view, "stop_strings");
  for (const TokenId id : ids(view, "suppress_tokens")) {
    p.logit_bias.push_back({id, -std::numeric_limits<float>::infinity()});
  }
  config.eos = ids(view, "eos_token_id");
  try {
    validate(p, vocab);
  } catch (const Error& e) {
    Error::Detail detail = e.detail();
    detail.where = where + ": " + detail.where;
    throw Error(detail);
  }
  return config;
}

GenerationConfig load_generation_config(const std::filesystem::path& folder, std::size_t vocab) {
  const auto path = folder / "generation_config.json";
  if (!std::filesystem::exists(path)) return parse_generation_config(Json::object(), "", vocab);
  return parse_generation_config(read_json_file(path), path.string(), vocab);
}

}  // namespace zaya
