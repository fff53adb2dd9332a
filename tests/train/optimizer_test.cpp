#include "train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "train/balancer.h"
#include "train/schedule.h"

namespace zaya::train {
namespace {

std::vector<float> random_floats(std::size_t n, std::uint64_t seed) {
  std::vector<float> out(n);
  Random random(seed);
  for (float& v : out) v = static_cast<float>(random.normal());
  return out;
}

const std::vector<TensorInfo> kLayout = {
    {"model.embed_tokens.weight", {5, 4}, 0, 20},
    {"model.layers.0.self_attn.o_proj.weight", {3, 6}, 20, 18},
    {"model.layers.0.self_attn.qkv_proj.conv_qk_grouped.weight", {4, 2, 2}, 38, 16},
    {"model.layers.0.mlp.gate.balancing_biases", {3}, 54, 3},
    {"model.layers.0.mlp.experts.gate_up_proj", {2, 8, 5}, 57, 80},
    {"model.norm.weight", {4}, 137, 4},
};
constexpr std::size_t kSize = 141;

TEST(Optimizer, AdamWFollowsItsFormula) {
  ThreadPool pool(2);
  Optimizer optimizer({.muon = false, .clip = 0}, kLayout, kernels_of(Isa::scalar), GemmKind::f32,
                      pool);
  std::vector<float> p = random_floats(kSize, 1);
  const std::vector<float> start = p;
  std::vector<double> want(p.begin(), p.end());
  std::vector<double> m(kSize), v(kSize);
  for (int step = 1; step <= 5; ++step) {
    std::vector<float> g = random_floats(kSize, 1 + step);
    double squares = 0;
    for (const float x : g) squares += static_cast<double>(x) * x;
    EXPECT_NEAR(optimizer.step(p, g, 0.01), std::sqrt(squares), 1e-5);
    for (const TensorInfo& t : kLayout) {
      if (t.balancing()) continue;
      const bool decayed =
          t.name.find("o_proj") != std::string::npos || t.name.find("experts") != std::string::npos;
      for (std::size_t i = t.offset; i < t.offset + t.elements; ++i) {
        m[i] = 0.9 * m[i] + 0.1 * g[i];
        v[i] = 0.95 * v[i] + 0.05 * g[i] * g[i];
        const double mean = m[i] / (1 - std::pow(0.9, step));
        const double square = v[i] / (1 - std::pow(0.95, step));
        want[i] -= 0.01 * (mean / (std::sqrt(square) + 1e-8) + (decayed ? 0.1 * want[i] : 0));
      }
    }
    for (std::size_t i = 0; i < kSize; ++i) EXPECT_NEAR(p[i], want[i], 2e-6) << i;
  }
  for (std::size_t i = 54; i < 57; ++i) EXPECT_EQ(p[i], start[i]);
}

TEST(Optimizer, ClipsTheNormOfAllGradients) {
  ThreadPool pool(1);
  const auto make = [&](double clip) {
    return Optimizer({.muon = true, .clip = clip}, kLayout, kernels_of(Isa::scalar), GemmKind::f32,
                     pool);
  };
  std::vector<float> g = random_floats(kSize, 1);
  double norm = 0;
  for (const float x : g) norm += static_cast<double>(x) * x;
  norm = std::sqrt(norm);
  std::vector<float> scaled = g;
  for (float& x : scaled) x = static_cast<float>(x * (0.5 / norm));
  std::vector<float> a(kSize, 1), b(kSize, 1), c(kSize, 1), d(kSize, 1);
  EXPECT_NEAR(make(0.5).step(a, g, 0.1), norm, 1e-4);
  make(0).step(b, scaled, 0.1);
  make(2 * norm).step(c, g, 0.1);
  make(0).step(d, g, 0.1);
  for (std::size_t i = 0; i < kSize; ++i) EXPECT_NEAR(a[i], b[i], 1e-5);
  EXPECT_EQ(c, d);
}

/// Singular values of a matrix [rows, cols], rows <= cols: one-sided Jacobi rotations of its rows.
std::vector<double> singular_values(std::vector<double> x, std::size_t rows, std::size_t cols) {
  for (int sweep = 0; sweep < 30; ++sweep) {
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = i + 1; j < rows; ++j) {
        double a = 0, b = 0, c = 0;
        for (std::size_t k = 0; k < cols; ++k) {
          a += x[i * cols + k] * x[i * cols + k];
          b += x[j * cols + k] * x[j * cols + k];
          c += x[i * cols + k] * x[j * cols + k];
        }
        const double angle = 0.5 * std::atan2(2 * c, a - b);
        for (std::size_t k = 0; k < cols; ++k) {
          const double u = x[i * cols + k];
          const double w = x[j * cols + k];
          x[i * cols + k] = std::cos(angle) * u + std::sin(angle) * w;
          x[j * cols + k] = std::cos(angle) * w - std::sin(angle) * u;
        }
      }
    }
  }
  std::vector<double> out;
  for (std::size_t i = 0; i < rows; ++i) {
    double a = 0;
    for (std::size_t k = 0; k < cols; ++k) a += x[i * cols + k] * x[i * cols + k];
    out.push_back(std::sqrt(a));
  }
  return out;
}

