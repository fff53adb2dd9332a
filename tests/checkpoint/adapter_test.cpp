// LoRA adapters in PEFT's format: what is read, what is refused and in which words.
#include "checkpoint/adapter.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/checkpoint/adapter_files.h"
#include "tests/checkpoint/helpers.h"

namespace zaya {
namespace {

using Target = AdapterConfig::Target;

const std::vector<Projection> kAll{Projection::q, Projection::k, Projection::v_current,
                                   Projection::v_delayed, Projection::o};

ModelConfig model() {
  ModelConfig c;
  c.vocab = 20;
  c.hidden = 24;
  c.layers = 3;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 6;
  c.experts = 2;
  c.expert_width = 5;
  c.router_hidden = 7;
  c.sliding.assign(c.layers, false);
  return c;
}

AdapterFiles files(Layout layout = Layout::native) {
  AdapterFiles out;
  for (std::size_t i = 0; i < 3; ++i) out.add_layer(model(), layout, i, kAll, 1);
  if (layout == Layout::legacy) {
    out.config["target_modules"] = {"linear_q", "linear_k", "val_proj1", "val_proj2", "o_proj"};
  }
  return out;
}

constexpr const char* kQ =
    "base_model.model.model.layers.1.self_attn.qkv_proj.q_proj.lora_A.weight";
constexpr const char* kO = "base_model.model.model.layers.1.self_attn.o_proj.lora_B.weight";

class AdapterTest : public FolderTest {
 protected:
  AdapterFile open(const AdapterFiles& of, Layout own = Layout::native) {
    of.write(folder_);
    return {folder_, model(), own};
  }
  std::string refusal(const AdapterFiles& of, Layout own = Layout::native) {
    return message_of([&] { open(of, own); });
  }
  /// What is said when the good files are changed so.
  std::string refusal(const std::function<void(AdapterFiles&)>& spoil) {
    AdapterFiles spoilt = files();
    spoil(spoilt);
    return refusal(spoilt);
  }
  std::string config_refusal(const char* key, const Json& value) {
    return refusal([&](AdapterFiles& f) { f.config[key] = value; });
  }
};

using Adapter = AdapterTest;

TEST_F(Adapter, FindsEveryPairInBothLayoutsWhateverTheCheckpointHas) {
  for (const Layout layout : {Layout::native, Layout::legacy}) {
    for (const Layout own : {Layout::native, Layout::legacy}) {
      const AdapterFile file = open(files(layout), own);
      ASSERT_EQ(file.pairs().size(), 15U);
      for (std::size_t i = 0; i < 15; ++i) {
        const AdapterPair& pair = file.pairs()[i];
        EXPECT_EQ(pair.layer, i / 5);
        EXPECT_EQ(static_cast<std::size_t>(pair.projection), i % 5);
        EXPECT_EQ(pair.scale, 1.5) << "alpha / r";
      }
      EXPECT_EQ(file.pairs()[3].b.shape, (std::vector<std::size_t>{6, 4})) << "delayed value";
      EXPECT_EQ(file.pairs()[4].a.shape, (std::vector<std::size_t>{4, 24})) << "o";
    }
  }
}

TEST_F(Adapter, NamesThatFitBothLayoutsAreTheCheckpointsOwn) {
  AdapterFiles o;
  o.add_layer(model(), Layout::native, 2, {Projection::o}, 1);
  o.config["target_modules"] = {"o_proj"};
  o.config["layers_to_transform"] = {2};
  EXPECT_EQ(open(o, Layout::native).pairs().at(0).layer, 2U);
  EXPECT_EQ(open(o, Layout::legacy).pairs().at(0).layer, 1U);
  o.add_layer(model(), Layout::native, 1, {Projection::o}, 1);
  o.config["layers_to_transform"] = {1, 2};
  EXPECT_EQ(open(o, Layout::legacy).pairs().at(1).layer, 2U) << "legacy layer 1 has no attention";
}

TEST_F(Adapter, ReadsThreeTypes) {
  AdapterFiles f = files();
  const DType types[] = {DType::f32, DType::bf16, DType::f16};
  std::size_t i = 0;
  for (auto& [name, t] : f.tensors) {
    t.dtype = types[i++ % 3];
    for (float& v : t.values) v = v < 0 ? -0.375F : 1.25F;
  }
  const AdapterFile file = open(f);
  for (const AdapterPair& pair : file.pairs()) {
    for (const TensorView* view : {&pair.a, &pair.b}) {
      for (const float v : to_floats(*view)) EXPECT_TRUE(v == -0.375F || v == 1.25F);
    }
  }
}

TEST_F(Adapter, RankAndScaleFollowTheConfig) {
  const auto config = [&](const char* text) {
    Json json = AdapterFiles().config;
    json.update(Json::parse(text));
    return AdapterConfig::parse(json, "adapter_config.json");
  };
  const char* q0 = "model.layers.0.self_attn.qkv_proj.q_proj";
  const char* o10 = "model.layers.10.self_attn.o_proj";
  EXPECT_EQ(config("{}").scale(q0), 1.5);
  EXPECT_EQ(config(R"({"use_rslora": true})").scale(q0), 3.0);
  EXPECT_EQ(config(R"({"lora_alpha": -0.5})").scale(q0), -0.125);
  const AdapterConfig patterns = config(R"({
    "rank_pattern": {"q_proj": 2, "^model.layers.10\\..*": 8, "proj": 3},
    "alpha_pattern": {"layers.1[0-9].self_attn.o_proj": 16, "o_proj": 1}})");
  EXPECT_EQ(patterns.rank(q0), 2U);
  EXPECT_EQ(patterns.scale(q0), 3.0);
  EXPECT_EQ(patterns.rank(o10), 8U);
  EXPECT_EQ(patterns.scale(o10), 2.0) << "the first pattern that matches";
  EXPECT_EQ(patterns.rank("model.layers.1.self_attn.o_proj"), 4U)
      << "a pattern covers whole parts of a name";
  EXPECT_EQ(patterns.scale("model.layers.1.self_attn.o_proj"), 0.25);
}

TEST_F(Adapter, TargetsAreNamesOrPatterns) {
  const auto target = [&](const char* text, const char* module) {
    Json json = AdapterFiles().config;
    json.update(Json::parse(text));
    return AdapterConfig::parse(json, "adapter_config.json").target(module);
  };
  const char* q0 = "model.layers.0.self_attn.qkv_proj.q_proj";
  const char* o1 = "model.layers.1.self_attn.o_proj";
  EXPECT_EQ(target("{}", q0), Target::yes);
  EXPECT_EQ(target(R"({"target_modules": ["proj"]})", q0), Target::no);
  EXPECT_EQ(target(R"({"target_modules": ["qkv_proj.q_proj"]})", q0), Target::yes);
  EXPECT_EQ(target(R"({"target_modules": ["model.layers.1.self_attn.o_proj"]})", o1), Target::yes);
  EXPECT_EQ(target(R"({"target_modules": ["model.layers.1.self_attn.o_proj"]})", q0), Target::no);
  EXPECT_EQ(target(R"({"target_modules": ".*layers\\.[01]\\..*(q|o)_proj"})", o1), Target::yes);
  EXPECT_EQ(target(R"({"target_modules": "o_proj"})", o1), Target::no) << "of the whole name";
  EXPECT_EQ(target(R"({"target_modules": "all-linear"})", o1), Target::unsaid);
  EXPECT_EQ(target(R"({"target_modules": null})", o1), Target::unsaid);
  EXPECT_EQ(target(R"({"exclude_modules": ["o_proj"]})", o1), Target::no);
  EXPECT_EQ(target(R"({"exclude_modules": ".*o_proj", "target_modules": "all-linear"})", o1),
            Target::no);
  EXPECT_EQ(target(R"({"layers_to_transform": [0, 2]})", o1), Target::no);
  EXPECT_EQ(target(R"({"layers_to_transform": 1, "layers_pattern": "layers"})", o1), Target::yes);
  EXPECT_EQ(target(R"({"layers_to_transform": []})", o1), Target::yes);
}

TEST_F(Adapter, RefusesWhatIsNotPlainLora) {
  EXPECT_TRUE(contains(config_refusal("peft_type", "LOHA"), "bad value for 'peft_type'"));
  EXPECT_TRUE(contains(refusal([](AdapterFiles& f) { f.config.erase("peft_type"); }),
                       "key 'peft_type' is missing"));
  EXPECT_TRUE(contains(config_refusal("use_dora", true), "DoRA is not supported"));
  EXPECT_TRUE(contains(config_refusal("use_qalora", true), "QALoRA"));
  EXPECT_TRUE(contains(config_refusal("lora_bias", true), "biases"));
  EXPECT_TRUE(contains(config_refusal("bias", "lora_only"), "biases"));
  EXPECT_TRUE(contains(config_refusal("modules_to_save", {"lm_head"}), "modules trained in full"));
  EXPECT_TRUE(contains(config_refusal("trainable_token_indices", {1, 2}), "embeddings"));
  EXPECT_TRUE(
      contains(config_refusal("trainable_token_indices", {{"embed_tokens", {1}}}), "embeddings"));
  EXPECT_TRUE(contains(config_refusal("target_parameters", {"experts.gate_up_proj"}),
                       "only the q, k, v and o projections"));
  EXPECT_TRUE(contains(config_refusal("layer_replication", {{0, 2}}), "other layers"));
  EXPECT_TRUE(contains(config_refusal("alora_invocation_tokens", {5}), "activated LoRA"));
  EXPECT_TRUE(contains(config_refusal("arrow_config", {{"k", 1}}), "Arrow"));
  for (const char* changes_the_base : {"pissa", "pissa_niter_4", "olora", "corda", "loftq"}) {
    EXPECT_TRUE(
        contains(config_refusal("init_lora_weights", changes_the_base), "another base model"));
  }
  EXPECT_EQ(config_refusal("init_lora_weights", "gaussian"), "no error");
  EXPECT_EQ(config_refusal("init_lora_weights", false), "no error");
  EXPECT_EQ(config_refusal("modules_to_save", Json::array()), "no error");
}

TEST_F(Adapter, RefusesAbsurdValues) {
  for (const Json& r : {Json(0), Json(-1), Json(1 << 20), Json(2.5), Json("4"), Json()}) {
    EXPECT_TRUE(contains(config_refusal("r", r), "'r'")) << r;
  }
  EXPECT_TRUE(contains(config_refusal("lora_alpha", 1e300), "'lora_alpha'"));
  EXPECT_TRUE(contains(config_refusal("lora_alpha", "x"), "'lora_alpha'"));
  EXPECT_TRUE(contains(config_refusal("rank_pattern", {{"q_proj", 0.5}}), "'q_proj'"));
  EXPECT_TRUE(contains(config_refusal("rank_pattern", {{"q_proj", 0}}), "'q_proj'"));
  EXPECT_TRUE(contains(config_refusal("rank_pattern", {1}), "rank_pattern: wrong JSON type"));
  EXPECT_TRUE(contains(config_refusal("alpha_pattern", {{"q_(proj", 1}}), "not understood"));
  EXPECT_TRUE(contains(config_refusal("target_modules", "(?!x).*"), "without look-around"));
  EXPECT_TRUE(contains(config_refusal("target_modules", std::string(5000, 'a')), "not understood"));
  EXPECT_TRUE(contains(config_refusal("target_modules", {1}), "'target_modules'"));
  EXPECT_TRUE(contains(config_refusal("exclude_modules", 3), "'exclude_modules'"));
  EXPECT_TRUE(contains(config_refusal("layers_to_transform", {-1}), "'layers_to_transform'"));
  EXPECT_TRUE(contains(config_refusal("layers_pattern", "blocks"), "'layers'"));
  EXPECT_TRUE(contains(refusal([](AdapterFiles& f) {
                         f.config["target_modules"] = ".*";
                         f.config["layers_to_transform"] = {1};
                       }),
                       "'layers_to_transform'"));
  EXPECT_TRUE(contains(config_refusal("use_rslora", 1), "'use_rslora'"));
}

TEST_F(Adapter, RefusesTensorsOfOtherModulesByName) {
  const auto with = [&](const std::string& name) {
    return refusal([&](AdapterFiles& f) { f.tensors[name] = {{2}, {1, 2}}; });
  };
  const std::string layer = "base_model.model.model.layers.1.";
  EXPECT_TRUE(contains(with(layer + "mlp.experts.lora_A.weight"),
                       "adapter_model.safetensors: \"" + layer +
                           "mlp.experts.lora_A.weight\": adapters of experts are not supported"));
  EXPECT_TRUE(contains(with(layer + "zaya_block.experts.local_experts.1.linear_fc1.lora_B.weight"),
                       "adapters of experts are not supported"));
  EXPECT_TRUE(contains(with(layer + "mlp.gate.down_proj.lora_A.weight"), "adapters of the router"));
  EXPECT_TRUE(contains(with(layer + "zaya_block.router.down_proj.lora_A.weight"),
                       "adapters of the router"));
  EXPECT_TRUE(contains(with("base_model.model.model.embed_tokens.lora_embedding_A"),
                       "adapters of the embedding"));
  EXPECT_TRUE(contains(with("base_model.model.lm_head.lora_A.weight"), "adapters of the head"));
  EXPECT_TRUE(contains(with(layer + "self_attn.qkv_proj.q_proj.lora_magnitude_vector"), "DoRA"));
  EXPECT_TRUE(contains(with(layer + "self_attn.qkv_proj.conv_qk_grouped.lora_A.weight"),
                       "adapters of convolutions"));
  EXPECT_TRUE(contains(with(layer + "self_attn.qkv_proj.q_proj.lora_B.bias"), "trained biases"));
  EXPECT_TRUE(contains(with("base_model.model.model.layers.3.self_attn.o_proj.lora_A.weight"),
                       "not a tensor of an adapter for this model"));
  EXPECT_TRUE(contains(with("model.layers.1.self_attn.o_proj.lora_A.weight"),
                       "not a tensor of an adapter for this model"));
  // One of the other layout among many of one.
  EXPECT_TRUE(contains(with("base_model.model.model.layers.4.self_attn.qkv.linear_q.lora_A.weight"),
                       "linear_q.lora_A.weight\": not a tensor of an adapter for this model"));
  EXPECT_TRUE(
      contains(refusal([](AdapterFiles& f) { f.tensors.clear(); }), "no tensor is an adapter's"));
}

TEST_F(Adapter, RefusesHalfPairsWrongShapesAndTypes) {
  EXPECT_TRUE(contains(refusal([](AdapterFiles& f) { f.tensors.erase(kQ); }),
                       std::string(kQ) + "\": half a pair is missing"));
  EXPECT_TRUE(contains(refusal([](AdapterFiles& f) { f.tensors.erase(kO); }),
                       std::string(kO) + "\": half a pair is missing"));
  EXPECT_TRUE(contains(refusal([](AdapterFiles& f) {
                         f.tensors.erase(kO);
                         f.tensors.erase(
                             "base_model.model.model.layers.1.self_attn.o_proj.lora_A"
                             ".weight");
                       }),
                       "tensor is missing, and the config names its module"));
  EXPECT_TRUE(contains(config_refusal("exclude_modules", {"o_proj"}),
                       "the config does not name this module"));
  EXPECT_TRUE(contains(config_refusal("r", 3), "wrong shape: expected [3, 24], found [4, 24]"));
  EXPECT_TRUE(contains(refusal([](AdapterFiles& f) {
                         f.tensors[kO] = {{4, 24}, std::vector<float>(96)};
                       }),
                       "wrong shape: expected [24, 4], found [4, 24]"));
  EXPECT_TRUE(contains(refusal([](AdapterFiles& f) { f.tensors[kQ].dtype = DType::f64; }),
                       "wrong type: expected F32, BF16 or F16, found F64"));
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    EXPECT_TRUE(contains(refusal([&](AdapterFiles& f) { f.tensors[kQ].values[7] = bad; }),
                         "a value is not a finite number"));
  }
}

TEST_F(Adapter, SaysWhichFileIsMissing) {
  const auto open_folder = [&] { AdapterFile(folder_, model(), Layout::native); };
  EXPECT_TRUE(contains(message_of(open_folder), "adapter_model.safetensors"));
  put(folder_ / "adapter_model.bin", "x");
  EXPECT_TRUE(contains(message_of(open_folder), "save it again as safetensors"));
  files().write(folder_);
  std::filesystem::remove(folder_ / AdapterFile::kConfig);
  EXPECT_TRUE(contains(message_of(open_folder), "adapter_config.json"));
  put(folder_ / AdapterFile::kConfig, "{\"peft_type\": ");
  EXPECT_TRUE(contains(message_of(open_folder), "not valid JSON"));
}

}  // namespace
}  // namespace zaya
