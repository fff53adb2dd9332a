#include "compute/weight_view.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/dtype.h"

namespace zaya {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Quantiles of the standard normal distribution, scaled to [-1, 1]: arXiv:2305.14314, appendix E.
constexpr std::array<float, 16> kNf4{
    -1.0F,
    -0.6961928009986877F,
    -0.5250730514526367F,
    -0.39491748809814453F,
    -0.28444138169288635F,
    -0.18477343022823334F,
    -0.09105003625154495F,
    0.0F,
    0.07958029955625534F,
    0.16093020141124725F,
    0.24611230194568634F,
    0.33791524171829224F,
    0.44070982933044434F,
    0.5626170039176941F,
    0.7229568362236023F,
    1.0F,
};

template <class T>
T load_as(const std::byte* data, std::size_t i) {
  T value;
  std::memcpy(&value, data + i * sizeof(T), sizeof(T));
  return value;
}

float scale_value(ScaleCode code, const std::byte* data, std::size_t i) {
  switch (code) {
    case ScaleCode::none:
      return 1;
    case ScaleCode::f32:
      return load_as<float>(data, i);
    case ScaleCode::bf16:
      return to_float(load_as<bf16>(data, i));
    case ScaleCode::f16:
      return f16_to_float(load_as<std::uint16_t>(data, i));
    case ScaleCode::e8m0:
      return e8m0_to_float(load_as<std::uint8_t>(data, i));
    case ScaleCode::e4m3:
      return e4m3_to_float(load_as<std::uint8_t>(data, i));
  }
  return 0;
}

float code_value(WeightCode code, const std::byte* row, std::size_t c) {
  const auto nibble = [&] { return (load_as<std::uint8_t>(row, c / 2) >> (c % 2 * 4)) & 15U; };
  switch (code) {
    case WeightCode::f32:
      return load_as<float>(row, c);
    case WeightCode::bf16:
      return to_float(load_as<bf16>(row, c));
    case WeightCode::i8:
      return load_as<std::int8_t>(row, c);
    case WeightCode::u8:
      return static_cast<float>(load_as<std::uint8_t>(row, c)) - 128.0F;
    case WeightCode::e4m3:
      return e4m3_to_float(load_as<std::uint8_t>(row, c));
    case WeightCode::u4:
      return static_cast<float>(nibble()) - 8.0F;
    case WeightCode::e2m1:
      return e2m1_to_float(nibble());
    case WeightCode::nf4:
      return nf4_to_float(nibble());
  }
  return 0;
}

}  // namespace

WeightView WeightView::from_row(std::size_t first) const {
  WeightView view = *this;
  view.rows -= first;
  view.data += first * row_bytes;
  if (scales != nullptr) view.scales += first / scale_rows * scale_row_bytes;
  return view;
}

std::size_t code_bits(WeightCode code) {
  switch (code) {
    case WeightCode::f32:
      return 32;
    case WeightCode::bf16:
      return 16;
    case WeightCode::i8:
    case WeightCode::u8:
    case WeightCode::e4m3:
      return 8;
    case WeightCode::u4:
    case WeightCode::e2m1:
    case WeightCode::nf4:
      return 4;
  }
  return 0;
}

std::string_view code_name(WeightCode code) {
  switch (code) {
    case WeightCode::f32:
      return "f32";
    case WeightCode::bf16:
      return "bf16";
    case WeightCode::i8:
    case WeightCode::u8:
      return "int8";
    case WeightCode::e4m3:
      return "fp8-e4m3";
    case WeightCode::u4:
      return "int4";
    case WeightCode::e2m1:
      return "fp4-e2m1";
    case WeightCode::nf4:
      return "nf4";
  }
  return "unknown";
}

std::size_t scale_bytes(ScaleCode code) {
  switch (code) {
    case ScaleCode::none:
      return 0;
    case ScaleCode::f32:
      return 4;
    case ScaleCode::bf16:
    case ScaleCode::f16:
      return 2;
    case ScaleCode::e8m0:
    case ScaleCode::e4m3:
      return 1;
  }
  return 0;
}

