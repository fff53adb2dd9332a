// Training against training: losses recorded from PyTorch by record_curve.py.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
#include "train/balancer.h"
#include "train/model.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace zaya::train {
namespace {

const std::string kData = ZAYA_TEST_DATA;

class Draws {
 public:
  explicit Draws(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return state_ >> 33;
  }

 private:
  std::uint64_t state_;
};

/// start() of record_curve.py.
void start(Model<float>& model) {
  std::map<std::string, TensorInfo> by_name;
  for (const TensorInfo& t : model.layout()) by_name.emplace(t.name, t);
  std::uint64_t index = 0;
  for (const auto& [name, t] : by_name) {
    Draws draws(++index);
    float* values = model.parameters().data() + t.offset;
    if (t.balancing()) {
      values[t.elements - 1] = -1;
    } else if (name.ends_with("_scale") || name.ends_with("norm.weight") ||
               name.ends_with(".temp")) {
      std::fill_n(values, t.elements, 1.0F);
    } else if (!name.ends_with("bias")) {
      for (std::size_t i = 0; i < t.elements; ++i) {
        values[i] = static_cast<float>(0.06 * (static_cast<double>(draws.next()) / 0x1p30 - 1));
      }
    }
  }
}

/// rule() of record_curve.py.
PackedBatch rule(std::uint64_t step, std::uint64_t vocab, int documents, int length) {
  Draws draws(step * 7919 + 12345);
  const auto draw = [&](std::uint64_t n) { return draws.next() % n; };
  PackedBatch batch;
  for (int d = 0; d < documents; ++d) {
    std::uint64_t token = draw(vocab);
    const std::uint64_t stride = 1 + draw(2);
    std::vector<TokenId> document;
    for (int i = 0; i < length; ++i) {
      document.push_back(static_cast<TokenId>(token));
      token = draw(10) == 0 ? draw(vocab) : (token + stride) % vocab;
    }
    batch.add(document);
  }
  return batch;
}

struct CurveCase {
  bool muon;
  GemmKind kind;
};

class RecordedCurve : public testing::TestWithParam<CurveCase> {};

TEST_P(RecordedCurve, IsFollowed) {
  const auto [muon, kind] = GetParam();
  const Json record = read_json_file(kData + "/training/curve.json");
  const auto want = record.at(muon ? "muon" : "adamw").get<std::vector<double>>();
  const ModelConfig config = read_config(kData + "/goldens/native").model;
  const Kernels& kernels = kernels_of(selected_isa());
  ThreadPool pool(2);
  Model<float> model(config, {}, kernels, kind, pool);
  start(model);
  Optimizer optimizer({.muon = muon, .weight_decay = record.at("weight_decay")}, model.layout(),
                      kernels, kind, pool);
  Balancer balancer({.rate = record.at("balance_rate")}, config.layers, config.experts,
                    config.classes());
  const Schedule schedule{.kind = ScheduleKind::cosine,
                          .peak = record.at("rate"),
                          .final = record.at("final_rate"),
                          .warmup = record.at("warmup"),
                          .steps = record.at("steps")};
  std::vector<float*> biases;
  for (const auto& layer : model.tensors().layers) biases.push_back(layer.balancing);

  ASSERT_EQ(want.size(), 200U);
  // Products of bf16 lead a few per cent away where the loss falls fast, and back.
  const double bound = kind == GemmKind::f32 ? 0.01 : 0.05;
  double sum = 0;
  double wanted = 0;
  for (std::size_t step = 0; step < want.size(); ++step) {
    const PackedBatch batch =
        rule(step, config.vocab / 8, record.at("documents"), record.at("length"));
    std::fill(model.gradients().begin(), model.gradients().end(), 0.0F);
    for (auto& load : model.loads()) std::fill(load.begin(), load.end(), 0);
    const auto targets = static_cast<double>(batch.target_count());
    const double loss = model.forward_backward(batch, static_cast<float>(1 / targets)) / targets;
    optimizer.step(model.parameters(), model.gradients(), schedule.rate(step));
    balancer.update(model.loads(), biases);
    ASSERT_NEAR(loss, want[step], bound * want[step]) << "step " << step + 1;
    sum += loss;
    wanted += want[step];
  }
  EXPECT_NEAR(sum, wanted, 0.01 * wanted);
  EXPECT_LT(want.back(), 0.25 * want.front());
}

INSTANTIATE_TEST_SUITE_P(EveryOptimizer, RecordedCurve,
                         testing::Values(CurveCase{false, GemmKind::f32},
                                         CurveCase{true, GemmKind::f32},
                                         CurveCase{false, GemmKind::bf16},
                                         CurveCase{true, GemmKind::bf16}),
                         [](const auto& c) {
                           return std::string(c.param.muon ? "muon" : "adamw") +
                                  (c.param.kind == GemmKind::f32 ? "_f32" : "_bf16");
                         });

}  // namespace
}  // namespace zaya::train
