#include "checkpoint/config.h"

#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/layout.h"
#include "tests/checkpoint/helpers.h"

namespace zaya {
namespace {

Json config_json(const std::string& name) {
  return read_json_file(std::filesystem::path(ZAYA_TEST_DATA) / "configs" / (name + ".json"));
}

ConfigFile released(const std::string& name) {
  return parse_config(config_json(name), name);
}

/// Parses the released config after `change`; the error, or "no error".
std::string after(const std::string& name, const std::function<void(Json&)>& change) {
  Json json = config_json(name);
  change(json);
  return message_of([&] { parse_config(json, "config.json"); });
}

TEST(Config, ReleasedNative8B) {
  const ConfigFile file = released("zaya1-8b-native");
  const ModelConfig& c = file.model;
  EXPECT_EQ(file.dialect, "native");
  EXPECT_EQ(file.dtype, "bfloat16");
  EXPECT_EQ(c.layers, 40U);
  EXPECT_EQ(c.conv_width(), 1280U);
  EXPECT_EQ(c.classes(), 17U);
  EXPECT_EQ(c.max_positions, 131072U);
  EXPECT_EQ(c.rope.theta, 5e6);
  EXPECT_EQ(c.eos, std::vector<TokenId>{106});
  EXPECT_EQ(c.window, 0U);
  EXPECT_FALSE(c.skip_adds_input);
  ASSERT_EQ(file.notes.size(), 1U);
  EXPECT_TRUE(contains(file.notes[0], "stray 'rope_type'"));
  EXPECT_EQ(tensor_table(c, Layout::native).size(), 1283U);
  EXPECT_EQ(tensor_table(c, Layout::legacy).size(), 2483U);
  const ParameterCounts counts = count_parameters(c);
  EXPECT_EQ(counts.total, 8'840'488'784U);
  EXPECT_EQ(counts.balancing, 680U);
  EXPECT_EQ(counts.embedding, 537'133'056U);
  EXPECT_EQ(counts.active - counts.embedding, 753'608'528U);
}

TEST(Config, ReleasedLegacy8BIsTheSameModel) {
  const ConfigFile file = released("zaya1-8b-legacy");
  EXPECT_EQ(file.dialect, "legacy");
  EXPECT_EQ(file.layout, Layout::legacy);
  EXPECT_TRUE(file.notes.empty());
  EXPECT_TRUE(file.model.skip_adds_input);
  EXPECT_EQ(native_config_json(file.model, "bfloat16"),
            native_config_json(released("zaya1-8b-native").model, "bfloat16"));
}

TEST(Config, ReleasedBaseCountsByItsLists) {
  const ConfigFile file = released("zaya1-base");
  const ModelConfig& c = file.model;
  EXPECT_EQ(file.dialect, "base");
  EXPECT_EQ(c.layers, 40U);
  EXPECT_EQ(c.heads, 8U);
  EXPECT_EQ(c.head_dim, 128U);
  EXPECT_EQ(c.expert_width, 2048U);
  EXPECT_EQ(c.router_hidden, 256U);
  EXPECT_EQ(c.rope.theta, 1e6);
  EXPECT_EQ(c.max_positions, 32768U);
  EXPECT_EQ(c.eos, std::vector<TokenId>{1});
  EXPECT_EQ(tensor_table(c, Layout::legacy).size(), 2483U);
  EXPECT_EQ(count_parameters(c).total, 8'840'488'784U);
  ASSERT_EQ(file.notes.size(), 2U);
  EXPECT_TRUE(contains(file.notes[1], "'num_hidden_layers' is stale: 'zaya_layers' has 80"));
}

TEST(Config, Released74BSlides) {
  const ModelConfig c = released("zaya1-74b-native").model;
  EXPECT_EQ(c.window, 4097U);
  EXPECT_TRUE(c.sliding[0]);
  EXPECT_FALSE(c.sliding[1]);
  EXPECT_EQ(c.sliding_rope.theta, 1e4);
  EXPECT_NEAR(static_cast<double>(count_parameters(c).total), 74.79e9, 0.01e9);
}

TEST(Config, BothDialectsSayEverything) {
  // Every field off its default, over the schemas and back.
  ModelConfig c = released("zaya1-74b-native").model;
  c.tied_head = false;
  c.attention_bias = c.head_bias = c.expert_bias = c.clamp_temp = true;
  c.eda = c.skip_class = false;
  c.parts = {false, false, false};
  c.eos = {1, 106};
  c.bos = 3;
  c.pad = 4;
  c.conv_time0 = 3;
  c.conv_time1 = 4;
  c.norm_eps = 1e-6;
  c.initializer_range = 0.5;
  c.rope.partial_rotary_factor = c.sliding_rope.partial_rotary_factor = 0.25;
  const Json native = native_config_json(c, "float32");
  const ConfigFile from_legacy = parse_config(legacy_config_json(c, "float32"), "l");
  EXPECT_EQ(from_legacy.dialect, "legacy");
  EXPECT_TRUE(from_legacy.notes.empty());
  EXPECT_EQ(native_config_json(from_legacy.model, "float32"), native);
  const ConfigFile from_native = parse_config(native, "n");
  EXPECT_TRUE(from_native.notes.empty());
  EXPECT_EQ(native_config_json(from_native.model, "float32"), native);
  EXPECT_EQ(from_native.model.eos, (std::vector<TokenId>{1, 106}));
}

TEST(Config, LegacySchemaHasLimits) {
  ModelConfig c = released("zaya1-74b-native").model;
  c.window = 1;
  EXPECT_TRUE(contains(message_of([&] { legacy_config_json(c, ""); }), "no sliding window of 1"));
  c.window = 2;
  c.sliding_rope.partial_rotary_factor = 1;
  EXPECT_TRUE(
      contains(message_of([&] { legacy_config_json(c, ""); }), "one partial_rotary_factor"));
}

TEST(Config, AbsentKeysTakeTheLoadersDefaults) {
  const ConfigFile native = parse_config(
      parse_json(R"({"model_type": "zaya", "moe_intermediate_size": 2048})", "c"), "c");
  EXPECT_EQ(native_config_json(native.model, "bfloat16"),
            native_config_json(released("zaya1-8b-native").model, "bfloat16"));
  ASSERT_FALSE(native.notes.empty());
  EXPECT_EQ(native.notes[0], "'vocab_size' is absent: 262272 assumed");
  const ModelConfig legacy =
      parse_config(parse_json(R"({"architectures": ["ZayaForCausalLM"]})", "c"), "c").model;
  EXPECT_EQ(legacy.layers, 40U);
  EXPECT_EQ(legacy.rope.theta, 1e6);
  EXPECT_EQ(legacy.max_positions, 32768U);
  EXPECT_EQ(legacy.eos, std::vector<TokenId>{1});
}

TEST(Config, SlidingWindowsOfTheLegacySchema) {
  const auto with = [](const Json& swa) {
    Json json = config_json("zaya1-8b-legacy");
    json["num_hidden_layers"] = 4;
    json["swa_layers"] = swa;
    return parse_config(json, "c").model;
  };
  EXPECT_EQ(with({6, 0, 0, 0}).window, 7U);
  EXPECT_EQ(with({6, 0, 0, 0}).sliding, (std::vector<bool>{true, false}));
  EXPECT_EQ(with({0, 0, 6, 6}).sliding, (std::vector<bool>{false, true}));
  EXPECT_EQ(with({0, 6}).sliding, (std::vector<bool>{false, true}));
  EXPECT_EQ(with({0, 0, 0, 0}).window, 0U);
  EXPECT_EQ(with({6, 0, 0, 0}).sliding_rope.theta, 1e4);
  EXPECT_TRUE(contains(message_of([&] { with({6, 0, 5, 0}); }), "one window for all"));
  EXPECT_TRUE(contains(message_of([&] { with({6, 0, 6}); }), "'swa_layers': expected 4 entries"));
  EXPECT_TRUE(contains(after("zaya1-8b-legacy", [](Json& j) { j["sliding_window"] = 4096; }),
                       "bad value for 'sliding_window'"));
}

TEST(Config, WhatCannotBeHonouredIsRefused) {
  const auto native = [](const char* key, const Json& value) {
    return after("zaya1-8b-native", [&](Json& j) { j[key] = value; });
  };
  EXPECT_TRUE(
      contains(native("model_type", "llama"), "'model_type': expected 'zaya', found \"llama\""));
  EXPECT_TRUE(contains(native("num_experts_per_tok", 2), "'num_experts_per_tok': expected 1"));
  EXPECT_TRUE(contains(native("hidden_act", "gelu"), "'hidden_act': expected 'silu'"));
  EXPECT_TRUE(contains(native("quantization_config", Json::object()),
                       "quantization_config: bad value for 'quant_method'"));
  EXPECT_TRUE(contains(native("layer_types", {"hybrid"}), "num_hidden_layers = 40 names"));
  EXPECT_TRUE(contains(native("layer_types", Json(std::vector<std::string>(40, "mamba"))),
                       "'hybrid' or 'hybrid_sliding'"));
  EXPECT_TRUE(contains(native("layer_types", Json(std::vector<std::string>(40, "hybrid_sliding"))),
                       "key 'sliding_window' is missing"));
  EXPECT_TRUE(contains(native("rope_parameters", {{"rope_type", "yarn"}}), "expected 'default'"));
  EXPECT_TRUE(contains(native("rope_parameters", {{"hybrid", {{"rope_type", "linear"}}}}),
                       "rope_parameters: hybrid: bad value for 'rope_type'"));
  EXPECT_TRUE(contains(native("rope_parameters", 5), "wrong JSON type"));
  EXPECT_TRUE(contains(native("rope_scaling", {{"type", "linear"}}), "expected 'default'"));
  EXPECT_TRUE(contains(native("swa_layers", {6, 0}), "bad value for 'swa_layers'"));
  const auto legacy = [](const char* key, const Json& value) {
    return after("zaya1-8b-legacy", [&](Json& j) { j[key] = value; });
  };
  EXPECT_TRUE(contains(legacy("activation_func", "gelu"), "'activation_func': expected 'swiglu'"));
  EXPECT_TRUE(
      contains(legacy("normalization", "LayerNorm"), "'normalization': expected 'RMSNorm'"));
  EXPECT_TRUE(contains(legacy("cca", false), "'cca': expected true"));
  EXPECT_TRUE(contains(legacy("gated_linear_unit", false), "'gated_linear_unit'"));
  EXPECT_TRUE(contains(legacy("scale_residual_merge", false), "'scale_residual_merge'"));
  EXPECT_TRUE(contains(legacy("moe_router_topk", 2), "'moe_router_topk': expected 1"));
  EXPECT_TRUE(contains(legacy("rope_scaling", {{"type", "yarn"}}), "expected 'default'"));
  EXPECT_TRUE(contains(legacy("rope_scaling", true), "wrong JSON type"));
  EXPECT_EQ(legacy("rope_scaling", {{"rope_type", "default"}}), "no error");
  EXPECT_TRUE(
      contains(legacy("layer_types", {"sliding_attention"}), "bad value for 'layer_types'"));
  EXPECT_EQ(legacy("layer_types", {"hybrid"}), "no error");
  EXPECT_TRUE(contains(legacy("num_query_groups", 4), "'num_query_groups'"));
  EXPECT_TRUE(contains(legacy("num_hidden_layers", 81), "an even number"));
  EXPECT_TRUE(
      contains(legacy("ffn_hidden_size", 4095), "'ffn_hidden_size': expected an even number"));
}

TEST(Config, ListsMustAgree) {
  const auto base = [](const char* key, const std::function<void(Json&)>& change) {
    return after("zaya1-base", [&](Json& j) { change(j[key]); });
  };
  const auto set = [](std::size_t i, const Json& value) {
    return [=](Json& list) { list[i] = value; };
  };
  EXPECT_TRUE(contains(base("zaya_layers", set(1, "a")), "'zaya_layers'"));
  EXPECT_TRUE(contains(base("zaya_layers", set(3, 8)), "one number of experts E"));
  EXPECT_TRUE(contains(base("zaya_layers", set(2, 16)), "'zaya_layers'"));
  EXPECT_TRUE(
      contains(base("zaya_layers", [](Json& l) { l.erase(l.size() - 1); }), "'zaya_layers'"));
  EXPECT_TRUE(contains(base("cca_num_q_heads", set(4, 4)), "attention layers all the same"));
  EXPECT_TRUE(contains(base("cca_num_q_heads", set(0, 0)), "attention layers all the same"));
  EXPECT_TRUE(contains(base("cca_num_q_heads", [](Json& l) { l = nullptr; }),
                       "key 'cca_num_q_heads' is missing"));
  EXPECT_TRUE(contains(base("ffn_hidden_size_list", set(3, 2048)), "MoE layers all the same"));
  EXPECT_TRUE(contains(base("zaya_mlp_expansion", [](Json& l) { l.erase(l.size() - 1); }),
                       "at least 80 entries"));
  EXPECT_TRUE(contains(base("num_attention_heads", [](Json& v) { v = 3; }),
                       "a divisor of hidden_size 2048"));
  // The released lists of one model are longer than the model.
  EXPECT_EQ(base("ffn_hidden_size_list", [](Json& l) { l.push_back(7); }), "no error");
}

TEST(Config, AbsurdNumbersAreRefused) {
  const char* keys[] = {
      "vocab_size",          "hidden_size", "num_hidden_layers", "num_attention_heads",
      "num_key_value_heads", "head_dim",    "num_experts",       "moe_intermediate_size",
      "router_hidden_size",  "cca_time0",   "cca_time1",         "max_position_embeddings"};
  for (const char* key : keys) {
    for (const Json& bad : {Json(0), Json(-1), Json(1'000'000'000'000'000'000), Json(1.5),
                            Json("8"), Json(UINT64_MAX), Json::array()}) {
      EXPECT_TRUE(contains(after("zaya1-8b-native", [&](Json& j) { j[key] = bad; }),
                           std::string("bad value for '") + key + "'"))
          << bad;
    }
  }
  const auto native = [](const char* key, const Json& value) {
    return after("zaya1-8b-native", [&](Json& j) { j[key] = value; });
  };
  EXPECT_TRUE(
      contains(native("num_key_value_heads", 3), "a multiple of 'num_key_value_heads' (3)"));
  EXPECT_TRUE(contains(native("head_dim", 127), "head size is odd"));
  EXPECT_TRUE(contains(native("num_attention_heads", 1 << 20), "heads * head size"));
  EXPECT_TRUE(contains(native("num_experts", 4096), "experts in all layers"));
  EXPECT_TRUE(contains(native("rms_norm_eps", 0), "'rms_norm_eps'"));
  EXPECT_TRUE(contains(native("initializer_range", -0.1), "'initializer_range'"));
  EXPECT_TRUE(contains(native("eos_token_id", -1), "'eos_token_id'"));
  EXPECT_TRUE(contains(native("eos_token_id", {1, "x"}), "'eos_token_id'"));
  EXPECT_TRUE(contains(native("rope_parameters", {{"rope_theta", 0}}), "'rope_theta'"));
  for (const double share : {0.0, -0.5, 1.5, 0.01, 1.0 / 128 * 65}) {
    EXPECT_TRUE(contains(native("rope_parameters", {{"partial_rotary_factor", share}}),
                         "'partial_rotary_factor'"));
  }
  EXPECT_TRUE(contains(message_of([] { parse_config(Json::array(), "c.json"); }),
                       "c.json: wrong JSON type: expected an object"));
  EXPECT_TRUE(contains(message_of([] { parse_config(Json::object(), "c.json"); }),
                       "not the configuration of a ZAYA model"));
}

TEST(Layout, OptionalTensorsFollowTheConfig) {
  ModelConfig c = released("zaya1-8b-native").model;
  const auto has = [&](const std::string& name) {
    for (const StoredTensor& t : tensor_table(c, Layout::native)) {
      if (t.name == name) return true;
    }
    return false;
  };
  EXPECT_FALSE(has("lm_head.weight"));
  EXPECT_FALSE(has("model.layers.0.mlp.gate.router_states_scale"));
  EXPECT_TRUE(has("model.layers.39.mlp.gate.router_states_scale"));
  c.tied_head = c.eda = c.skip_class = false;
  c.head_bias = c.attention_bias = c.expert_bias = true;
  EXPECT_TRUE(has("lm_head.weight"));
  EXPECT_TRUE(has("lm_head.bias"));
  EXPECT_TRUE(has("model.layers.7.self_attn.o_proj.bias"));
  EXPECT_TRUE(has("model.layers.7.self_attn.qkv_proj.v_proj_delayed.bias"));
  EXPECT_TRUE(has("model.layers.7.mlp.experts.down_proj_bias"));
  EXPECT_FALSE(has("model.layers.39.mlp.gate.router_states_scale"));
  EXPECT_EQ(c.classes(), 16U);
  const auto legacy = tensor_table(c, Layout::legacy);
  EXPECT_EQ(legacy[1].name, "model.layers.0.res_scale.hidden_states_scale");
  EXPECT_EQ(legacy[1].parts[0], "model.input_hidden_states_scale");
}

/// What parse_config says of the native config with this quantization_config.
std::string quantized(const std::string& text) {
  return after("zaya1-8b-native", [&](Json& j) { j["quantization_config"] = Json::parse(text); });
}

std::string group(const std::string& weights, const std::string& format = "pack-quantized",
                  const std::string& more = "") {
  return R"({"quant_method": "compressed-tensors", "format": ")" + format + "\"" + more +
         R"(, "config_groups": {"group_0": {"targets": ["Linear"], "weights": )" + weights + "}}}";
}

TEST(Config, QuantizationThatCannotBeHonouredIsRefused) {
  EXPECT_EQ(quantized(group(R"({"num_bits": 4, "group_size": 32})")), "no error");
  EXPECT_TRUE(contains(quantized(R"({"quant_method": "gptq", "bits": 4})"),
                       "quantization_config: bad value for 'quant_method': expected "
                       "compressed-tensors, modelopt, fp8, mxfp4 or bitsandbytes, found \"gptq\""));
  EXPECT_TRUE(contains(quantized("5"), "wrong JSON type"));
  EXPECT_TRUE(contains(quantized(R"({"quant_method": "compressed-tensors"})"), "'config_groups'"));
  EXPECT_TRUE(contains(quantized(group(R"({"num_bits": 3, "group_size": 32})")),
                       "config_groups: group_0: weights: bad value for 'num_bits': expected 4 or "
                       "8, found 3"));
  EXPECT_TRUE(contains(quantized(group(R"({"num_bits": 4, "group_size": 0})")),
                       "weights: bad value for 'group_size'"));
  EXPECT_TRUE(contains(quantized(group(R"({"num_bits": 4, "group_size": 1e99})")), "'group_size'"));
  EXPECT_TRUE(contains(quantized(group(R"({"num_bits": 4, "strategy": "group"})")),
                       "'group_size' is missing"));
  EXPECT_TRUE(contains(quantized(group(R"({"num_bits": 4, "strategy": "token"})")), "'strategy'"));
  EXPECT_TRUE(contains(quantized(group(R"({"num_bits": 4, "group_size": 32, "symmetric": false})")),
                       "'symmetric': expected true (no zero points)"));
  EXPECT_TRUE(contains(
      quantized(group(R"({"num_bits": 4, "group_size": 32, "actorder": "group"})")), "'actorder'"));
  EXPECT_TRUE(contains(quantized(group(R"({"num_bits": 8, "dynamic": true})")), "'dynamic'"));
  EXPECT_TRUE(contains(quantized(group(R"({"num_bits": 8})", "marlin-24")),
                       "unsupported 'format': expected pack-quantized"));
  EXPECT_TRUE(contains(quantized(group(R"({"num_bits": 8})", "pack-quantized",
                                       R"(, "transform_config": {"config_groups": {"R1": {}}})")),
                       "'transform_config': expected nothing"));
  EXPECT_TRUE(contains(quantized(group(R"({"num_bits": 8})", "pack-quantized",
                                       R"(, "sparsity_config": {"format": "sparse-bitmask"})")),
                       "sparsity_config: bad value for 'format': expected dense"));
  EXPECT_TRUE(contains(quantized(group(R"({"num_bits": 8, "strategy": "block",
                                           "block_structure": [128]})",
                                       "float-quantized")),
                       "'block_structure': expected two sizes"));
  EXPECT_TRUE(contains(quantized(R"({"quant_method": "fp8", "fmt": "e5m2"})"), "'fmt'"));
  EXPECT_TRUE(contains(quantized(R"({"quant_method": "fp8", "weight_block_size": [0, 128]})"),
                       "'weight_block_size'"));
  EXPECT_TRUE(contains(quantized(R"({"quant_method": "modelopt", "quant_algo": "W4A8_AWQ"})"),
                       "'quant_algo': expected NVFP4 or FP8"));
  EXPECT_TRUE(contains(quantized(R"({"quant_method": "modelopt", "quant_algo": "NVFP4"})"),
                       "'group_size' is missing"));
  EXPECT_TRUE(contains(quantized(R"({"load_in_8bit": true})"), "'load_in_4bit'"));
  EXPECT_TRUE(contains(quantized(R"({"load_in_4bit": true})"), "'bnb_4bit_quant_type'"));
  EXPECT_TRUE(contains(after("zaya1-8b-native",
                             [](Json& j) {
                               j["quantization"] = {{"bits", 4}, {"group_size", 32}};
                             }),
                       "MLX"));
}

}  // namespace
}  // namespace zaya
