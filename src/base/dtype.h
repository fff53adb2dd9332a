#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace zaya {

/// Element types as safetensors names them.
enum class DType : std::uint8_t {
  f32,
  bf16,
  f16,
  f64,
  i64,
  i32,
  i16,
  i8,
  u8,
  boolean,
  f8_e4m3,
  f8_e5m2,
  f8_e8m0
};

/// Bytes of one element.
std::size_t dtype_size(DType type);
/// The safetensors spelling: "F32", "BF16", ...
std::string_view dtype_name(DType type);
/// The reverse of dtype_name; false when the name is none of ours.
bool parse_dtype(std::string_view name, DType& type);

/// A bfloat16 value: the upper half of an IEEE float.
struct bf16 {
  std::uint16_t bits;
};

inline float to_float(bf16 v) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(v.bits) << 16);
}

/// Round to nearest, ties to even; NaN stays NaN.
inline bf16 to_bf16(float v) {
  const auto u = std::bit_cast<std::uint32_t>(v);
  if ((u & 0x7fffffffU) > 0x7f800000U) return {static_cast<std::uint16_t>((u >> 16) | 0x40U)};
  return {static_cast<std::uint16_t>((u + 0x7fffU + ((u >> 16) & 1U)) >> 16)};
}

/// IEEE half precision, given by its bits.
float f16_to_float(std::uint16_t bits);

}  // namespace zaya
