// Each loop's backward pass against finite differences in double precision, and the loops of every
// instruction set against those of double precision.
#include "train/ops/ops.h"

#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "tests/train/finite_differences.h"

namespace zaya::train {
namespace {

const Ops<double>& ops() {
  return ops_of<double>(Isa::scalar);
}

constexpr std::size_t kRows = 3;
constexpr std::size_t kWidth = 7;

TEST(OpsBackward, RmsNorm) {
  Doubles x = random_doubles(kRows * kWidth, 1);
  Doubles w = random_doubles(kWidth, 2, 1, 0.3);
  const Doubles dy = random_doubles(x.size(), 3);
  Doubles y(x.size()), inverse(kRows);
  const auto loss = [&] {
    ops().rms_norm(x.data(), w.data(), 1e-5, y.data(), inverse.data(), kRows, kWidth);
    return inner(y, dy);
  };
  loss();
  Doubles dx(x.size()), dw(w.size());
  ops().rms_norm_backward(x.data(), w.data(), inverse.data(), dy.data(), dx.data(), dw.data(),
                          kRows, kWidth);
  expect_gradient("x", x, dx, loss);
  expect_gradient("w", w, dw, loss);
}

TEST(OpsBackward, Merge) {
  Doubles o = random_doubles(kRows * kWidth, 1);
  Doubles x = random_doubles(kRows * kWidth, 2);
  Doubles v[4];
  for (int i = 0; i < 4; ++i) v[i] = random_doubles(kWidth, 3 + i);
  const Doubles dy = random_doubles(x.size(), 9);
  Doubles y(x.size());
  const ResidualTensors<const double> w{v[0].data(), v[1].data(), v[2].data(), v[3].data()};
  const auto loss = [&] {
    ops().merge(o.data(), w, x.data(), y.data(), kRows, kWidth);
    return inner(y, dy);
  };
  Doubles d_o(o.size()), dx(x.size()), sums(3 * kWidth);
  ops().merge_backward(o.data(), w, x.data(), dy.data(), d_o.data(), dx.data(), sums.data(), kRows,
                       kWidth);
  Doubles dv[4];
  for (Doubles& d : dv) d.resize(kWidth);
  ops().merge_backward_vectors(sums.data(), w,
                               {dv[0].data(), dv[1].data(), dv[2].data(), dv[3].data()}, kWidth);
  expect_gradient("o", o, d_o, loss);
  expect_gradient("x", x, dx, loss);
  for (int i = 0; i < 4; ++i) expect_gradient("vector", v[i], dv[i], loss);
}

TEST(OpsBackward, ScaleInput) {
  Doubles e = random_doubles(kWidth, 1);
  Doubles scale = random_doubles(kWidth, 2);
  Doubles bias = random_doubles(kWidth, 3);
  const Doubles dx = random_doubles(kWidth, 4);
  Doubles x(kWidth);
  const auto loss = [&] {
    ops().scale_input(e.data(), scale.data(), bias.data(), x.data(), kWidth);
    return inner(x, dx);
  };
  Doubles de(kWidth), dscale(kWidth), dbias(kWidth);
  ops().scale_input_backward(e.data(), scale.data(), bias.data(), dx.data(), de.data(),
                             dscale.data(), dbias.data(), kWidth);
  expect_gradient("e", e, de, loss);
  expect_gradient("scale", scale, dscale, loss);
  expect_gradient("bias", bias, dbias, loss);
}

TEST(OpsBackward, Activations) {
  Doubles x = random_doubles(kRows * 2 * kWidth, 1, 0, 2);
  const Doubles dy = random_doubles(x.size(), 2);
  Doubles y(x.size());
  const auto gelu_loss = [&] {
    ops().gelu(x.data(), y.data(), x.size());
    return inner(y, dy);
  };
  Doubles dx = dy;
  ops().gelu_backward(x.data(), dx.data(), x.size());
  expect_gradient("gelu", x, dx, gelu_loss);

  const Doubles dhalf = random_doubles(kRows * kWidth, 3);
  Doubles half(dhalf.size());
  const auto swiglu_loss = [&] {
    ops().swiglu(x.data(), half.data(), kRows, kWidth);
    return inner(half, dhalf);
  };
  ops().swiglu_backward(x.data(), dhalf.data(), dx.data(), kRows, kWidth);
  expect_gradient("swiglu", x, dx, swiglu_loss);
}

TEST(OpsBackward, AddBias) {
  Doubles bias = random_doubles(kWidth, 1);
  const Doubles x = random_doubles(kRows * kWidth, 2);
  const Doubles dy = random_doubles(x.size(), 3);
  const auto loss = [&] {
    Doubles y = x;
    ops().add_bias(bias.data(), y.data(), kRows, kWidth);
    return inner(y, dy);
  };
  Doubles dbias(kWidth);
  ops().add_bias_backward(dy.data(), dbias.data(), kRows, kWidth);
  expect_gradient("bias", bias, dbias, loss);
}

TEST(OpsBackward, CrossEntropy) {
  Doubles x = random_doubles(kWidth, 1, 0, 3);
  const auto loss = [&] {
    Doubles logits = x;
    return 0.7 * ops().cross_entropy(logits.data(), 4, 0.7, kWidth);
  };
  Doubles dx = x;
  ops().cross_entropy(dx.data(), 4, 0.7, kWidth);
  expect_gradient("logits", x, dx, loss);
}

TEST(OpsBackward, AttentionWeights) {
  Doubles x = random_doubles(kWidth, 1);
  const Doubles dp = random_doubles(kWidth, 2);
  Doubles p;
  double log_sum = 0;
  const auto loss = [&] {
    p = x;
    log_sum = ops().attention_weights(p.data(), 0.4, 1, 6, kWidth);
    return inner(p, dp);
  };
  loss();
  Doubles again = x;
  ops().attention_weights_again(again.data(), 0.4, log_sum, 1, 6, kWidth);
  for (std::size_t i = 0; i < kWidth; ++i) EXPECT_NEAR(again[i], p[i], 1e-15);
  EXPECT_EQ(p[0], 0);
  EXPECT_EQ(p[6], 0);
  Doubles ds = dp;
  ops().attention_scores_backward(p.data(), ds.data(), 0.4, inner(p, dp), kWidth);
  expect_gradient("scores", x, ds, loss);
}

TEST(OpsBackward, Gate) {
  Doubles x = random_doubles(kWidth, 1);
  const Doubles dp = random_doubles(kWidth, 2);
  const auto loss = [&] {
    Doubles p = x;
    ops().softmax(p.data(), kWidth);
    return inner(p, dp) + 1.3 * p[2];
  };
  Doubles p = x;
  ops().softmax(p.data(), kWidth);
  Doubles dx(kWidth);
  ops().gate_backward(p.data(), 2, 1.3, dp.data(), dx.data(), kWidth);
  expect_gradient("logits", x, dx, loss);
}

TEST(OpsBackward, RouterState) {
  Doubles gamma = random_doubles(kWidth, 1);
  Doubles carried = random_doubles(kRows * kWidth, 2);
  const Doubles bias = random_doubles(kWidth, 3);
  const Doubles dr = random_doubles(carried.size(), 4);
  const auto loss = [&] {
    Doubles r(carried.size());
    ops().router_state(bias.data(), gamma.data(), carried.data(), r.data(), kRows, kWidth);
    return inner(r, dr);
  };
  Doubles dcarried(carried.size()), dgamma(kWidth);
  ops().router_state_backward(gamma.data(), carried.data(), dr.data(), dcarried.data(),
                              dgamma.data(), kRows, kWidth);
  expect_gradient("gamma", gamma, dgamma, loss);
  expect_gradient("carried", carried, dcarried, loss);
}

TEST(OpsBackward, Depthwise) {
  constexpr std::size_t kStride = kWidth + 2;
  for (const std::size_t rows : {1, 2, 3, 6}) {
    Doubles z = random_doubles(rows * kStride, 1);
    Doubles a = random_doubles(2 * kWidth, 2);
    Doubles b = random_doubles(kWidth, 3);
    const Doubles du = random_doubles(rows * 2 * kWidth, 4);
    const auto loss = [&] {
      Doubles u(du.size());
      ops().depthwise(z.data(), kStride, a.data(), b.data(), u.data(), 0, rows, kWidth);
      return inner(u, du);
    };
    Doubles dz(z.size()), sums(3 * kWidth);
    ops().depthwise_backward(z.data(), kStride, a.data(), du.data(), dz.data(), sums.data(), 0,
                             rows, rows, kWidth);
    expect_gradient("z", z, dz, loss);
    Doubles da(2 * kWidth);
    for (std::size_t c = 0; c < kWidth; ++c) {
      da[2 * c] = sums[c];
      da[2 * c + 1] = sums[kWidth + c];
    }
    expect_gradient("a", a, da, loss);
    expect_gradient("b", b, Doubles(sums.begin() + 2 * kWidth, sums.end()), loss);
  }
}

TEST(OpsBackward, MixHeads) {
  const CcaShape shape{4, 2, 3, 2, 18};
  constexpr std::size_t kStride = 20;
  Doubles z = random_doubles(kRows * kStride, 1);
  const Doubles bias = random_doubles(18, 2);
  Doubles s = random_doubles(kRows * 18, 3);
  const Doubles ds = random_doubles(s.size(), 4);
  const auto loss = [&] {
    Doubles mixed = s;
    ops().mix_heads(z.data(), kStride, bias.data(), mixed.data(), kRows, shape);
    return inner(mixed, ds);
  };
  Doubles dz(z.size());
  ops().mix_heads_backward(ds.data(), dz.data(), kStride, kRows, shape);
  expect_gradient("z", z, dz, loss);
  expect_gradient("s", s, ds, loss);
}

TEST(OpsBackward, NormRotate) {
  Doubles x = random_doubles(kWidth, 1);
  Doubles length{1.7};
  const Doubles angle = random_doubles(2, 2);
  const Doubles cosine{std::cos(angle[0]), std::cos(angle[1])};
  const Doubles sine{std::sin(angle[0]), std::sin(angle[1])};
  const Doubles dy = random_doubles(kWidth, 3);
  const auto loss = [&] {
    Doubles y(kWidth);
    ops().norm_rotate(x.data(), length[0], cosine.data(), sine.data(), 2, y.data(), kWidth);
    return inner(y, dy);
  };
  Doubles turned = dy, dx(kWidth);
  const double dlength = ops().norm_rotate_backward(x.data(), length[0], cosine.data(), sine.data(),
                                                    2, turned.data(), dx.data(), kWidth);
  expect_gradient("x", x, dx, loss);
  expect_gradient("length", length, {dlength}, loss);
}

class OpsOfIsa : public testing::TestWithParam<Isa> {};

/// Functions of one number over their whole range; the other loops differ from those of double
/// precision by rounding alone, and the tests of recorded gradients run them all.
TEST_P(OpsOfIsa, FunctionsAreExactToSinglePrecision) {
  const Ops<float>& f = ops_of<float>(GetParam());
  std::vector<float> x;
  for (float v = -30; v <= 30; v += 0.037F) x.push_back(v);
  const Doubles wide(x.begin(), x.end());
  std::vector<float> got(x.size());
  Doubles want(x.size());
  f.gelu(x.data(), got.data(), x.size());
  ops().gelu(wide.data(), want.data(), x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_NEAR(got[i], want[i], 1e-6 * (std::abs(want[i]) + 1e-3)) << x[i];
  }
  std::fill(got.begin(), got.end(), 1.0F);
  std::fill(want.begin(), want.end(), 1.0);
  f.gelu_backward(x.data(), got.data(), x.size());
  ops().gelu_backward(wide.data(), want.data(), x.size());
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-6) << x[i];
  // Alternating gates and ups.
  const std::size_t half = x.size() / 2;
  f.swiglu(x.data(), got.data(), 1, half);
  ops().swiglu(wide.data(), want.data(), 1, half);
  for (std::size_t i = 0; i < half; ++i) {
    EXPECT_NEAR(got[i], want[i], 1e-6 * std::abs(want[i]) + 1e-12) << x[i];
  }
  got = x;
  want = wide;
  EXPECT_NEAR(f.softmax(got.data(), got.size()), ops().softmax(want.data(), want.size()), 1e-5);
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_NEAR(got[i], want[i], 1e-5 * want[i] + 1e-30) << x[i];
  }
}

INSTANTIATE_TEST_SUITE_P(EveryIsa, OpsOfIsa, testing::ValuesIn(host_isas()),
                         [](const auto& isa) { return std::string(isa_name(isa.param)); });

}  // namespace
}  // namespace zaya::train
