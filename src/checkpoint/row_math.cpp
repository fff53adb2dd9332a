// The searches of the encoder look at every weight a dozen times and more. This file is compiled
// with -O3; its loops keep sums in lanes, since the order of a float sum is not the compiler's to
// change, and so give the same bits on every instruction set.
#include "checkpoint/row_math.h"

#define ZAYA_INLINE inline __attribute__((always_inline))

namespace zaya {
namespace {

/// Adding and subtracting it rounds a float of magnitude below 2^22 to the nearest integer.
constexpr float kRounder = 12582912.0F;

ZAYA_INLINE float quantum(float value, float inverse, float low, float high) {
  float q = value * inverse;
  q = q < low ? low : q;
  q = q > high ? high : q;
  return (q + kRounder) - kRounder;
}

/// The nearest e2m1 magnitude, ties to the even code.
ZAYA_INLINE float e2m1_magnitude(float a) {
  float value = a > 0.25F ? 0.5F : 0.0F;
  value += a >= 0.75F ? 0.5F : 0.0F;
  value += a > 1.25F ? 0.5F : 0.0F;
  value += a >= 1.75F ? 0.5F : 0.0F;
  value += a > 2.5F ? 1.0F : 0.0F;
  value += a >= 3.5F ? 1.0F : 0.0F;
  value += a > 5.0F ? 2.0F : 0.0F;
  return value;
}

/// Sums f(i) over i below n, a multiple of kRowLanes.
template <class F>
ZAYA_INLINE float lane_sum(std::size_t n, F f) {
  float sums[kRowLanes] = {};  // NOLINT(modernize-avoid-c-arrays): no call of a library function
  for (std::size_t i = 0; i < n; i += kRowLanes) {
    for (std::size_t j = 0; j < kRowLanes; ++j) sums[j] += f(i + j);
  }
  for (std::size_t j = 0; j < 8; ++j) sums[j] += sums[j + 8];
  for (std::size_t j = 0; j < 4; ++j) sums[j] += sums[j + 4];
  return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

ZAYA_INLINE float integer_error(const float* x, const float* weight, std::size_t n, float scale,
                                float low, float high) {
  const float inverse = 1 / scale;
  return lane_sum(
      n, [=](std::size_t i) __attribute__((always_inline)) {
        const float d = x[i] - quantum(x[i], inverse, low, high) * scale;
        return weight[i] * d * d;
      });
}

ZAYA_INLINE float e2m1_error(const float* x, const float* weight, std::size_t n, float scale) {
  const float inverse = 1 / scale;
  return lane_sum(
      n, [=](std::size_t i) __attribute__((always_inline)) {
        const float a = x[i] < 0 ? -x[i] : x[i];
        const float d = a - e2m1_magnitude(a * inverse) * scale;
        return weight[i] * d * d;
      });
}

ZAYA_INLINE void integer_codes(const float* x, std::size_t n, float scale, float low, float high,
                               std::uint8_t* codes) {
  const float inverse = 1 / scale;
  for (std::size_t i = 0; i < n; ++i) {
    codes[i] = static_cast<std::uint8_t>(static_cast<int>(quantum(x[i], inverse, low, high) - low));
  }
}

#define ZAYA_ROW_MATH(NAME, TARGET)                                                             \
  struct NAME {                                                                                 \
    TARGET static float error(const float* x, const float* w, std::size_t n, float scale,       \
                              float low, float high) {                                          \
      return integer_error(x, w, n, scale, low, high);                                          \
    }                                                                                           \
    TARGET static float fp4(const float* x, const float* w, std::size_t n, float scale) {       \
      return e2m1_error(x, w, n, scale);                                                        \
    }                                                                                           \
    TARGET static void codes(const float* x, std::size_t n, float scale, float low, float high, \
                             std::uint8_t* out) {                                               \
      integer_codes(x, n, scale, low, high, out);                                               \
    }                                                                                           \
    static constexpr RowMath kMath{error, fp4, codes};                                          \
  }

ZAYA_ROW_MATH(Baseline, );
#if defined(__x86_64__)
ZAYA_ROW_MATH(Avx2, __attribute__((target("avx2"))));
#endif

}  // namespace

const RowMath& row_math() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return Avx2::kMath;
#endif
  return Baseline::kMath;
}

}  // namespace zaya
