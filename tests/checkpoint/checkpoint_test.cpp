#include "checkpoint/checkpoint.h"

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "tests/checkpoint/helpers.h"

namespace zaya {
namespace {

struct Expected {
  const char* folder;
  const char* dialect;
  std::size_t layers, heads, kv_heads, head_dim, experts, width, router, window;
  double theta;
};

class Goldens : public testing::TestWithParam<Expected> {};

TEST_P(Goldens, OpenWithTheirNumbers) {
  const Expected e = GetParam();
  const Checkpoint checkpoint = Checkpoint::open(golden(e.folder));
  const ModelConfig& c = checkpoint.config();
  EXPECT_EQ(checkpoint.config_file().dialect, e.dialect);
  EXPECT_EQ(c.layers, e.layers);
  EXPECT_EQ(c.heads, e.heads);
  EXPECT_EQ(c.kv_heads, e.kv_heads);
  EXPECT_EQ(c.head_dim, e.head_dim);
  EXPECT_EQ(c.experts, e.experts);
  EXPECT_EQ(c.expert_width, e.width);
  EXPECT_EQ(c.router_hidden, e.router);
  EXPECT_EQ(c.window, e.window);
  EXPECT_EQ(c.rope.theta, e.theta);
  EXPECT_EQ(c.sliding_rope.theta, 1e4);
  EXPECT_EQ(c.eos, std::vector<TokenId>{1});
  EXPECT_TRUE(c.tied_head);
  ASSERT_EQ(c.sliding.size(), c.layers);
  for (std::size_t i = 0; i < c.layers; ++i) EXPECT_EQ(c.sliding[i], e.window != 0 && i % 2 == 1);
  EXPECT_EQ(c.skip_adds_input, checkpoint.config_file().layout == Layout::legacy);
  const auto& expert = checkpoint.tensor("model.layers.1.mlp.experts.2.gate_up_proj");
  EXPECT_EQ(expert.shape, (std::vector<std::size_t>{2 * c.expert_width, c.hidden}));
  EXPECT_TRUE(checkpoint.has("model.layers.1.mlp.gate.router_states_scale"));
  EXPECT_FALSE(checkpoint.has("model.layers.0.mlp.gate.router_states_scale"));
}

INSTANTIATE_TEST_SUITE_P(
    All, Goldens,
    testing::Values(Expected{"native", "native", 4, 4, 2, 32, 4, 64, 24, 0, 5e6},
                    Expected{"legacy", "legacy", 4, 4, 2, 32, 4, 64, 24, 0, 5e6},
                    Expected{"native-sliding", "native", 4, 6, 2, 32, 4, 64, 24, 7, 5e6},
                    Expected{"legacy-sliding", "legacy", 4, 6, 2, 32, 4, 64, 24, 7, 5e6},
                    Expected{"base-schema", "base", 4, 4, 2, 16, 4, 64, 24, 0, 1e6},
                    Expected{"native-bf16", "native", 3, 8, 2, 128, 16, 64, 32, 0, 5e6}),
    [](const auto& test) {
      std::string name = test.param.folder;
      for (char& c : name) {
        if (c == '-') c = '_';
      }
      return name;
    });

TEST(Checkpoint, NativeAndLegacyHoldTheSameTensors) {
  for (const std::string suffix : {"", "-sliding"}) {
    const Checkpoint native = Checkpoint::open(golden("native" + suffix));
    const Checkpoint legacy = Checkpoint::open(golden("legacy" + suffix));
    ASSERT_EQ(native.names(), legacy.names());
    for (const std::string& name : native.names()) {
      EXPECT_TRUE(same(native.tensor(name), legacy.tensor(name))) << name;
    }
    EXPECT_EQ(native.bytes(), legacy.bytes());
  }
}

/// A golden checkpoint's tensors, to be stored again with changes.
class CheckpointFolder : public FolderTest {
 protected:
  struct Stored {
    TensorSpec spec;
    std::string data;
  };

