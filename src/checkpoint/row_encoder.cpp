#include "checkpoint/row_encoder.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "base/dtype.h"
#include "checkpoint/row_math.h"
#include "compute/weight_view.h"
#include "zaya/error.h"

namespace zaya {
namespace {

constexpr std::size_t kInt4Group = 32;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Named {
  WeightFormat format;
  std::string_view name;
};
constexpr std::array<Named, 6> kNames{{{WeightFormat::bf16, "bf16"},
                                       {WeightFormat::int8, "int8"},
                                       {WeightFormat::int4, "int4"},
                                       {WeightFormat::mxfp4, "mxfp4"},
                                       {WeightFormat::nvfp4, "nvfp4"},
                                       {WeightFormat::fp8, "fp8"}}};

void put_bf16(std::byte* out, float value) {
  const std::uint16_t bits = to_bf16(value).bits;
  std::memcpy(out, &bits, sizeof(bits));
}

/// The bf16 value `steps` away from a positive one.
float bf16_neighbour(float value, int steps) {
  return to_float(bf16{static_cast<std::uint16_t>(to_bf16(value).bits + steps)});
}

/// The smallest number of 4 significant bits that is not below a positive value.
float unit_above(float value) {
  int exponent = 0;
  const float fraction = std::frexp(value, &exponent);  // in [0.5, 1)
  return std::ldexp(std::ceil(fraction * 16), exponent - 4);
}

/// The next smaller number of 4 significant bits.
float unit_below(float unit) {
  int exponent = 0;
  const float fraction = std::frexp(unit, &exponent);
  return fraction == 0.5F ? std::ldexp(15.0F, exponent - 5)
                          : std::ldexp(fraction * 16 - 1, exponent - 4);
}

/// Index of the nearest e2m1 magnitude, ties to the even code.
unsigned nearest_e2m1(float magnitude) {
  return static_cast<unsigned>(magnitude > 0.25F) + static_cast<unsigned>(magnitude >= 0.75F) +
         static_cast<unsigned>(magnitude > 1.25F) + static_cast<unsigned>(magnitude >= 1.75F) +
         static_cast<unsigned>(magnitude > 2.5F) + static_cast<unsigned>(magnitude >= 3.5F) +
         static_cast<unsigned>(magnitude > 5.0F);
}

unsigned e2m1_code(float value) {
  return nearest_e2m1(std::fabs(value)) | (std::signbit(value) ? 8U : 0U);
}

constexpr float kInt4Top = 7;    // the largest positive code
constexpr float kInt4Most = 15;  // the largest multiple of a row's unit

/// A row of groups of int4, and the best scale of each among the multiples of a unit.
struct Int4Row {
  const float* row;
  const float* weight;
  const float* magnitudes;  ///< the largest of each group
  std::size_t widest;       ///< the group with the largest of all

  /// Adds the group's error to `sum`.
  int multiple(std::size_t g, float unit, float& sum) const {
    // Cutting off more of a group than that did not pay.
    constexpr float kDeepest = 0.6F;
    // The multiple at which nothing is cut off, and from there down.
    const float full = magnitudes[g] / (kInt4Top * unit);
    auto high = static_cast<int>(std::clamp(std::ceil(full), 1.0F, kInt4Most));
    auto low = static_cast<int>(std::clamp(full * kDeepest, 1.0F, kInt4Most));
    if (g == widest) low = high = static_cast<int>(kInt4Most);
    int best = high;
    float least = kInfinity;
    for (int m = high; m >= low; --m) {
      const float error =
          row_math().integer_error(row + g * kInt4Group, weight + g * kInt4Group, kInt4Group,
                                   static_cast<float>(m) * unit, -8, kInt4Top);
      if (error < least) {
        least = error;
        best = m;
      }
    }
    sum += least;
    return best;
  }
};

}  // namespace

bool parse_weight_format(std::string_view name, WeightFormat& format) {
  const auto* it =
      std::find_if(kNames.begin(), kNames.end(), [&](const Named& n) { return n.name == name; });
  if (it == kNames.end()) return false;
  format = it->format;
  return true;
}

std::string_view weight_format_name(WeightFormat format) {
  const auto* it = std::find_if(kNames.begin(), kNames.end(),
                                [&](const Named& n) { return n.format == format; });
  return it == kNames.end() ? "keep" : it->name;
}

float largest_magnitude(const float* values, std::size_t n) {
  // As integers, floats of one sign keep their order, and NaN is above all.
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, values + i, sizeof(bits));
    bits &= 0x7fffffffU;
    largest = bits > largest ? bits : largest;
  }
  return std::bit_cast<float>(largest);
}

