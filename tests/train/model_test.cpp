#include "train/model.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "tests/train/finite_differences.h"
#include "tests/train/random_model.h"

namespace zaya::train {
namespace {

template <class T>
struct Trained {
  explicit Trained(ModelOptions options = {}, bool tied = false, int threads = 1,
                   Isa isa = Isa::scalar, GemmKind kind = GemmKind::f32, CcaParts parts = {})
      : pool(threads), model(config(tied, parts), options, kernels_of(isa), kind, pool) {
    randomize(model, 5);
  }
  static ModelConfig config(bool tied, CcaParts parts) {
    ModelConfig c = small_config(tied);
    c.parts = parts;
    return c;
  }
  ThreadPool pool;
  Model<T> model;
};

/// Of every tensor, the largest difference as a share of its largest gradient.
template <class T>
double difference(const Model<T>& shape, const std::vector<T>& got, const std::vector<T>& want) {
  double worst = 0;
  for (const TensorInfo& t : shape.layout()) {
    double size = 0;
    double most = 0;
    for (std::size_t i = t.offset; i < t.offset + t.elements; ++i) {
      size = std::max(size, std::abs(static_cast<double>(want[i])));
      most = std::max(most, std::abs(static_cast<double>(got[i] - want[i])));
    }
    if (most > 0) worst = std::max(worst, most / size);
  }
  return worst;
}

// The whole model, every tensor: packed documents, sliding windows, EDA, skips, masked targets and
// the auxiliary loss, whose share of experts is a constant to its gradient.
TEST(TrainingModel, GradientsMatchFiniteDifferences) {
  for (const bool tied : {false, true}) {
    Trained<double> trained({}, tied);
    Model<double>& model = trained.model;
    PackedBatch batch = pack(random_documents({9, 2, 7}, 29, 1));
    batch.targets[3] = PackedBatch::kNoTarget;
    model.forward_backward(batch, 0.3);
    std::size_t skipped = 0;
    for (const auto& load : model.loads()) skipped += load.back();
    EXPECT_GT(skipped, 0U);
    const Doubles gradients = model.gradients();
    const auto loss = [&] { return 0.3 * model.evaluate(batch); };
    for (const TensorInfo& t : model.layout()) {
      expect_gradient(t.name.c_str(), model.parameters().data() + t.offset, t.elements,
                      gradients.data() + t.offset, loss, 30);
    }
  }
}

// What an experiment leaves out changes the loss, and its gradients are right.
TEST(TrainingModel, GradientsWithoutPartsOfAttention) {
  const PackedBatch batch = pack(random_documents({9, 2, 7}, 29, 1));
  const double whole = Trained<double>().model.evaluate(batch);
  for (const CcaParts parts : {CcaParts{.convolutions = false}, CcaParts{.means = false},
                               CcaParts{.value_shift = false}, CcaParts{false, false, false}}) {
    Trained<double> trained({}, false, 1, Isa::scalar, GemmKind::f32, parts);
    Model<double>& model = trained.model;
    model.forward_backward(batch, 0.3);
    const Doubles gradients = model.gradients();
    const auto loss = [&] { return 0.3 * model.evaluate(batch); };
    EXPECT_GT(std::abs(loss() - 0.3 * whole), 1e-3);
    for (const TensorInfo& t : model.layout()) {
      if (t.name.find("self_attn") == std::string::npos) continue;
      expect_gradient(t.name.c_str(), model.parameters().data() + t.offset, t.elements,
                      gradients.data() + t.offset, loss, 30);
    }
  }
}

TEST(TrainingModel, AuxiliaryLossMatchesFiniteDifferences) {
  ThreadPool pool(1);
  const ModelConfig config = small_config();
  Model<double> model(config, {}, kernels_of(Isa::scalar), GemmKind::f32, pool);
  randomize(model, 5);
  Context<double> context(kernels_of(Isa::scalar), GemmKind::f32, pool);
  constexpr std::size_t kRows = 10;
  Doubles m = random_doubles(kRows * config.hidden, 1);
  const Doubles carried = random_doubles(kRows * config.router_hidden, 2);
  const Doubles dweight = random_doubles(kRows, 3);
  const auto tensors =
      bind_tensors<const double>(config, model.layout(), model.parameters().data());
  const auto gradients = bind_tensors<double>(config, model.layout(), model.gradients().data());
  Router<double> router(config);
  RouterActivations<double> a;
  const double balance = 0.8;
  router.forward(context, tensors.layers[1], kRows, m.data(), carried.data(), a);
  const std::vector<std::uint32_t> choice = a.choice;
  Doubles share(config.experts);
  for (const std::uint32_t c : choice) {
    if (c < config.experts) share[c] += 1.0 / kRows;
  }
  const auto loss = [&] {
    router.forward(context, tensors.layers[1], kRows, m.data(), carried.data(), a);
    double sum = 0;
    for (std::size_t i = 0; i < kRows; ++i) {
      const double* p = a.p.data() + i * config.classes();
      sum += dweight[i] * p[choice[i]];
      for (std::size_t e = 0; e < config.experts; ++e) {
        sum += balance * static_cast<double>(config.experts) * share[e] * p[e] / kRows;
      }
    }
    return sum;
  };
  Doubles dstate(carried.size()), dm(m.size());
  router.backward(context, tensors.layers[1], gradients.layers[1], kRows, m.data(), carried.data(),
                  dweight.data(), balance, dstate.data(), dm.data(), a);
  expect_gradient("m", m, dm, loss);
  for (const TensorInfo& t : model.layout()) {
    if (!t.name.starts_with("model.layers.1.mlp.gate.")) continue;
    expect_gradient(t.name.c_str(), model.parameters().data() + t.offset, t.elements,
                    model.gradients().data() + t.offset, loss, 50);
  }
}

TEST(TrainingModel, PackedEqualsUnpacked) {
  const auto documents = random_documents({9, 2, 30, 3}, 29, 2);
  Trained<double> packed;
  Trained<double> single;
  const double together = packed.model.forward_backward(pack(documents), 0.1);
  double apart = 0;
  for (const auto& d : documents) apart += single.model.forward_backward(pack({d}), 0.1);
  EXPECT_NEAR(together, apart, 1e-11);
  EXPECT_LT(difference(packed.model, packed.model.gradients(), single.model.gradients()), 1e-11);
  EXPECT_EQ(packed.model.loads(), single.model.loads());
}

TEST(TrainingModel, AnotherDocumentChangesNothing) {
  auto documents = random_documents({6, 8}, 29, 3);
  Trained<float> trained;
  PackedBatch batch = pack(documents);
  std::fill(batch.targets.begin(), batch.targets.begin() + 5, PackedBatch::kNoTarget);
  const double before = trained.model.evaluate(batch);
  std::fill(batch.tokens.begin(), batch.tokens.begin() + 5, 11);
  EXPECT_EQ(trained.model.evaluate(batch), before);
}

class TrainingModelOfIsa : public testing::TestWithParam<Isa> {};

TEST_P(TrainingModelOfIsa, RecomputedEqualsStored) {
  const auto documents = random_documents({40, 2, 30, 70}, 29, 2);
  for (const GemmKind kind : {GemmKind::f32, GemmKind::bf16}) {
    Trained<float> stored({}, false, 1, GetParam(), kind);
    Trained<float> again({.recompute = true}, false, 1, GetParam(), kind);
    for (int pass = 0; pass < 2; ++pass) {
      EXPECT_EQ(stored.model.forward_backward(pack(documents), 0.1F),
                again.model.forward_backward(pack(documents), 0.1F));
    }
    EXPECT_EQ(stored.model.gradients(), again.model.gradients());
    EXPECT_EQ(stored.model.loads(), again.model.loads());
  }
}

TEST_P(TrainingModelOfIsa, BitsDoNotDependOnThreads) {
  const auto documents = random_documents({50, 60, 70, 13}, 29, 4);
  Trained<float> one({}, true, 1, GetParam(), GemmKind::bf16);
  Trained<float> three({}, true, 3, GetParam(), GemmKind::bf16);
  EXPECT_EQ(one.model.forward_backward(pack(documents), 0.1F),
            three.model.forward_backward(pack(documents), 0.1F));
  EXPECT_EQ(one.model.gradients(), three.model.gradients());
}

TEST_P(TrainingModelOfIsa, Bf16IsNearExact) {
  const auto documents = random_documents({50, 60}, 29, 4);
  Trained<float> exact({}, false, 1, GetParam());
  Trained<float> rounded({}, false, 1, GetParam(), GemmKind::bf16);
  const double want = exact.model.evaluate(pack(documents));
  const double got = rounded.model.evaluate(pack(documents));
  EXPECT_NEAR(got, want, 0.02 * want);
  EXPECT_NE(got, want);
}

INSTANTIATE_TEST_SUITE_P(EveryIsa, TrainingModelOfIsa, testing::ValuesIn(host_isas()),
                         [](const auto& isa) { return std::string(isa_name(isa.param)); });

TEST(TrainingModel, HeadNeverHoldsAllLogits) {
  ModelConfig config = small_config();
  config.vocab = 262272;
  EXPECT_EQ(Head<float>(config).chunk_rows(), 32U);
  config.vocab = 29;
  EXPECT_EQ(Head<float>(config).chunk_rows(), 1024U);
}

// More targets than fit one piece of logits.
TEST(TrainingModel, PiecesOfLogitsAddUp) {
  ThreadPool pool(1);
  ModelConfig config = small_config();
  config.vocab = 131072;
  config.hidden = 4;
  Head<double> head(config);
  ASSERT_EQ(head.chunk_rows(), 32U);
  Context<double> context(kernels_of(Isa::scalar), GemmKind::f32, pool);
  const PackedBatch both = pack(random_documents({34, 3}, config.vocab, 1));
  const Doubles x = random_doubles(both.rows() * 4, 2);
  const Doubles norm = random_doubles(4, 3);
  const Doubles w = random_doubles(config.vocab * 4, 4);
  Doubles dx(x.size()), dnorm(4), dw(w.size());
  const double sum = head.loss(context, norm.data(), w.data(), both, x.data(), 0.5, dx.data(),
                               dnorm.data(), dw.data());
  PackedBatch first = both, last = both;
  std::fill(first.targets.begin() + 20, first.targets.end(), PackedBatch::kNoTarget);
  std::fill(last.targets.begin(), last.targets.begin() + 20, PackedBatch::kNoTarget);
  Doubles dx1(x.size()), dx2(x.size()), dnorm2(4), dw2(w.size());
  const double parts = head.loss(context, norm.data(), w.data(), first, x.data(), 0.5, dx1.data(),
                                 dnorm2.data(), dw2.data()) +
                       head.loss(context, norm.data(), w.data(), last, x.data(), 0.5, dx2.data(),
                                 dnorm2.data(), dw2.data());
  EXPECT_NEAR(sum, parts, 1e-9);
  for (std::size_t i = 0; i < dx.size(); ++i) EXPECT_NEAR(dx[i], dx1[i] + dx2[i], 1e-12);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(dnorm[i], dnorm2[i], 1e-11);
  for (std::size_t i = 0; i < dw.size(); ++i) ASSERT_NEAR(dw[i], dw2[i], 1e-12);
}

}  // namespace
}  // namespace zaya::train
