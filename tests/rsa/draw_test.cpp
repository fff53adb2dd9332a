#include "rsa/draw.h"

#include <map>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

namespace zaya::rsa {
namespace {

std::vector<std::size_t> first(std::size_t n) {
  std::vector<std::size_t> all(n);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

TEST(RsaDraw, IsAFunctionOfItsArguments) {
  const auto from = first(16);
  EXPECT_EQ(draw_subset(from, 4, 1, 2), draw_subset(from, 4, 1, 2));
  EXPECT_NE(draw_subset(from, 4, 1, 2), draw_subset(from, 4, 1, 3));
  EXPECT_NE(draw_subset(from, 4, 1, 2), draw_subset(from, 4, 2, 2));
  EXPECT_EQ(draw_subset(from, 99, 1, 2).size(), 16U);
  EXPECT_TRUE(draw_subset({}, 4, 1, 2).empty());
}

TEST(RsaDraw, DrawsWithoutReplacement) {
  for (std::uint64_t stream = 0; stream < 1000; ++stream) {
    const auto drawn = draw_subset(first(16), 4, 1, stream);
    EXPECT_EQ(std::set<std::size_t>(drawn.begin(), drawn.end()).size(), 4U);
  }
}

double chi_square(const std::map<std::vector<std::size_t>, int>& counts, double cells, int total) {
  const double expected = total / cells;
  double sum = (cells - static_cast<double>(counts.size())) * expected;
  for (const auto& [key, count] : counts) sum += (count - expected) * (count - expected) / expected;
  return sum;
}

// Streams as a run has them: stages and slots. The limits are the 99.9 % quantiles of the
// chi-square distribution; with these fixed seeds nothing is left to chance.
TEST(RsaDraw, EveryOrderedSubsetIsEquallyLikely) {
  std::map<std::vector<std::size_t>, int> ordered;  // 6 * 5 * 4 = 120
  std::map<std::vector<std::size_t>, int> single;   // 6
  constexpr int kDraws = 60'000;
  for (int i = 0; i < kDraws; ++i) {
    const auto drawn = draw_subset(first(6), 3, 11, stream_of(1 + i / 16, i % 16));
    ++ordered[drawn];
    ++single[{drawn[0]}];
  }
  EXPECT_LT(chi_square(ordered, 120, kDraws), 173.6);  // 119 degrees of freedom
  EXPECT_LT(chi_square(single, 6, kDraws), 20.52);     // 5
}

// What slots of one stage see must not be correlated either.
TEST(RsaDraw, NeighboursDrawIndependently) {
  std::map<std::vector<std::size_t>, int> pairs;  // 36
  constexpr int kDraws = 36'000;
  for (int i = 0; i < kDraws; ++i) {
    const std::uint64_t seed = problem_seed(3, i);
    const auto a = draw_subset(first(6), 1, seed, stream_of(1, 0));
    const auto b = draw_subset(first(6), 1, seed, stream_of(1, 1));
    ++pairs[{a[0], b[0]}];
  }
  EXPECT_LT(chi_square(pairs, 36, kDraws), 66.62);  // 35 degrees of freedom
}

// The test can fail: a draw with a bias of a few percent does not pass.
TEST(RsaDraw, ChiSquareFindsABias) {
  std::map<std::vector<std::size_t>, int> single;
  for (int i = 0; i < 60'000; ++i) ++single[{draw_subset(first(64), 1, 11, i)[0] % 6}];
  EXPECT_GT(chi_square(single, 6, 60'000), 20.52);
}

}  // namespace
}  // namespace zaya::rsa
