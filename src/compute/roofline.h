#pragma once

#include <cstddef>

#include "compute/cpu.h"
#include "compute/thread_pool.h"

namespace zaya {

/// What this machine can do at most with so many threads, measured on it: the two roofs that bound
/// every kernel (Williams, Waterman, Patterson 2009).
struct Roofline {
  double read = 0;  ///< bytes a second from memory
  // Operations a second of matrix products, two a multiply-add, by the type of the inputs. A set of
  // instructions without products of a narrow type does them in fp32: the values are then equal.
  double f32 = 0;
  double bf16 = 0;
  double int8 = 0;
  double int16 = 0;  ///< 16-bit inputs and 8-bit weights
};

/// The higher of each value. A machine shared with others measures low, never high, so that of two
/// measurements the higher one is nearer to the truth.
Roofline higher(const Roofline& a, const Roofline& b);

/// Measures the roofline. Holds the memory that it reads.
class RooflineProbe {
 public:
  /// `bytes`: far above the last-level cache, or the cache is measured. Rounded up to whole pieces.
  /// Throws Error when there is not so much memory.
  static constexpr std::size_t kDefaultBytes = std::size_t{1} << 30;
  explicit RooflineProbe(std::size_t bytes = kDefaultBytes);
  RooflineProbe(const RooflineProbe&) = delete;
  RooflineProbe& operator=(const RooflineProbe&) = delete;
  ~RooflineProbe();

  std::size_t bytes() const { return bytes_; }

  /// The best of a few passes of everything: about half a second on a quiet machine.
  Roofline measure(Isa isa, ThreadPool& pool) const;

 private:
  std::byte* data_;
  std::size_t bytes_;
};

}  // namespace zaya
