#include "checkpoint/init.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/file.h"
#include "checkpoint/checkpoint.h"
#include "tests/checkpoint/helpers.h"

namespace zaya {
namespace {

TEST(DrawNormal, HasTheMomentsOfANormal) {
  std::vector<float> draws(4'000'000);
  draw_normal(1, "w", 0, 2.0F, draws);
  double sums[5] = {};
  int beyond_two = 0;
  for (const float x : draws) {
    const double z = x / 2.0;
    for (int k = 1; k <= 4; ++k) sums[k] += std::pow(z, k);
    beyond_two += std::abs(z) > 2 ? 1 : 0;
  }
  const auto n = static_cast<double>(draws.size());
  EXPECT_NEAR(sums[1] / n, 0, 0.002);
  EXPECT_NEAR(sums[2] / n, 1, 0.003);
  EXPECT_NEAR(sums[3] / n, 0, 0.008);
  EXPECT_NEAR(sums[4] / n, 3, 0.03);
  EXPECT_NEAR(beyond_two / n, 0.0455, 0.0005);
  EXPECT_LE(*std::max_element(draws.begin(), draws.end()), 8.0F);
}

TEST(DrawNormal, DependsOnSeedNameAndElementOnly) {
  std::vector<float> whole(101);
  draw_normal(7, "a", 0, 1, whole);
  for (std::size_t first : {0, 1, 2, 37}) {
    for (std::size_t n : {0, 1, 2, 63, 64}) {
      std::vector<float> piece(n);
      draw_normal(7, "a", first, 1, piece);
      EXPECT_TRUE(std::equal(piece.begin(), piece.end(), whole.begin() + static_cast<long>(first)))
          << first << " " << n;
    }
  }
  std::vector<float> other(101);
  draw_normal(8, "a", 0, 1, other);
  EXPECT_NE(other, whole);
  draw_normal(7, "b", 0, 1, other);
  EXPECT_NE(other, whole);
}

class Init : public FolderTest {
 protected:
  Checkpoint make(const std::string& name, DType dtype, std::uint64_t seed,
                  std::uint64_t max_shard = kDefaultShardBytes) const {
    const ConfigFile config = read_config(golden("legacy-sliding"));
    init_checkpoint(config.model, folder_ / name,
                    {.seed = seed, .dtype = dtype, .max_shard_bytes = max_shard, .text_from = {}});
    return Checkpoint::open(folder_ / name);
  }

  static std::vector<float> floats(const Checkpoint& checkpoint, const std::string& name) {
    const TensorView& view = checkpoint.tensor(name);
    EXPECT_EQ(view.dtype, DType::f32);
    const auto* data = reinterpret_cast<const float*>(view.data);
    return {data, data + view.elements()};
  }
};

TEST_F(Init, StartsEveryKindOfTensorAsItShould) {
  const Checkpoint c = make("f32", DType::f32, 3);
  EXPECT_EQ(c.config_file().dialect, "native");
  EXPECT_EQ(c.config_file().dtype, "float32");
  EXPECT_EQ(c.config().window, 7U);
  const std::string layer = "model.layers.1.";
  for (const char* ones : {"input_layernorm.weight", "post_attention_layernorm.weight",
                           "self_attn.qk_norm.temp", "mlp.gate.router_mlp.norm.weight",
                           "mlp.gate.router_states_scale", "post_mlp_residual_scale.residual_scale",
                           "post_attention_residual_scale.hidden_states_scale"}) {
    for (const float x : floats(c, layer + ones)) ASSERT_EQ(x, 1.0F) << ones;
  }
  for (const char* zeros :
       {"self_attn.qkv_proj.conv_qk_grouped.bias", "mlp.gate.down_proj.bias",
        "mlp.gate.router_mlp.fc1.bias", "post_mlp_residual_scale.residual_bias"}) {
    for (const float x : floats(c, layer + zeros)) ASSERT_EQ(x, 0.0F) << zeros;
  }
  EXPECT_EQ(floats(c, "model.norm.weight")[0], 1.0F);
  EXPECT_EQ(floats(c, "model.input_hidden_states_scale")[0], 1.0F);
  EXPECT_EQ(floats(c, "model.input_hidden_states_bias")[0], 0.0F);
  EXPECT_EQ(floats(c, layer + "mlp.gate.balancing_biases"), (std::vector<float>{0, 0, 0, 0, -1}));
  for (const char* random :
       {"self_attn.o_proj.weight", "self_attn.qkv_proj.conv_qk_depthwise.weight",
        "mlp.experts.3.down_proj", "mlp.gate.router_mlp.out_proj.weight"}) {
    double squares = 0;
    const auto values = floats(c, layer + random);
    for (const float x : values) squares += x * x;
    EXPECT_NEAR(std::sqrt(squares / static_cast<double>(values.size())), 0.02, 0.004) << random;
  }
  EXPECT_NE(floats(c, layer + "mlp.experts.2.down_proj"),
            floats(c, layer + "mlp.experts.3.down_proj"));
}

TEST_F(Init, ClampedTemperaturesAreLogarithms) {
  ModelConfig config = read_config(golden("native")).model;
  config.clamp_temp = true;
  init_checkpoint(config, folder_ / "out", {.seed = 0, .dtype = DType::f32, .text_from = {}});
  EXPECT_EQ(floats(Checkpoint::open(folder_ / "out"), "model.layers.0.self_attn.qk_norm.temp")[0],
            0);
}

TEST_F(Init, SameSeedSameWeightsHoweverTheyAreSplit) {
  const Checkpoint a = make("a", DType::f32, 5);
  const Checkpoint b = make("b", DType::f32, 5, 1'000'000);
  const Checkpoint c = make("c", DType::f32, 6);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "b" / "model.safetensors.index.json"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "b" / "model.safetensors"));
  for (const std::string& name : a.names())
    EXPECT_TRUE(same(a.tensor(name), b.tensor(name))) << name;
  EXPECT_FALSE(same(a.tensor("model.embed_tokens.weight"), c.tensor("model.embed_tokens.weight")));
}

TEST_F(Init, Bf16IsF32Rounded) {
  const Checkpoint wide = make("wide", DType::f32, 5);
  const Checkpoint narrow = make("narrow", DType::bf16, 5);
  const TensorView& view = narrow.tensor("model.layers.2.mlp.experts.1.gate_up_proj");
  ASSERT_EQ(view.dtype, DType::bf16);
  const auto expected = floats(wide, "model.layers.2.mlp.experts.1.gate_up_proj");
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(reinterpret_cast<const bf16*>(view.data)[i].bits, to_bf16(expected[i]).bits);
  }
  EXPECT_EQ(narrow.tensor("model.layers.2.mlp.gate.balancing_biases").dtype, DType::f32);
}

TEST_F(Init, CopiesTextFilesWhenAsked) {
  std::filesystem::create_directory(folder_ / "text");
  put(folder_ / "text" / "tokenizer.json", "{}");
  init_checkpoint(read_config(golden("native")).model, folder_ / "out",
                  {.dtype = DType::f32, .text_from = folder_ / "text"});
  EXPECT_EQ(read_file(folder_ / "out" / "tokenizer.json"), "{}");
  EXPECT_TRUE(contains(message_of([&] {
                         init_checkpoint(read_config(golden("native")).model, folder_ / "out2",
                                         {.dtype = DType::f32, .text_from = folder_ / "gone"});
                       }),
                       "gone: cannot list"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out2"));
}

}  // namespace
}  // namespace zaya