std::size_t stored_bytes(const WeightView& view, std::size_t rows) {
  const std::size_t scale_rows = (rows + view.scale_rows - 1) / view.scale_rows;
  const std::size_t scale_cols = (view.cols + view.scale_cols - 1) / view.scale_cols;
  return (rows * view.cols * code_bits(view.code) + 7) / 8 +
         scale_rows * scale_cols * scale_bytes(view.scale_code);
}

float e2m1_to_float(unsigned code) {
  constexpr std::array<float, 8> kMagnitude{0, 0.5F, 1, 1.5F, 2, 3, 4, 6};
  const float magnitude = kMagnitude[code & 7U];
  return (code & 8U) != 0 ? -magnitude : magnitude;
}

float nf4_to_float(unsigned code) {
  return kNf4[code & 15U];
}

float e4m3_to_float(std::uint8_t code) {
  const unsigned exponent = (code >> 3U) & 15U;
  const unsigned mantissa = code & 7U;
  if (exponent == 15 && mantissa == 7) return kNaN;
  const float magnitude =
      exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                    : std::ldexp(static_cast<float>(8 + mantissa), static_cast<int>(exponent) - 10);
  return (code & 0x80U) != 0 ? -magnitude : magnitude;
}

std::uint8_t to_e4m3(float value) {
  if (std::isnan(value)) return 0x7f;
  const auto sign = static_cast<std::uint8_t>(std::signbit(value) ? 0x80 : 0);
  const float magnitude = std::min(std::fabs(value), 448.0F);
  // Below 2^-6 steps are 2^-9; above, a value has 3 bits after its first.
  if (magnitude < 0x1p-6F) {
    return static_cast<std::uint8_t>(sign | static_cast<unsigned>(std::nearbyint(magnitude * 512)));
  }
  const auto bits = std::bit_cast<std::uint32_t>(magnitude);
  const std::uint32_t kept = (bits + 0x7ffffU + ((bits >> 20) & 1U)) >> 20;
  return static_cast<std::uint8_t>(sign | (kept - (120U << 3)));
}

float e8m0_to_float(std::uint8_t code) {
  if (code == 255) return kNaN;
  // 2^-127 is below the normal range of a float.
  if (code == 0) return std::bit_cast<float>(std::uint32_t{1} << 22U);
  return std::bit_cast<float>(static_cast<std::uint32_t>(code) << 23U);
}

const float* byte_values(WeightCode code) {
  const auto make = [](WeightCode of) {
    const std::size_t each = 8 / code_bits(of);
    std::array<float, 512> values{};
    for (std::size_t b = 0; b < 256; ++b) {
      const auto byte = static_cast<std::byte>(b);
      for (std::size_t i = 0; i < each; ++i) values[b * each + i] = code_value(of, &byte, i);
    }
    return values;
  };
  static const auto i8 = make(WeightCode::i8);
  static const auto u8 = make(WeightCode::u8);
  static const auto e4m3 = make(WeightCode::e4m3);
  static const auto u4 = make(WeightCode::u4);
  static const auto e2m1 = make(WeightCode::e2m1);
  static const auto nf4 = make(WeightCode::nf4);
  switch (code) {
    case WeightCode::i8:
      return i8.data();
    case WeightCode::u8:
      return u8.data();
    case WeightCode::e4m3:
      return e4m3.data();
    case WeightCode::u4:
      return u4.data();
    case WeightCode::e2m1:
      return e2m1.data();
    case WeightCode::nf4:
      return nf4.data();
    case WeightCode::f32:
    case WeightCode::bf16:
      break;
  }
  return nullptr;
}

float scale_of(const WeightView& view, std::size_t r, std::size_t c) {
  const std::byte* scales = view.scales + r / view.scale_rows * view.scale_row_bytes;
  return scale_value(view.scale_code, scales, c / view.scale_cols) * view.global;
}

void copy_row(const WeightView& view, std::size_t r, std::size_t first, std::size_t n, float* out) {
  const std::byte* row = view.data + r * view.row_bytes;
  for (std::size_t i = 0; i < n;) {
    const std::size_t group = (first + i) / view.scale_cols;
    const std::size_t end =
        view.scale_code == ScaleCode::none ? n : std::min(n, (group + 1) * view.scale_cols - first);
    const float scale = scale_of(view, r, first + i);
    for (; i < end; ++i) out[i] = code_value(view.code, row, first + i) * scale;
  }
}

}  // namespace zaya
