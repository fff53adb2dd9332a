// Gradients against those recorded from the reference implementation.
#include <algorithm>
#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "checkpoint/safetensors.h"
#include "train/model.h"

namespace zaya::train {
namespace {

const std::string kGolden = std::string(ZAYA_TEST_DATA) + "/goldens/native";

PackedBatch recorded_batch(const SafetensorsFile& file) {
  const TensorView& ids = file.tensor("input_ids");
  const auto* data = reinterpret_cast<const std::int64_t*>(ids.data);
  PackedBatch batch;
  for (std::size_t row = 0; row < ids.shape[0]; ++row) {
    batch.add(std::vector<TokenId>(data + row * ids.shape[1], data + (row + 1) * ids.shape[1]));
  }
  return batch;
}

template <class T>
void expect_recorded_gradients(Isa isa, bool recompute, double tolerance) {
  const Checkpoint checkpoint = Checkpoint::open(kGolden);
  const SafetensorsFile recorded(kGolden + "/gradients.safetensors");
  ThreadPool pool(2);
  Model<T> model(checkpoint.config(), {.recompute = recompute}, kernels_of(isa), GemmKind::f32,
                 pool);
  model.load(checkpoint);
  const PackedBatch batch = recorded_batch(recorded);
  const auto targets = static_cast<double>(batch.target_count());
  const double loss = model.forward_backward(batch, static_cast<T>(1 / targets)) / targets;
  EXPECT_NEAR(loss, to_floats(recorded.tensor("loss"))[0], 1e-5);
  std::size_t compared = 0;
  for (const TensorInfo& t : model.layout()) {
    if (t.balancing()) continue;
    ASSERT_TRUE(recorded.has(t.name)) << t.name;
    const std::vector<float> want = to_floats(recorded.tensor(t.name));
    ASSERT_EQ(want.size(), t.elements) << t.name;
    double difference = 0;
    double size = 0;
    for (std::size_t i = 0; i < t.elements; ++i) {
      const double got = static_cast<double>(model.gradients()[t.offset + i]);
      difference = std::max(difference, std::abs(got - static_cast<double>(want[i])));
      size = std::max(size, std::abs(static_cast<double>(want[i])));
    }
    EXPECT_LE(difference, tolerance * size) << t.name << " of size " << size;
    ++compared;
  }
  EXPECT_EQ(compared + checkpoint.config().layers, model.layout().size());
}

class RecordedGradients : public testing::TestWithParam<Isa> {};

TEST_P(RecordedGradients, MatchForEveryParameter) {
  expect_recorded_gradients<float>(GetParam(), false, 1e-4);
}

TEST_P(RecordedGradients, MatchWhenRecomputed) {
  expect_recorded_gradients<float>(GetParam(), true, 1e-4);
}

TEST(Gradients, MatchInDoublePrecision) {
  expect_recorded_gradients<double>(Isa::scalar, false, 1e-4);
}

INSTANTIATE_TEST_SUITE_P(EveryIsa, RecordedGradients, testing::ValuesIn(host_isas()),
                         [](const auto& isa) { return std::string(isa_name(isa.param)); });

}  // namespace
}  // namespace zaya::train