TEST(Optimizer, NewtonSchulzBringsSingularValuesNearOne) {
  constexpr std::size_t kRows = 12;
  constexpr std::size_t kCols = 20;
  for (const Isa isa : host_isas()) {
    for (const GemmKind kind : {GemmKind::f32, GemmKind::bf16}) {
      const GemmRunner gemm(kernels_of(isa), kind);
      std::vector<float> x = random_floats(kRows * kCols, 1);
      std::vector<float> scratch(kRows * (2 * kRows + kCols));
      newton_schulz(gemm, ops_of<float>(isa), x.data(), kRows, kCols, scratch.data());
      for (const double s : singular_values({x.begin(), x.end()}, kRows, kCols)) {
        EXPECT_GT(s, 0.6);
        EXPECT_LT(s, 1.3);
      }
    }
  }
}

// The update of a slice is what a model with this slice alone would get, and has the size that
// AdamW's has; the momentum is Nesterov's.
TEST(Optimizer, MuonTakesEachExpertBySlice) {
  ThreadPool pool(2);
  const OptimizerOptions options{.weight_decay = 0, .clip = 0};
  Optimizer both(options, kLayout, kernels_of(Isa::scalar), GemmKind::f32, pool);
  const std::vector<TensorInfo> single = {
      {"model.layers.0.mlp.experts.gate_up_proj", {1, 8, 5}, 0, 40}};
  Optimizer one(options, single, kernels_of(Isa::scalar), GemmKind::f32, pool);
  std::vector<float> p(kSize);
  std::vector<float> q(40);
  for (int step = 0; step < 3; ++step) {
    std::vector<float> g = random_floats(kSize, 7 + step);
    std::vector<float> slice(g.begin() + 97, g.begin() + 137);
    both.step(p, g, 0.1);
    one.step(q, slice, 0.1);
  }
  EXPECT_EQ(std::vector<float>(p.begin() + 97, p.begin() + 137), q);

  // By hand, one step from 0: p = -rate 0.2 sqrt(8) orthogonal(1.95 g).
  Optimizer fresh(options, single, kernels_of(Isa::scalar), GemmKind::f32, pool);
  std::vector<float> r(40);
  std::vector<float> g = random_floats(40, 3);
  fresh.step(r, g, 0.1);
  std::vector<double> turned(40);
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < 5; ++j) turned[j * 8 + i] = r[i * 5 + j] / (-0.1 * 0.2 * std::sqrt(8.0));
  }
  double along = 0;
  for (int i = 0; i < 40; ++i) along -= static_cast<double>(r[i]) * g[i];
  EXPECT_GT(along, 0);
  for (const double s : singular_values(turned, 5, 8)) EXPECT_NEAR(s, 0.95, 0.35);
}

TEST(Optimizer, WeightDecayShrinksMatricesOnly) {
  ThreadPool pool(1);
  for (const bool muon : {false, true}) {
    Optimizer optimizer({.muon = muon}, kLayout, kernels_of(Isa::scalar), GemmKind::f32, pool);
    std::vector<float> p(kSize, 2.0F);
    std::vector<float> zero(kSize);
    optimizer.step(p, zero, 0.1);
    EXPECT_EQ(p[0], 2.0F);
    EXPECT_EQ(p[40], 2.0F);
    EXPECT_EQ(p[140], 2.0F);
    EXPECT_NEAR(p[25], 2 * (1 - 0.1 * 0.1), 1e-6);
    EXPECT_NEAR(p[60], 2 * (1 - 0.1 * 0.1), 1e-6);
  }
}