  void SetUp() override {
    FolderTest::SetUp();
    const SafetensorsFile file(golden("native") / "model.safetensors");
    for (const std::string& name : file.names()) {
      const TensorView& view = file.tensor(name);
      tensors_[name] = {{name, view.dtype, view.shape},
                        {reinterpret_cast<const char*>(view.data), view.bytes()}};
    }
    put(folder_ / "config.json", read_file(golden("native") / "config.json"));
  }

  void write(const std::string& file, const std::function<bool(const std::string&)>& choose) const {
    std::vector<TensorSpec> specs;
    for (const auto& [name, stored] : tensors_) {
      if (choose(name)) specs.push_back(stored.spec);
    }
    SafetensorsWriter writer(folder_ / file, specs);
    for (const TensorSpec& spec : writer.tensors()) {
      writer.append(std::as_bytes(std::span(tensors_.at(spec.name).data)));
    }
    writer.commit();
  }

  void write_all() const {
    write("model.safetensors", [](const std::string&) { return true; });
  }

  void add(const std::string& name, DType dtype, std::vector<std::size_t> shape) {
    const TensorSpec spec{name, dtype, std::move(shape)};
    tensors_[name] = {spec, std::string(spec.bytes(), '\0')};
  }

  std::string refusal() const {
    return message_of([&] { Checkpoint::open(folder_); });
  }

  /// Two shards, layers 0 and 1 in the first, and their index.
  void write_shards() const {
    const auto first = [](const std::string& name) {
      return name.starts_with("model.layers.0.") || name.starts_with("model.layers.1.");
    };
    write("a.safetensors", first);
    write("b.safetensors", [&](const std::string& name) { return !first(name); });
    nlohmann::json map;
    for (const auto& [name, stored] : tensors_) {
      map[name] = first(name) ? "a.safetensors" : "b.safetensors";
    }
    write_index(map);
  }

  void write_index(const nlohmann::json& map) const {
    put(folder_ / "model.safetensors.index.json", nlohmann::json{{"weight_map", map}}.dump());
  }

  nlohmann::json index_map() const {
    return nlohmann::json::parse(read_file(folder_ / "model.safetensors.index.json"))["weight_map"];
  }

