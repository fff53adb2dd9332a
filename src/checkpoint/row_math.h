#pragma once

#include <cstddef>
#include <cstdint>

namespace zaya {

/// The loops of RowEncoder, for one instruction set. All give the same bits.
struct RowMath {
  /// sum of weight * (x - q * scale)^2 over n values, a multiple of kRowLanes, with q the nearest
  /// integer to x / scale within [low, high].
  float (*integer_error)(const float* x, const float* weight, std::size_t n, float scale, float low,
                         float high);
  /// The same with q the nearest e2m1 value.
  float (*e2m1_error)(const float* x, const float* weight, std::size_t n, float scale);
  /// q - low of each of n values, any number.
  void (*integer_codes)(const float* x, std::size_t n, float scale, float low, float high,
                        std::uint8_t* codes);
};

inline constexpr std::size_t kRowLanes = 16;

/// For the CPU this runs on.
const RowMath& row_math();

}  // namespace zaya
