#include "checkpoint/summary.h"

#include <gtest/gtest.h>

#include "tests/checkpoint/helpers.h"

namespace zaya {
namespace {

TEST(Summary, StateOfTheReleasedModel) {
  const ModelConfig config =
      read_config_file(std::filesystem::path(ZAYA_TEST_DATA) / "configs" / "zaya1-8b-native.json")
          .model;
  const StateSize size = state_size(config);
  EXPECT_EQ(size.token_elements, 20'480U);  // 40 KiB a token in bf16
  EXPECT_EQ(size.sequence_bytes, 40U * 4 * (2 * 1280 + 128));
  EXPECT_EQ(size.bytes(config, 131'072, 2), size.sequence_bytes + 5'368'709'120U);
}

TEST(Summary, SlidingLayersKeepTheirWindowOnly) {
  const ModelConfig config = read_config(golden("native-sliding")).model;
  const StateSize size = state_size(config);
  // 2 full and 2 sliding layers of 2 x 64 values; window 7.
  EXPECT_EQ(size.bytes(config, 100, 4) - size.sequence_bytes, 4U * 128 * (2 * 100 + 2 * 7));
  EXPECT_EQ(size.bytes(config, 5, 4) - size.sequence_bytes, 4U * 128 * (4 * 5));
}

TEST(Summary, CountsByType) {
  const Checkpoint checkpoint = Checkpoint::open(golden("native-bf16"));
  const auto sums = type_sums(checkpoint);
  EXPECT_EQ(sums.at("F32").tensors, 3U);  // the balancing biases
  EXPECT_EQ(sums.at("F32").bytes + sums.at("BF16").bytes, checkpoint.bytes());
}

}  // namespace
}  // namespace zaya
