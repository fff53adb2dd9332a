// Several ranks that train one model are one process, within rounding.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "base/random.h"
#include "checkpoint/init.h"
#include "tests/train/random_model.h"
#include "tests/train/thread_ranks.h"
#include "train/shard.h"
#include "train/trainer.h"
#include "zaya/error.h"

namespace zaya::train {
namespace {

namespace fs = std::filesystem;

std::vector<float> random_floats(std::size_t n, std::uint64_t seed) {
  std::vector<float> out(n);
  Random random(seed);
  for (float& v : out) v = static_cast<float>(random.normal());
  return out;
}

TEST(Ranks, ShareOutTheOptimizer) {
  const std::vector<TensorInfo> layout = arena_layout(small_config());
  const std::size_t size = arena_size(layout);
  for (const bool muon : {true, false}) {
    const OptimizerOptions options{.muon = muon, .clip = 3};
    ThreadPool pool(1);
    Optimizer whole(options, layout, kernels_of(Isa::scalar), GemmKind::f32, pool);
    std::vector<float> want(size, 0.5F);
    std::vector<double> norms;
    for (int step = 0; step < 3; ++step) {
      std::vector<float> sum = random_floats(size, 10 * step);
      for (int r = 1; r < 3; ++r) {
        const std::vector<float> g = random_floats(size, 10 * step + r);
        for (std::size_t i = 0; i < size; ++i) sum[i] += g[i];
      }
      norms.push_back(whole.step(want, sum, 0.01));
    }
    std::vector<std::size_t> first(3), second(3);
    std::vector<std::vector<float>> got(3);
    ThreadRanks::run(3, [&](Communicator& ranks) {
      const std::size_t r = ranks.rank();
      ThreadPool own(1);
      Optimizer part(options, layout, {{Segment::kEverywhere, 0, 0, size}}, kernels_of(Isa::scalar),
                     GemmKind::f32, own, ranks);
      got[r].assign(size, 0.5F);
      for (int step = 0; step < 3; ++step) {
        std::vector<float> g = random_floats(size, 10 * step + static_cast<int>(r));
        EXPECT_NEAR(part.step(got[r], g, 0.01), norms[step], 1e-5 * norms[step]);
      }
      first[r] = part.state().first.size();
      second[r] = part.state().second.size();
      EXPECT_EQ(local_size(part.first_placement(), r), first[r]);
      EXPECT_EQ(local_size(part.second_placement(), r), second[r]);
    });
    EXPECT_EQ(got[0], got[1]);
    EXPECT_EQ(got[0], got[2]);
    for (std::size_t i = 0; i < size; ++i) ASSERT_NEAR(got[0][i], want[i], 1e-5) << i;
    // Every number has one owner, and none has much more than its share.
    EXPECT_EQ(first[0] + first[1] + first[2], whole.state().first.size());
    EXPECT_EQ(second[0] + second[1] + second[2], whole.state().second.size());
    EXPECT_LT(*std::max_element(first.begin(), first.end()), size / 2);
  }
}

TEST(Ranks, CollectWhatLiesOnAll) {
  const Placement placement = {
      {0, 0, 0, 3}, {2, 3, 1, 2}, {Segment::kEverywhere, 5, 3, 1}, {1, 6, 0, 4}, {2, 10, 0, 1}};
  EXPECT_EQ(local_size(placement, 2), 4U);
  std::vector<float> whole(11);
  for (std::size_t i = 0; i < 11; ++i) whole[i] = static_cast<float>(i);
  const TensorView view{DType::f32, {11}, std::as_bytes(std::span(whole)).data()};
  ThreadRanks::run(3, [&](Communicator& ranks) {
    std::vector<float> own(8, -1);
    take_part(view, placement, ranks.rank(), own);
    std::vector<float> got;
    collect(ranks, placement, own, 2, 11, [&](std::span<const float> values) {
      got.insert(got.end(), values.begin(), values.end());
    });
    EXPECT_EQ(got, ranks.rank() == 0 ? std::vector<float>(whole.begin() + 2, whole.end())
                                     : std::vector<float>());
  });
}

class RanksTrain : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("zaya-ranks-" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "data");
    ModelConfig model = small_config(true);
    model.eos = {1};
    init_checkpoint(model, folder_ / "model", {.seed = 3, .dtype = DType::f32, .text_from = {}});
    write_shard(folder_ / "data/0.tokens", counting_examples(300, 29), {});
  }
  void TearDown() override { fs::remove_all(folder_); }

