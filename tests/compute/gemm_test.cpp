#include "compute/gemm.h"

#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"

namespace zaya {
namespace {

/// Random values in a matrix of either order, with room between its lines.
struct Operand {
  Operand(std::size_t rows, std::size_t cols, bool by_row, std::uint64_t seed) {
    const std::size_t lines = by_row ? rows : cols;
    const std::size_t stride = (by_row ? cols : rows) + 3;
    values.resize(lines * stride);
    Random random(seed);
    for (float& v : values) v = static_cast<float>(random.normal());
    view = {values.data(), by_row ? stride : 1, by_row ? 1 : stride};
  }
  void round() {
    for (float& v : values) v = to_float(to_bf16(v));
  }
  std::vector<float> values;
  Strided<float> view{};
};

struct Sizes {
  std::size_t m, n, k;
};
constexpr Sizes kSizes[] = {{1, 1, 1},    {16, 16, 32}, {32, 32, 64},   {33, 31, 65},
                            {12, 32, 17}, {5, 70, 129}, {200, 193, 40}, {40, 48, 1100}};

class GemmTest : public testing::TestWithParam<Isa> {};

TEST_P(GemmTest, MatchesThePlainProduct) {
  ThreadPool pool(2);
  for (const GemmKind kind : {GemmKind::f32, GemmKind::bf16}) {
    GemmRunner runner(kernels_of(GetParam()), kind);
    for (const Sizes& s : kSizes) {
      for (int order = 0; order < 8; ++order) {
        Operand a(s.m, s.k, (order & 1) != 0, 1);
        Operand b(s.k, s.n, (order & 2) != 0, 2);
        const bool add = (order & 4) != 0;
        const std::size_t stride = s.n + 5;
        const std::vector<float> before = Operand(s.m, stride - 3, true, 3).values;
        std::vector<float> pooled = before;
        const Gemm<float> g{s.m, s.n, s.k, a.view, b.view, pooled.data(), stride, add};
        runner.run(pool, {&g, 1});
        std::vector<float> alone = before;
        Gemm<float> single = g;
        single.c = alone.data();
        runner.run(single);
        EXPECT_EQ(pooled, alone);

        if (kind == GemmKind::bf16) {
          a.round();
          b.round();
        }
        for (std::size_t i = 0; i < s.m; ++i) {
          for (std::size_t j = 0; j < stride; ++j) {
            double want = before[i * stride + j];
            if (j < s.n) {
              if (!add) want = 0;
              for (std::size_t l = 0; l < s.k; ++l) {
                want += static_cast<double>(a.view.data[i * a.view.row + l * a.view.col]) *
                        b.view.data[l * b.view.row + j * b.view.col];
              }
            }
            const double bound = j < s.n ? 1e-6 * std::sqrt(static_cast<double>(s.k)) * 8 : 0;
            ASSERT_NEAR(pooled[i * stride + j], want, bound)
                << s.m << "x" << s.n << "x" << s.k << " order " << order << " at " << i << "," << j;
          }
        }
      }
    }
  }
}

TEST_P(GemmTest, BitsDependOnNeitherThreadsNorCompany) {
  GemmRunner runner(kernels_of(GetParam()), GemmKind::bf16);
  const Operand a(100, 300, true, 1);
  const Operand b(300, 250, false, 2);
  std::vector<float> alone(100 * 250);
  runner.run({100, 250, 300, a.view, b.view, alone.data(), 250, false});
  // The lower half of the rows together with the transposed product.
  std::vector<float> half(50 * 250);
  std::vector<float> turned(250 * 100);
  ThreadPool pool(3);
  const Gemm<float> both[] = {
      {50, 250, 300, a.view.from(50, 0), b.view, half.data(), 250, false},
      {250, 100, 300, b.view.transposed(), a.view.transposed(), turned.data(), 100, false}};
  runner.run(pool, both);
  for (std::size_t i = 0; i < 50; ++i) {
    for (std::size_t j = 0; j < 250; ++j) {
      ASSERT_EQ(half[i * 250 + j], alone[(i + 50) * 250 + j]);
      ASSERT_EQ(turned[j * 100 + i + 50], alone[(i + 50) * 250 + j]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryIsa, GemmTest, testing::ValuesIn(host_isas()),
                         [](const auto& isa) { return std::string(isa_name(isa.param)); });

}  // namespace
}  // namespace zaya
