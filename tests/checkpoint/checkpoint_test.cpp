#include "checkpoint/checkpoint.h"

#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "checkpoint/layout.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

fs::path golden(const std::string& name) {
  return fs::path(ZAYA_TEST_DATA) / "goldens" / name;
}

bool same(const TensorView& a, const TensorView& b) {
  return a.dtype == b.dtype && a.shape == b.shape && std::memcmp(a.data, b.data, a.bytes()) == 0;
}

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

}  // namespace
}  // namespace zaya
