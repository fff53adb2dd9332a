#include "compute/kernels/kernels.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"

namespace zaya {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<float> random_floats(std::size_t n, std::uint64_t stream) {
  Random random(11, stream);
  std::vector<float> values(n);
  for (float& v : values) v = static_cast<float>(random.normal());
  return values;
}

std::vector<bf16> rounded(const std::vector<float>& values) {
  std::vector<bf16> out;
  out.reserve(values.size());
  for (const float v : values) out.push_back(to_bf16(v));
  return out;
}

/// Every case runs on every instruction set of the host.
class EveryIsa : public testing::TestWithParam<Isa> {
 protected:
  const Kernels& kernels = kernels_of(GetParam());
};

INSTANTIATE_TEST_SUITE_P(Kernels, EveryIsa, testing::ValuesIn(host_isas()),
                         [](const auto& isa) { return std::string(isa_name(isa.param)); });

TEST_P(EveryIsa, MatmulMatchesDoubleReferenceAtAndOffTileBoundaries) {
  for (const std::size_t depth : {1, 7, 8, 16, 17, 64, 100, 257}) {
    for (const std::size_t cols : {1, 3, 4, 8, 9, 13}) {
      for (const std::size_t rows : {1, 2, 3, 5, 6, 7, 12, 97}) {
        const std::size_t stride = depth + 3;
        const auto w = random_floats(cols * stride, 1);
        const auto wb = rounded(w);
        const auto x = random_floats(rows * stride, 2);
        std::vector<float> y(rows * cols, -1);
        std::vector<float> yb(rows * cols, -1);
        kernels.matmul_f32({w.data(), stride}, {x.data(), stride}, {y.data(), cols}, rows, cols,
                           depth);
        kernels.matmul_bf16({wb.data(), stride}, {x.data(), stride}, {yb.data(), cols}, rows, cols,
                            depth);
        for (std::size_t r = 0; r < rows; ++r) {
          for (std::size_t c = 0; c < cols; ++c) {
            double want = 0;
            double want_bf16 = 0;
            double size = 0;
            for (std::size_t k = 0; k < depth; ++k) {
              const double xv = x[r * stride + k];
              want += xv * w[c * stride + k];
              want_bf16 += xv * to_float(wb[c * stride + k]);
              size += std::abs(xv * w[c * stride + k]);
            }
            ASSERT_NEAR(y[r * cols + c], want, 1e-6 * size + 1e-7)
                << rows << "x" << cols << "x" << depth << " at " << r << "," << c;
            ASSERT_NEAR(yb[r * cols + c], want_bf16, 1e-6 * size + 1e-7)
                << rows << "x" << cols << "x" << depth << " at " << r << "," << c;
          }
        }
      }
    }
  }
}

TEST_P(EveryIsa, MatmulBitsDoNotDependOnHowRowsAndColumnsAreSplit) {
  const std::size_t rows = 40;
  const std::size_t cols = 37;
  const std::size_t depth = 203;
  const auto w = rounded(random_floats(cols * depth, 3));
  const auto x = random_floats(rows * depth, 4);
  std::vector<float> whole(rows * cols);
  kernels.matmul_bf16({w.data(), depth}, {x.data(), depth}, {whole.data(), cols}, rows, cols,
                      depth);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) {
      float one = 0;
      kernels.matmul_bf16({w.data() + c * depth, depth}, {x.data() + r * depth, depth}, {&one, 1},
                          1, 1, depth);
      ASSERT_EQ(one, whole[r * cols + c]);
    }
  }
}

TEST_P(EveryIsa, WeightedSumMatchesReference) {
  for (const std::size_t width : {1, 8, 15, 32, 64, 100, 128}) {
    for (const std::size_t count : {0, 1, 5, 32}) {
      for (const std::size_t rows : {1, 3}) {
        const auto v = random_floats(32 * (width + 1), 5);
        const auto vb = rounded(v);
        const auto p = random_floats(rows * 32, 6);
        const std::vector<float> scale{0.5F, 2.0F, 0.0F};
        const auto start = random_floats(rows * width, 7);
        auto y = start;
        auto yb = start;
        kernels.weighted_sum_f32({v.data(), width + 1}, {p.data(), 32}, scale.data(),
                                 {y.data(), width}, rows, count, width);
        kernels.weighted_sum_bf16({vb.data(), width + 1}, {p.data(), 32}, scale.data(),
                                  {yb.data(), width}, rows, count, width);
        for (std::size_t r = 0; r < rows; ++r) {
          for (std::size_t i = 0; i < width; ++i) {
            double want = static_cast<double>(start[r * width + i]) * scale[r];
            double want_bf16 = want;
            for (std::size_t t = 0; t < count; ++t) {
              want += static_cast<double>(p[r * 32 + t]) * v[t * (width + 1) + i];
              want_bf16 += static_cast<double>(p[r * 32 + t]) * to_float(vb[t * (width + 1) + i]);
            }
            ASSERT_NEAR(y[r * width + i], want, 1e-5);
            ASSERT_NEAR(yb[r * width + i], want_bf16, 1e-5);
          }
        }
      }
    }
  }
}

TEST_P(EveryIsa, ExpIsAccurateOverItsRange) {
  for (const std::size_t n : {1, 7, 16, 33}) {
    for (float from = -90; from < 80; from += 3.17F) {
      std::vector<float> x(n);
      for (std::size_t i = 0; i < n; ++i) x[i] = from + 0.05F * static_cast<float>(i);
      auto e = x;
      const float sum = kernels.exp_shifted(e.data(), n, 1.5F);
      double want_sum = 0;
      for (std::size_t i = 0; i < n; ++i) {
        const double want = std::exp(static_cast<double>(x[i] - 1.5F));
        ASSERT_NEAR(e[i], want, 3e-7 * want + 1.2e-38) << x[i];
        want_sum += want;
      }
      ASSERT_NEAR(sum, want_sum, 2e-6 * want_sum + 1.2e-38 * static_cast<double>(n));
    }
  }
  std::vector<float> edge{-kInf, 0, -1000, std::nanf("")};
  const float sum = kernels.exp_shifted(edge.data(), 3, 0);
  EXPECT_EQ(edge[0], 0);
  EXPECT_EQ(edge[1], 1);
  EXPECT_EQ(edge[2], 0);
  EXPECT_EQ(sum, 1);
  kernels.exp_shifted(edge.data() + 3, 1, 0);
  EXPECT_TRUE(std::isnan(edge[3])) << "a NaN must not turn into a number";
}

TEST_P(EveryIsa, SwigluAndSumOfSquares) {
  for (const std::size_t n : {1, 8, 31, 64}) {
    auto gate = random_floats(n, 8);
    for (float& g : gate) g *= 6;
    gate[0] = -100;
    const auto up = random_floats(n, 9);
    std::vector<float> out(n);
    kernels.swiglu(gate.data(), up.data(), out.data(), n);
    double squares = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double g = gate[i];
      const double want = g / (1 + std::exp(-g)) * up[i];
      ASSERT_NEAR(out[i], want, 2e-6 * std::abs(want) + 1e-30);
      squares += g * g;
    }
    EXPECT_NEAR(kernels.sum_of_squares(gate.data(), n), squares, 1e-6 * squares);
  }
}

}  // namespace
}  // namespace zaya