TEST(Schedule, Shapes) {
  Schedule s{.kind = ScheduleKind::cosine, .peak = 1, .final = 0.2, .warmup = 4, .steps = 105};
  EXPECT_DOUBLE_EQ(s.rate(0), 0.25);
  EXPECT_DOUBLE_EQ(s.rate(3), 1);
  EXPECT_DOUBLE_EQ(s.rate(4), 1);
  EXPECT_NEAR(s.rate(54), 0.6, 1e-12);
  EXPECT_NEAR(s.rate(104), 0.2, 1e-12);
  EXPECT_NEAR(s.rate(1000), 0.2, 1e-12);
  s.kind = ScheduleKind::linear;
  EXPECT_NEAR(s.rate(29), 0.8, 1e-12);
  EXPECT_NEAR(s.rate(104), 0.2, 1e-12);
  s.kind = ScheduleKind::constant;
  EXPECT_DOUBLE_EQ(s.rate(104), 1);
  s.kind = ScheduleKind::wsd;
  s.decay = 21;
  EXPECT_DOUBLE_EQ(s.rate(84), 1);
  EXPECT_NEAR(s.rate(94), 0.6, 1e-12);
  EXPECT_NEAR(s.rate(104), 0.2, 1e-12);
}

TEST(Balancer, EntropyOfLoads) {
  EXPECT_DOUBLE_EQ(load_entropy(std::vector<std::uint64_t>{5, 5, 5, 5, 900}, 4), 1);
  EXPECT_DOUBLE_EQ(load_entropy(std::vector<std::uint64_t>{7, 0, 0, 0, 0}, 4), 0);
  EXPECT_NEAR(load_entropy(std::vector<std::uint64_t>{1, 1, 0, 0, 0}, 4), 0.5, 1e-12);
  EXPECT_DOUBLE_EQ(load_entropy(std::vector<std::uint64_t>{0, 0, 3}, 2), 0);
}

TEST(Balancer, ControllerFollowsItsFormulaAndLeavesTheSkipAlone) {
  Balancer balancer({.rate = 0.01}, 1, 2, 3);
  float biases[3] = {0, 0, -1};
  float* layer = biases;
  double m = 0, v = 0, bias = 0;
  for (int step = 1; step <= 4; ++step) {
    balancer.update({{30, 10, 60}}, {&layer, 1});
    const double error = 0.75 - 0.5;
    m = 0.9 * m + 0.1 * error;
    v = 0.999 * v + 0.001 * error * error;
    bias -=
        0.01 * m / (1 - std::pow(0.9, step)) / (std::sqrt(v / (1 - std::pow(0.999, step))) + 1e-8);
    EXPECT_NEAR(biases[0], bias, 1e-6);
    EXPECT_NEAR(biases[1], -bias, 1e-6);
    EXPECT_EQ(biases[2], -1);
  }
}

TEST(Balancer, SignRuleAndSkip) {
  Balancer sign({.kind = BalancerKind::sign, .rate = 0.01}, 1, 2, 3);
  float biases[3] = {0, 0, -1};
  float* layer = biases;
  sign.update({{30, 10, 5}}, {&layer, 1});
  EXPECT_FLOAT_EQ(biases[0], -0.01F);
  EXPECT_FLOAT_EQ(biases[1], 0.01F);
  EXPECT_FLOAT_EQ(biases[2], -1);
  Balancer skip({.kind = BalancerKind::sign, .rate = 0.01, .include_skip = true}, 1, 2, 3);
  skip.update({{30, 10, 5}}, {&layer, 1});
  EXPECT_FLOAT_EQ(biases[2], -0.99F);
  Balancer none({.kind = BalancerKind::none}, 1, 2, 3);
  none.update({{30, 10, 5}}, {&layer, 1});
  EXPECT_FLOAT_EQ(biases[0], -0.02F);
}

}  // namespace
}  // namespace zaya::train