  Json json(const std::string& out, std::uint64_t steps) const {
    return {{"model", "model"},
            {"out", out},
            {"steps", steps},
            {"data", {{{"path", "data"}}}},
            {"context", 32},
            {"batch_rows", 64},
            {"accumulate", 5},
            {"precision", "f32"},
            {"optimizer", {{"rate", 0.003}, {"schedule", "constant"}}},
            {"balancing", {{"rate", 0.01}, {"auxiliary_loss", 0.01}}},
            {"evaluation", {{"data", {{{"path", "data"}}}}, {"every", 4}, {"rows", 300}}},
            {"checkpoints", {{"every", 4}, {"dtype", "f32"}}}};
  }

  /// What the steps of a run report, as rank 0 sees them.
  std::vector<StepReport> train(const Json& json, std::size_t count) {
    std::vector<StepReport> reports;
    ThreadRanks::run(count, [&](Communicator& ranks) {
      ThreadPool pool(1);
      Trainer t(parse_run_config(json, "test", folder_), kernels_of(selected_isa()), pool, ranks);
      t.run([&](const StepReport& r) {
        if (ranks.rank() == 0) reports.push_back(r);
        return true;
      });
    });
    return reports;
  }

  static void expect_near(const std::vector<StepReport>& got, const std::vector<StepReport>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
      const StepReport& a = got[i];
      const StepReport& b = want[i];
      EXPECT_EQ(a.step, b.step);
      EXPECT_EQ(a.rows, b.rows);
      EXPECT_EQ(a.targets, b.targets);
      EXPECT_NEAR(a.loss, b.loss, 1e-4 * b.loss) << b.step;
      EXPECT_NEAR(a.norm, b.norm, 1e-3 * b.norm) << b.step;
      ASSERT_EQ(a.evaluation.has_value(), b.evaluation.has_value());
      EXPECT_NEAR(a.evaluation.value_or(0), b.evaluation.value_or(0), 1e-4 * b.loss);
      for (std::size_t l = 0; l < b.load_entropy.size(); ++l) {
        EXPECT_NEAR(a.load_entropy[l], b.load_entropy[l], 0.01) << b.step;
      }
    }
  }

  static std::vector<double> losses(const std::vector<StepReport>& reports) {
    std::vector<double> out;
    for (const StepReport& r : reports) out.push_back(r.loss);
    return out;
  }

  fs::path folder_;
};

TEST_F(RanksTrain, LikeOneProcess) {
  const auto one = train(json("one", 12), 1);
  EXPECT_LT(one.back().loss, 0.9 * one.front().loss);
  for (const std::size_t count : {2, 3}) {
    const auto some = train(json("some" + std::to_string(count), 12), count);
    expect_near(some, one);
  }
}

TEST_F(RanksTrain, ShareOutExperts) {
  const auto one = train(json("one", 12), 1);
  for (const std::size_t count : {2, 3}) {
    Json j = json("experts" + std::to_string(count), 12);
    j["expert_parallel"] = true;
    j["recompute"] = count == 3;
    expect_near(train(j, count), one);
    // Whole checkpoints.
    const Checkpoint saved =
        Checkpoint::open(folder_ / j["out"].get<std::string>() / "step-00000012");
    EXPECT_EQ(saved.config().experts, 3U);
  }
  // From four steps of three ranks with an expert each, to two of all experts, to two with some.
  Json j = json("parts", 4);
  j["expert_parallel"] = true;
  auto parts = train(j, 3);
  j["steps"] = 8;
  j["expert_parallel"] = false;
  auto more = train(j, 2);
  parts.insert(parts.end(), more.begin(), more.end());
  j["steps"] = 12;
  j["expert_parallel"] = true;
  more = train(j, 2);
  parts.insert(parts.end(), more.begin(), more.end());
  expect_near(parts, one);
}

