#include "engine/divergence.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "zaya/error.h"

namespace zaya {
namespace {

TEST(Divergence, MatchesTheFormulasByHand) {
  // softmax(log p) = p, also when all logits are shifted.
  const auto logits = [](const std::vector<double>& p, double shift) {
    std::vector<float> out;
    out.reserve(p.size());
    for (const double x : p) out.push_back(static_cast<float>(std::log(x) + shift));
    return out;
  };
  Divergence d;
  d.add(logits({0.5, 0.25, 0.25}, 3), logits({0.25, 0.5, 0.25}, -7), 0);
  d.add(logits({0.1, 0.8, 0.1}, 0), logits({0.1, 0.8, 0.1}, 50), 1);
  const auto r = d.result();
  EXPECT_EQ(r.positions, 2U);
  const double kl = 0.5 * std::log(2.0) - 0.25 * std::log(2.0);
  EXPECT_NEAR(r.max_kl, kl, 1e-5);
  EXPECT_NEAR(r.mean_kl, kl / 2, 1e-5);
  EXPECT_EQ(r.top1_agreement, 0.5);
  EXPECT_NEAR(r.reference_perplexity, std::exp(-(std::log(0.5) + std::log(0.8)) / 2), 1e-5);
  EXPECT_NEAR(r.other_perplexity, std::exp(-(std::log(0.25) + std::log(0.8)) / 2), 1e-5);
}

TEST(Divergence, NeedsAPosition) {
  EXPECT_THROW(Divergence().result(), Error);
}

}  // namespace
}  // namespace zaya
