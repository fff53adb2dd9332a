// The bytes and operations of a step against counts taken from the checkpoint and by hand.
#include "engine/step_cost.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "engine/runner.h"

namespace zaya {
namespace {

std::shared_ptr<const Checkpoint> open(const std::string& name) {
  return std::make_shared<const Checkpoint>(
      Checkpoint::open(std::filesystem::path(ZAYA_TEST_DATA) / "goldens" / name));
}

Runner make_runner(const std::string& name, Compute compute = Compute::f32) {
  return {open(name), {.compute = compute, .threads = 1}};
}

ExpertUse all_experts(const ModelConfig& config, std::size_t rows) {
  ExpertUse use(config);
  for (std::size_t layer = 0; layer < config.layers; ++layer) {
    for (std::size_t e = 0; e < config.experts; ++e) use.add(layer, e, rows);
  }
  return use;
}

double as_double(std::size_t n) {
  return static_cast<double>(n);
}

TEST(StepCost, AStepThatTouchesEverythingReadsTheWholeCheckpoint) {
  // In f32 a checkpoint of f32 is held as it is stored, and a tied head is the embedding.
  const Runner runner = make_runner("native");
  const ModelConfig& config = runner.config();
  ASSERT_TRUE(config.tied_head);
  const StepPart part{.position = 0, .tokens = 1, .logits = 1};
  const StepCost cost = step_cost(runner.model(), {&part, 1}, all_experts(config, 1), config.vocab);
  const double looked_up = as_double(config.hidden * sizeof(float));
  EXPECT_EQ(cost.weight_bytes, as_double(open("native")->bytes()) + looked_up);
}

TEST(StepCost, OperationsAreTwoAWeightAndARow) {
  const Runner runner = make_runner("native");
  const ModelConfig& c = runner.config();
  const StepPart part{.position = 5, .tokens = 3, .logits = 2};
  ExpertUse use(c);
  use.add(0, 1, 2);
  const StepCost cost = step_cost(runner.model(), {&part, 1}, use, c.vocab);

  const std::size_t attention = (c.q_width() + 2 * c.kv_width()) * c.hidden +
                                c.conv_width() * c.conv_time1 * c.head_dim + c.hidden * c.q_width();
  const std::size_t router = c.router_hidden * (c.hidden + 2 * c.router_hidden + c.classes());
  const std::size_t seen = 6 + 7 + 8;
  EXPECT_EQ(
      cost.f32_operations,
      as_double(2 * 3 * c.layers * (attention + router) + 2 * 2 * 3 * c.expert_width * c.hidden +
                2 * 2 * c.vocab * c.hidden + 4 * seen * c.q_width() * c.layers));
  EXPECT_EQ(cost.bf16_operations + cost.int8_operations + cost.int16_operations, 0);
}

TEST(StepCost, ReadsWeightsOncePerStepAndTheStateOfEverySequence) {
  const Runner runner = make_runner("native");
  const ModelConfig& c = runner.config();
  const ExpertUse none(c);
  const std::vector<StepPart> one{{.position = 100, .tokens = 1, .logits = 1}};
  const std::vector<StepPart> two{{.position = 100, .tokens = 1, .logits = 1},
                                  {.position = 7, .tokens = 1, .logits = 1}};
  const StepCost a = step_cost(runner.model(), one, none, c.vocab);
  const StepCost b = step_cost(runner.model(), two, none, c.vocab);
  EXPECT_EQ(b.weight_bytes - a.weight_bytes, as_double(c.hidden * sizeof(float)));
  const double position = as_double(c.layers * 2 * c.kv_width() * sizeof(float));
  const double tail = as_double(runner.model().layout().bytes_per_sequence());
  EXPECT_EQ(a.state_bytes, 101 * position + tail);
  EXPECT_EQ(b.state_bytes, (101 + 8) * position + 2 * tail);
}

TEST(StepCost, NothingIsReadForAHeadOrAnExpertThatDoesNotRun) {
  const Runner runner = make_runner("native");
  const ModelConfig& c = runner.config();
  const StepPart with{.position = 0, .tokens = 1, .logits = 1};
  const StepPart without{.position = 0, .tokens = 1, .logits = 0};
  ExpertUse use(c);
  const StepCost a = step_cost(runner.model(), {&with, 1}, use, c.vocab);
  const StepCost b = step_cost(runner.model(), {&without, 1}, use, c.vocab);
  EXPECT_EQ(a.weight_bytes - b.weight_bytes, as_double(c.vocab * c.hidden * sizeof(float)));
  use.add(c.layers - 1, 0, 1);
  const StepCost d = step_cost(runner.model(), {&with, 1}, use, c.vocab);
  const double expert = as_double(3 * c.expert_width * c.hidden);
  EXPECT_EQ(d.weight_bytes - a.weight_bytes, expert * sizeof(float));
  EXPECT_EQ(d.operations() - a.operations(), 2 * expert);
}

TEST(StepCost, SlidingLayersSeeNoMoreThanTheirWindow) {
  const Runner runner = make_runner("native-sliding");
  const ModelConfig& c = runner.config();
  const StepPart part{.position = 1000, .tokens = 2, .logits = 0};
  const StepPart none{.position = 0, .tokens = 2, .logits = 0};
  const ExpertUse use(c);
  const StepCost cost = step_cost(runner.model(), {&part, 1}, use, c.vocab);
  const StepCost base = step_cost(runner.model(), {&none, 1}, use, c.vocab);
  double positions = 0;
  double seen = 0;
  for (std::size_t i = 0; i < c.layers; ++i) {
    positions += as_double(c.sliding[i] ? c.window + 1 : 1002) - 2;
    seen += as_double(c.sliding[i] ? 2 * c.window : 1001 + 1002) - 3;
  }
  ASSERT_GT(c.window, 2U);
  EXPECT_EQ(cost.state_bytes - base.state_bytes,
            positions * as_double(2 * c.kv_width() * sizeof(float)));
  EXPECT_EQ(cost.operations() - base.operations(), seen * 4 * as_double(c.q_width()));
}

TEST(StepCost, FastModeRunsOnTheNarrowUnits) {
  const Runner runner = make_runner("native-bf16", Compute::fast);
  const StepPart part{.position = 0, .tokens = 1, .logits = 1};
  const ModelConfig& config = runner.config();
  const StepCost cost = step_cost(runner.model(), {&part, 1}, all_experts(config, 1), config.vocab);
  EXPECT_EQ(cost.f32_operations, 0);
  EXPECT_GT(cost.bf16_operations, 0);
}

TEST(StepCost, TheSlowerOfTheTwoRoofsBounds) {
  const Roofline roofline{.read = 100, .f32 = 10, .bf16 = 20, .int8 = 40, .int16 = 20};
  StepCost cost{.weight_bytes = 150, .state_bytes = 50};
  EXPECT_EQ(cost.least_seconds(roofline), 2);
  EXPECT_TRUE(cost.memory_bound(roofline));
  cost +=
      {.f32_operations = 10, .bf16_operations = 20, .int8_operations = 20, .int16_operations = 10};
  EXPECT_EQ(cost.compute_seconds(roofline), 1 + 1 + 0.5 + 0.5);
  EXPECT_FALSE(cost.memory_bound(roofline));
  EXPECT_EQ(cost.least_seconds(roofline), 3);
  EXPECT_EQ(cost.operations(), 60);
}

TEST(ExpertUse, CountsTheRowsOfAStep) {
  Runner runner = make_runner("native");
  const ModelConfig& config = runner.config();
  const std::vector<TokenId> tokens{3, 1, 4, 1, 5, 9, 2, 6};
  ExpertUse use(config);
  Sequence sequence = runner.new_sequence();
  const Runner::Item item{sequence, tokens};
  runner.step({&item, 1}, &use);
  std::size_t most = 0;
  for (std::size_t layer = 0; layer < config.layers; ++layer) {
    std::size_t rows = 0;
    for (std::size_t e = 0; e < config.experts; ++e) rows += use.rows(layer, e);
    EXPECT_LE(rows, tokens.size()) << "some may skip the experts";
    most = std::max(most, rows);
  }
  EXPECT_GT(most, 0U);
  use.clear();
  for (std::size_t e = 0; e < config.experts; ++e) EXPECT_EQ(use.rows(0, e), 0U);
}

TEST(SyntheticSequence, GoesOnLikeAnyOther) {
  for (const Compute compute : {Compute::f32, Compute::fast}) {
    Runner runner = make_runner("native-sliding", compute);
    Sequence sequence = runner.synthetic_sequence(70, 1);
    EXPECT_EQ(sequence.length(), 70U);
    Sequence same = runner.synthetic_sequence(70, 1);
    EXPECT_EQ(sequence.tokens(), same.tokens());
    const TokenId next = 5;
    const auto first = runner.feed(sequence, {&next, 1});
    const std::vector<float> logits(first.begin(), first.end());
    for (const float v : logits) ASSERT_TRUE(std::isfinite(v));
    const auto second = runner.feed(same, {&next, 1});
    EXPECT_EQ(logits, std::vector<float>(second.begin(), second.end()));
    EXPECT_EQ(runner.synthetic_sequence(0, 1).length(), 0U);
  }
}

}  // namespace
}  // namespace zaya
