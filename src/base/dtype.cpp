#include "base/dtype.h"

#include <array>
#include <cmath>

namespace zaya {
namespace {

struct Row {
  DType type;
  std::size_t size;
  std::string_view name;
};

constexpr std::array<Row, 13> kTypes{{
    {DType::f32, 4, "F32"},
    {DType::bf16, 2, "BF16"},
    {DType::f16, 2, "F16"},
    {DType::f64, 8, "F64"},
    {DType::i64, 8, "I64"},
    {DType::i32, 4, "I32"},
    {DType::i16, 2, "I16"},
    {DType::i8, 1, "I8"},
    {DType::u8, 1, "U8"},
    {DType::boolean, 1, "BOOL"},
    {DType::f8_e4m3, 1, "F8_E4M3"},
    {DType::f8_e5m2, 1, "F8_E5M2"},
    {DType::f8_e8m0, 1, "F8_E8M0"},
}};

const Row& row(DType type) {
  return kTypes[static_cast<std::size_t>(type)];
}

}  // namespace

std::size_t dtype_size(DType type) {
  return row(type).size;
}

std::string_view dtype_name(DType type) {
  return row(type).name;
}

bool parse_dtype(std::string_view name, DType& type) {
  for (const Row& r : kTypes) {
    if (r.name == name) {
      type = r.type;
      return true;
    }
  }
  return false;
}

float f16_to_float(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const auto mantissa = static_cast<float>(bits & 1023);
  float value = 0;
  if (exponent == 0) {
    value = std::ldexp(mantissa, -24);
  } else if (exponent == 31) {
    value = mantissa == 0 ? INFINITY : NAN;
  } else {
    value = std::ldexp(1024 + mantissa, exponent - 25);
  }
  return (bits & 0x8000) != 0 ? -value : value;
}

}  // namespace zaya