  std::map<std::string, Stored> tensors_;
};

TEST_F(CheckpointFolder, MissingSurplusAndMisshapenAreNamed) {
  tensors_.erase("model.norm.weight");
  add("model.layers.0.extra\n", DType::f32, {3});
  add("model.layers.1.self_attn.o_proj.weight", DType::f32, {128, 96});
  add("model.layers.2.input_layernorm.weight", DType::i32, {96});
  write_all();
  const std::string message = refusal();
  EXPECT_TRUE(contains(message, "4 tensors are not as config.json has it"));
  EXPECT_TRUE(contains(message, "model.norm.weight [96] is missing"));
  EXPECT_TRUE(contains(message, R"("model.layers.0.extra\n" [3] is surplus)"));
  EXPECT_TRUE(contains(
      message, "model.layers.1.self_attn.o_proj.weight should be [96, 128] and is [128, 96]"));
  EXPECT_TRUE(contains(
      message, "model.layers.2.input_layernorm.weight should be F32, BF16 or F16 and is I32"));
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

TEST_F(CheckpointFolder, ManyProblemsAreCounted) {
  std::erase_if(tensors_,
                [](const auto& item) { return item.first.starts_with("model.layers.3."); });
  write_all();
  const std::string message = refusal();
  EXPECT_TRUE(contains(message, "32 tensors are not"));
  EXPECT_TRUE(contains(message, "; and 24 more"));
}

TEST_F(CheckpointFolder, RedundantTensorsAreNoted) {
  add("model.layers.0.self_attn.rotary_emb.inv_freq", DType::f32, {8});
  tensors_["lm_head.weight"] = tensors_.at("model.embed_tokens.weight");
  tensors_["lm_head.weight"].spec.name = "lm_head.weight";
  write_all();
  const Checkpoint checkpoint = Checkpoint::open(folder_);
  ASSERT_EQ(checkpoint.config_file().notes.size(), 1U);
  EXPECT_TRUE(contains(checkpoint.config_file().notes[0], "2 redundant tensors are ignored"));
  EXPECT_FALSE(checkpoint.has("lm_head.weight"));
  EXPECT_TRUE(contains(message_of([&] { checkpoint.tensor("lm_head.weight"); }),
                       "has no tensor \"lm_head.weight\""));
}

TEST_F(CheckpointFolder, HalfPrecisionIsAccepted) {
  add("model.norm.weight", DType::f16, {96});
  write_all();
  EXPECT_EQ(Checkpoint::open(folder_).tensor("model.norm.weight").dtype, DType::f16);
}

TEST_F(CheckpointFolder, ShardsAreOneCheckpoint) {
  write_shards();
  const Checkpoint checkpoint = Checkpoint::open(folder_);
  const Checkpoint whole = Checkpoint::open(golden("native"));
  ASSERT_EQ(checkpoint.names(), whole.names());
  for (const std::string& name : whole.names()) {
    EXPECT_TRUE(same(checkpoint.tensor(name), whole.tensor(name))) << name;
  }
}

TEST_F(CheckpointFolder, ShardsMustAgreeWithTheirIndex) {
  write_shards();
  const nlohmann::json good = index_map();
  nlohmann::json map = good;
  map["model.norm.weight"] = "a.safetensors";
  write_index(map);
  EXPECT_TRUE(contains(refusal(), "a.safetensors: has no tensor \"model.norm.weight\""));
  map = good;
  map.erase("model.norm.weight");
  write_index(map);
  EXPECT_TRUE(contains(refusal(), "b.safetensors: holds tensor \"model.norm.weight\", which"));
  map["model.norm.weight"] = "gone.safetensors";
  write_index(map);
  EXPECT_TRUE(contains(refusal(), "b.safetensors: holds tensor \"model.norm.weight\", which"));
  // The same tensor in two shards.
  write_index(good);
  write("a.safetensors", [](const std::string& name) {
    return name.starts_with("model.layers.0.") || name.starts_with("model.layers.1.") ||
           name == "model.norm.weight";
  });
  EXPECT_TRUE(contains(refusal(), "a.safetensors: holds tensor \"model.norm.weight\", which"));
  std::filesystem::remove(folder_ / "a.safetensors");
  EXPECT_TRUE(contains(refusal(), "a.safetensors: cannot open"));
}

TEST_F(CheckpointFolder, IndexIsHeldToThisFolder) {
  write_shards();
  for (const nlohmann::json& bad :
       {nlohmann::json("../b.safetensors"), nlohmann::json("/etc/passwd"), nlohmann::json(5),
        nlohmann::json("b.bin")}) {
    nlohmann::json map = index_map();
    map["model.norm.weight"] = bad;
    put(folder_ / "model.safetensors.index.json", nlohmann::json{{"weight_map", map}}.dump());
    EXPECT_TRUE(contains(refusal(), "is not in a .safetensors file of this folder")) << bad;
  }
  const auto index = [&](const std::string& text) {
    put(folder_ / "model.safetensors.index.json", text);
    return refusal();
  };
  EXPECT_TRUE(contains(index("{"), "not valid JSON"));
  EXPECT_TRUE(contains(index("[]"), "has no weight_map"));
  EXPECT_TRUE(contains(index(R"({"weight_map":{}})"), "has no weight_map"));
  EXPECT_TRUE(contains(index(R"({"weight_map":{"a":"b","a":"c"}})"), "\"a\" appears twice"));
  EXPECT_TRUE(contains(index(std::string(100'000, '[')), "nested too deeply"));
}

TEST_F(CheckpointFolder, FilesMustBeThere) {
  EXPECT_TRUE(contains(refusal(), "holds no weights: expected model.safetensors or"));
  std::filesystem::remove(folder_ / "config.json");
  EXPECT_TRUE(contains(refusal(), "config.json: cannot open"));
}

TEST_F(CheckpointFolder, HugeConfigIsRefused) {
  put(folder_ / "config.json", std::string(300'000, ' '));
  EXPECT_TRUE(contains(refusal(), "file is too large"));
}

}  // namespace
}  // namespace zaya