RowEncoder::RowEncoder(WeightFormat format, std::size_t cols) : format_(format), cols_(cols) {
  std::size_t group = 1;
  switch (format) {
    case WeightFormat::int8:
      code_bytes_ = (cols + 3) / 4 * 4;
      scale_bytes_ = 2;
      break;
    case WeightFormat::fp8:
      code_bytes_ = cols;
      scale_bytes_ = 2;
      break;
    case WeightFormat::int4:
      group = kInt4Group;
      code_bytes_ = cols / 2;
      scale_bytes_ = cols / group * 2;
      break;
    case WeightFormat::mxfp4:
    case WeightFormat::nvfp4:
      group = format == WeightFormat::mxfp4 ? 32 : 16;
      code_bytes_ = cols / 2;
      scale_bytes_ = cols / group;
      break;
    default:
      code_bytes_ = cols * sizeof(bf16);
      break;
  }
  if (cols % group != 0) {
    throw Error({.where = std::string(weight_format_name(format)),
                 .what = fmt::format("has a scale every {} columns", group),
                 .expected = fmt::format("rows that are a multiple of {} long", group),
                 .found = fmt::format("{}", cols)});
  }
  // Rows are searched in whole lanes; what is past their end counts nothing.
  ones_.assign((cols + kRowLanes - 1) / kRowLanes * kRowLanes, 1.0F);
  std::fill(ones_.begin() + static_cast<std::ptrdiff_t>(cols), ones_.end(), 0.0F);
  magnitudes_.resize(cols / kInt4Group);
}

void RowEncoder::encode(const float* row, const float* importance, float global, std::byte* codes,
                        std::byte* scales) {
  switch (format_) {
    case WeightFormat::int8:
      int8(row, importance, codes, scales);
      break;
    case WeightFormat::int4:
      int4(row, importance, codes, scales);
      break;
    case WeightFormat::mxfp4:
    case WeightFormat::nvfp4:
      fp4(row, importance, global, codes, scales);
      break;
    case WeightFormat::fp8:
      fp8(row, codes, scales);
      break;
    default:
      for (std::size_t i = 0; i < cols_; ++i) put_bf16(codes + 2 * i, row[i]);
      break;
  }
}

void RowEncoder::int8(const float* row, const float* importance, std::byte* codes,
                      std::byte* scales) const {
  const RowMath& math = row_math();
  const float largest = largest_magnitude(row, cols_);
  const std::size_t whole = cols_ / kRowLanes * kRowLanes;
  std::array<float, kRowLanes> rest{};
  std::array<float, kRowLanes> rest_weight{};
  const float* weight = importance == nullptr ? ones_.data() : importance;
  std::copy(row + whole, row + cols_, rest.begin());
  std::copy(weight + whole, weight + cols_, rest_weight.begin());
  const auto error = [&](float scale) {
    return math.integer_error(row, weight, whole, scale, -128, 127) +
           math.integer_error(rest.data(), rest_weight.data(), kRowLanes, scale, -128, 127);
  };

  // A smaller scale rounds all weights finer and cuts off the largest: step down while that pays,
  // then try the neighbours of the best.
  constexpr float kSmallest = 0x1p-100F;
  float best = std::max(to_float(to_bf16(largest / 127)), kSmallest);
  float least = largest < kSmallest ? 0 : error(best);
  const float start = best;
  int worse = 0;
  for (float factor = 0.94F; factor > 0.1F && worse < 2 && least > 0; factor *= 0.94F) {
    const float scale = to_float(to_bf16(start * factor));
    const float e = error(scale);
    worse = e < least ? 0 : worse + 1;
    if (e < least) {
      least = e;
      best = scale;
    }
  }
  const float middle = best;
  for (const int steps : {-4, -3, -2, -1, 1, 2, 3, 4}) {
    if (!(least > 0)) break;
    const float scale = bf16_neighbour(middle, steps);
    const float e = error(scale);
    if (e < least) {
      least = e;
      best = scale;
    }
  }

  math.integer_codes(row, cols_, best, -128, 127, reinterpret_cast<std::uint8_t*>(codes));
  std::fill(codes + cols_, codes + code_bytes_, std::byte{0});
  put_bf16(scales, best);
}

