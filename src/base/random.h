#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace zaya {

/// Counter-based random numbers: draw n of a (seed, stream) pair is a pure function of the three,
/// so work can be split over threads, or resumed in the middle, with the same result. The mixing
/// step is the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed, std::uint64_t stream = 0, std::uint64_t counter = 0)
      : key_(mix(seed ^ mix(stream + kGolden))), counter_(counter) {}

  std::uint64_t next() { return mix(key_ + kGolden * ++counter_); }

  /// Uniform in [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

  /// Standard normal (Box-Muller; two draws a value).
  double normal() {
    const double u = 1.0 - uniform();
    const double angle = 2.0 * std::numbers::pi * uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(angle);
  }

  std::uint64_t counter() const { return counter_; }

 private:
  static constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15ULL;

  static constexpr std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

  std::uint64_t key_;
  std::uint64_t counter_;
};

}  // namespace zaya
