#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"

namespace zaya::train {

using Doubles = std::vector<double>;

inline Doubles random_doubles(std::size_t n, std::uint64_t seed, double mean = 0,
                              double deviation = 1) {
  Doubles out(n);
  Random random(seed);
  for (double& v : out) v = mean + deviation * random.normal();
  return out;
}

inline double inner(const Doubles& a, const Doubles& b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// Holds `gradient` against central differences of `loss` in each of x's numbers, or in about
/// `most` of them.
inline void expect_gradient(const char* name, double* x, std::size_t n, const double* gradient,
                            const std::function<double()>& loss, std::size_t most = 200) {
  constexpr double kStep = 1e-5;
  const std::size_t stride = n > most ? n / most + 1 : 1;
  for (std::size_t i = 0; i < n; i += stride) {
    const double at = x[i];
    x[i] = at + kStep;
    const double above = loss();
    x[i] = at - kStep;
    const double below = loss();
    x[i] = at;
    const double want = (above - below) / (2 * kStep);
    ASSERT_NEAR(gradient[i], want, 2e-8 * (1 + std::abs(want))) << name << " " << i;
  }
}

inline void expect_gradient(const char* name, Doubles& x, const Doubles& gradient,
                            const std::function<double()>& loss) {
  ASSERT_EQ(x.size(), gradient.size()) << name;
  expect_gradient(name, x.data(), x.size(), gradient.data(), loss);
}

}  // namespace zaya::train