void RowEncoder::int4(const float* row, const float* importance, std::byte* codes,
                      std::byte* scales) {
  constexpr int kUnits = 7;             // steps of an eighth of an octave, down to about 0.6
  constexpr std::size_t kSampled = 16;  // groups that choose the unit
  constexpr float kSmallest = 0x1p-80F;

  const std::size_t groups = cols_ / kInt4Group;
  std::size_t widest = 0;
  for (std::size_t g = 0; g < groups; ++g) {
    magnitudes_[g] = largest_magnitude(row + g * kInt4Group, kInt4Group);
    if (magnitudes_[g] > magnitudes_[widest]) widest = g;
  }
  const Int4Row search{row, importance == nullptr ? ones_.data() : importance, magnitudes_.data(),
                       widest};

  // The widest group has the multiple 15, so its scale decides the unit. A smaller unit cuts off
  // more of it and rounds all groups finer.
  float unit = unit_above(std::max(magnitudes_[widest], kSmallest) / (kInt4Top * kInt4Most));
  float best = unit;
  float least = kInfinity;
  const std::size_t stride = std::max<std::size_t>(groups / kSampled, 1);
  for (int u = 0; u < kUnits; ++u, unit = unit_below(unit)) {
    float sum = 0;
    search.multiple(widest, unit, sum);
    for (std::size_t g = 0; g < groups && sum < least; g += stride) {
      if (g != widest) search.multiple(g, unit, sum);
    }
    if (sum < least) {
      least = sum;
      best = unit;
    }
  }

  std::array<std::uint8_t, kInt4Group> values{};
  for (std::size_t g = 0; g < groups; ++g) {
    float ignored = 0;
    const float scale = static_cast<float>(search.multiple(g, best, ignored)) * best;
    put_bf16(scales + 2 * g, scale);
    row_math().integer_codes(row + g * kInt4Group, kInt4Group, scale, -8, kInt4Top, values.data());
    std::byte* out = codes + g * kInt4Group / 2;
    for (std::size_t i = 0; i < kInt4Group / 2; ++i) {
      out[i] = static_cast<std::byte>(values[2 * i] | values[2 * i + 1] << 4);
    }
  }
}

void RowEncoder::fp4(const float* row, const float* importance, float global, std::byte* codes,
                     std::byte* scales) const {
  constexpr float kLargest = 6;
  const bool mx = format_ == WeightFormat::mxfp4;
  const std::size_t group = mx ? 32 : 16;
  const float* weight = importance == nullptr ? ones_.data() : importance;
  for (std::size_t g = 0; g < cols_ / group; ++g) {
    const float* x = row + g * group;
    const float* w = weight + g * group;
    const float full = largest_magnitude(x, group) / (kLargest * global);
    // Codes of the scale: around the one that just holds the largest weight.
    unsigned top = 0;
    if (mx) {
      const int exponent = full > 0 ? std::ilogb(full) + 1 : -127;
      top = static_cast<unsigned>(std::clamp(exponent, -126, 127) + 127);
    } else {
      top = std::clamp(to_e4m3(full) + 1U, 1U, 126U);
    }
    const unsigned tried = std::min(top, mx ? 3U : 9U);
    unsigned best = top;
    float least = kInfinity;
    for (unsigned i = 0; i < tried; ++i) {
      const auto code = static_cast<std::uint8_t>(top - i);
      const float scale = (mx ? e8m0_to_float(code) : e4m3_to_float(code)) * global;
      const float e = row_math().e2m1_error(x, w, group, scale);
      if (e < least) {
        least = e;
        best = code;
      }
    }
    const auto code = static_cast<std::uint8_t>(best);
    scales[g] = static_cast<std::byte>(code);
    const float inverse = 1 / ((mx ? e8m0_to_float(code) : e4m3_to_float(code)) * global);
    std::byte* out = codes + g * group / 2;
    for (std::size_t i = 0; i < group; i += 2) {
      out[i / 2] =
          static_cast<std::byte>(e2m1_code(x[i] * inverse) | e2m1_code(x[i + 1] * inverse) << 4);
    }
  }
}

void RowEncoder::fp8(const float* row, std::byte* codes, std::byte* scales) const {
  // The error of a float is relative: the scale need only keep the largest weight in range.
  constexpr float kLargest = 448;
  const float scale =
      std::max(to_float(to_bf16(largest_magnitude(row, cols_) / kLargest)), 0x1p-100F);
  const float inverse = 1 / scale;
  for (std::size_t i = 0; i < cols_; ++i) {
    codes[i] = static_cast<std::byte>(to_e4m3(row[i] * inverse));
  }
  put_bf16(scales, scale);
}

}  // namespace zaya
