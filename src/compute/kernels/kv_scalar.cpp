// The plain kernels of stored keys and values. Writing a narrow format has no other: it is a small
// part of a step (a position a layer), and then a sequence holds the same codes on every
// instruction set.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "compute/kernels/tables.h"
#include "compute/weight_view.h"

namespace zaya {
namespace {

constexpr std::size_t kPositions = KvBlock::kPositions;
constexpr std::size_t kGroup = KvBlock::kGroup;

/// Where element i of a position lies, when `Per` neighbours along the summed dimension are side by
/// side.
template <bool Keys, std::size_t Per>
std::size_t place(std::size_t dim, std::size_t position, std::size_t i) {
  return Keys ? (i / Per * kPositions + position) * Per + i % Per
              : (position / Per * dim + i) * Per + position % Per;
}

/// The nearest whole number of |x| < 2^22, ties to even.
float whole(float x) {
  return (x + 0x1.8p23F) - 0x1.8p23F;
}

/// The least bf16 that is not below x >= 0; NaN where x is no number, 0 where its inverse would not
/// be one.
bf16 scale_up(float x) {
  if (!(x <= std::numeric_limits<float>::max())) return {0x7fc0};
  if (x < 1e-30F) return {0};
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return {static_cast<std::uint16_t>((bits >> 16) + ((bits & 0xffffU) != 0 ? 1 : 0))};
}

bf16* scales_of(std::byte* part, std::size_t dim, KvFormat format) {
  return reinterpret_cast<bf16*>(part + KvBlock::code_bytes(dim, format));
}

float largest(const float* x, std::size_t n) {
  float most = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const float size = std::fabs(x[i]);
    most = size > most || std::isnan(size) ? size : most;  // a NaN stays
  }
  return most;
}

template <bool Keys>
void write_f32(std::byte* part, std::size_t dim, std::size_t position, const float* x) {
  auto* out = reinterpret_cast<float*>(part);
  for (std::size_t i = 0; i < dim; ++i) out[place<Keys, 1>(dim, position, i)] = x[i];
}

template <bool Keys>
void write_bf16(std::byte* part, std::size_t dim, std::size_t position, const float* x) {
  auto* out = reinterpret_cast<bf16*>(part);
  for (std::size_t i = 0; i < dim; ++i) out[place<Keys, 2>(dim, position, i)] = to_bf16(x[i]);
}

template <bool Keys>
void write_fp8(std::byte* part, std::size_t dim, std::size_t position, const float* x) {
  for (std::size_t i = 0; i < dim; ++i) {
    part[place<Keys, 2>(dim, position, i)] = static_cast<std::byte>(to_e4m3(x[i]));
  }
}

template <bool Keys>
void write_int8(std::byte* part, std::size_t dim, std::size_t position, const float* x) {
  const bf16 rounded = scale_up(largest(x, dim) / 127);
  scales_of(part, dim, KvFormat::int8)[position] = rounded;
  const float scale = to_float(rounded);
  // A scale that is no number makes one of every code.
  const float inverse = scale > 0 ? 1 / scale : 0;
  for (std::size_t i = 0; i < dim; ++i) {
    const float code = inverse > 0 ? std::clamp(whole(x[i] * inverse), -127.0F, 127.0F) : 0;
    part[place<Keys, 2>(dim, position, i)] = static_cast<std::byte>(static_cast<int>(code));
  }
}

template <bool Keys>
void write_int4(std::byte* part, std::size_t dim, std::size_t position, const float* x) {
  constexpr float kMost = 32;
  const bf16 rounded = scale_up(largest(x, dim) / (8 * kMost));
  scales_of(part, dim, KvFormat::int4)[position] = rounded;
  const float scale = to_float(rounded);
  auto* multiples = reinterpret_cast<std::int8_t*>(part + KvBlock::multiples_offset(dim));
  for (std::size_t g = 0; g < dim / kGroup; ++g) {
    const float* group = x + g * kGroup;
    // The largest element takes code 0, the only one that is 8 steps off: the multiple has the
    // other sign.
    float extreme = 0;
    for (std::size_t i = 0; i < kGroup; ++i) {
      if (std::fabs(group[i]) > std::fabs(extreme)) extreme = group[i];
    }
    float multiple = 1;
    if (scale > 0) {
      multiple = std::clamp(std::ceil(std::fabs(extreme) / (8 * scale)), 1.0F, kMost);
      if (extreme > 0) multiple = -multiple;
    }
    multiples[g * kPositions + position] = static_cast<std::int8_t>(multiple);
    const float step = multiple * scale;
    const float inverse = scale > 0 ? 1 / step : 0;
    for (std::size_t i = 0; i < kGroup; ++i) {
      const float code = inverse != 0 ? std::clamp(whole(group[i] * inverse), -8.0F, 7.0F) : 0;
      const std::size_t at = place<Keys, 2>(dim, position, g * kGroup + i);
      const auto nibble = static_cast<unsigned>(static_cast<int>(code) + 8);
      const unsigned shift = at % 2 * 4;
      const auto old = std::to_integer<unsigned>(part[at / 2]);
      part[at / 2] = static_cast<std::byte>((old & ~(15U << shift)) | nibble << shift);
    }
  }
}

void store_bf16(std::byte* out, std::size_t i, float v) {
  const bf16 value = to_bf16(v);
  std::memcpy(out + i * sizeof(value), &value, sizeof(value));
}

void widen_fp8(const std::byte* part, std::size_t dim, std::byte* out, const std::byte* /*ahead*/) {
  for (std::size_t i = 0; i < kPositions * dim; ++i) {
    store_bf16(out, i, e4m3_to_float(std::to_integer<std::uint8_t>(part[i])));
  }
}

void widen_int8(const std::byte* part, std::size_t dim, std::byte* out,
                const std::byte* /*ahead*/) {
  for (std::size_t i = 0; i < kPositions * dim; ++i) {
    store_bf16(out, i, static_cast<float>(static_cast<std::int8_t>(part[i])));
  }
}

template <bool Keys>
void widen_int4(const std::byte* part, std::size_t dim, std::byte* out,
                const std::byte* /*ahead*/) {
  const auto* multiples =
      reinterpret_cast<const std::int8_t*>(part + KvBlock::multiples_offset(dim));
  for (std::size_t position = 0; position < kPositions; ++position) {
    for (std::size_t i = 0; i < dim; ++i) {
      const std::size_t at = place<Keys, 2>(dim, position, i);
      const unsigned code = std::to_integer<unsigned>(part[at / 2]) >> (at % 2 * 4) & 15U;
      const int value =
          (static_cast<int>(code) - 8) * multiples[i / kGroup * kPositions + position];
      store_bf16(out, at, static_cast<float>(value));
    }
  }
}

template <bool Keys>
std::array<KvKernels, kKvFormats> table() {
  return {{
      {.write = write_f32<Keys>},
      {.write = write_bf16<Keys>},
      {.write = write_fp8<Keys>, .widen = widen_fp8},
      {.write = write_int8<Keys>, .widen = widen_int8},
      {.write = write_int4<Keys>, .widen = widen_int4<Keys>},
  }};
}

}  // namespace

std::array<KvKernels, kKvFormats> scalar_kv(bool keys) {
  return keys ? table<true>() : table<false>();
}

}  // namespace zaya