// In double, so that nothing but the order of sums differs: all gradients of all parameters.
TEST(Ranks, ExpertsGiveTheSameGradients) {
  const ModelConfig config = small_config();
  const std::vector<PackedBatch> batches = {pack(random_documents({9, 2, 7}, 29, 1)),
                                            pack(random_documents({12, 3}, 29, 2)), PackedBatch{}};
  ThreadPool pool(1);
  Model<double> whole(config, {}, kernels_of(Isa::scalar), GemmKind::f32, pool);
  randomize(whole, 5);
  double want = 0;
  for (const PackedBatch& batch : batches) want += whole.forward_backward(batch, 0.3);
  const std::size_t size = whole.parameters().size();
  ASSERT_EQ(size, arena_size(whole.layout()));
  std::vector<double> got(size);
  double loss = 0;
  ThreadRanks::run(3, [&](Communicator& ranks) {
    ThreadPool own(1);
    Model<double> part(config, {}, kernels_of(Isa::scalar), GemmKind::f32, own, ranks);
    EXPECT_LT(part.parameters().size(), size);
    for (const Segment& s : part.placement()) {
      if (!s.is_on(ranks.rank())) continue;
      std::copy_n(whole.parameters().begin() + static_cast<long>(s.whole), s.count,
                  part.parameters().begin() + static_cast<long>(s.local));
    }
    double sum = part.forward_backward(batches[ranks.rank()], 0.3);
    EXPECT_NEAR(part.evaluate(batches[ranks.rank()]), sum, 1e-9);
    ranks.sum({&sum, 1});
    std::vector<double> gradients(size);
    for (const Segment& s : part.placement()) {
      if (!s.is_on(ranks.rank())) continue;
      std::copy_n(part.gradients().begin() + static_cast<long>(s.local), s.count,
                  gradients.begin() + static_cast<long>(s.whole));
    }
    ranks.sum(gradients);
    if (ranks.rank() == 0) {
      got = gradients;
      loss = sum;
    }
  });
  EXPECT_NEAR(loss, want, 1e-9);
  for (std::size_t i = 0; i < size; ++i) ASSERT_NEAR(got[i], whole.gradients()[i], 1e-10) << i;
}

TEST_F(RanksTrain, GoOnWithAnotherNumber) {
  const auto one = train(json("one", 12), 1);
  auto parts = train(json("parts", 4), 3);
  for (const auto& [steps, count] : {std::pair{8, 1}, std::pair{12, 2}}) {
    const auto more = train(json("parts", static_cast<std::uint64_t>(steps)), count);
    EXPECT_EQ(more.size(), 4U);
    parts.insert(parts.end(), more.begin(), more.end());
  }
  expect_near(parts, one);
  // With the same number: to the bit.
  const auto whole = train(json("whole", 12), 2);
  auto again = train(json("again", 8), 2);
  const auto rest = train(json("again", 12), 2);
  again.insert(again.end(), rest.begin(), rest.end());
  EXPECT_EQ(losses(again), losses(whole));
  EXPECT_EQ(read_file(folder_ / "again/step-00000012/model.safetensors"),
            read_file(folder_ / "whole/step-00000012/model.safetensors"));
  EXPECT_EQ(read_file(folder_ / "again/step-00000012/optimizer.safetensors"),
            read_file(folder_ / "whole/step-00000012/optimizer.safetensors"));
}

TEST_F(RanksTrain, NeedABatchEach) {
  ThreadRanks::run(2, [&](Communicator& ranks) {
    ThreadPool pool(1);
    Json j = json("x", 4);
    j["accumulate"] = 1;
    try {
      Trainer(parse_run_config(j, "test", folder_), kernels_of(selected_isa()), pool, ranks);
      ADD_FAILURE();
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("accumulate: a step has fewer batches"),
                std::string::npos);
    }
    j["accumulate"] = 4;
    j["expert_parallel"] = true;
    j["lora"] = Json::object();
    EXPECT_THROW(parse_run_config(j, "test", folder_), Error);
  });
}

}  // namespace
}  // namespace zaya::train
