#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "compute/kernels/tables.h"

// Products with stored weights in plain C++: what every other set is tested against.
namespace zaya {
namespace {

std::size_t float_bytes(InputKind, std::size_t rows, std::size_t depth) {
  return rows * depth * sizeof(float);
}

void pack_floats(InputKind kind, Rows<const float> x, const std::uint32_t* index, std::size_t,
                 std::size_t first, std::size_t last, std::size_t depth, std::byte* out) {
  for (std::size_t r = first; r < last; ++r) {
    const float* from = x.row(index == nullptr ? r : index[r]);
    float* to = reinterpret_cast<float*>(out) + r * depth;
    for (std::size_t i = 0; i < depth; ++i) {
      to[i] = kind == InputKind::bf16 ? to_float(to_bf16(from[i])) : from[i];
    }
  }
}

void multiply_floats(const WeightView& w, std::size_t first, std::size_t last, InputKind,
                     const std::byte* packed, std::size_t rows, Rows<float> y, std::byte* scratch) {
  auto* row = reinterpret_cast<float*>(scratch);
  for (std::size_t n = first; n < last; ++n) {
    copy_row(w, n, row);
    for (std::size_t r = 0; r < rows; ++r) {
      const float* x = reinterpret_cast<const float*>(packed) + r * w.cols;
      float sum = 0;
      for (std::size_t k = 0; k < w.cols; ++k) sum += x[k] * row[k];
      y.row(r)[n - first] = sum;
    }
  }
}

std::size_t float_scratch_bytes(const WeightView& w, InputKind) {
  return w.cols * sizeof(float);
}

/// Packed integers: [rows, depth] of 16 bits, then a scale a row.
std::size_t scales_at(std::size_t rows, std::size_t depth) {
  return (rows * depth * sizeof(std::int16_t) + 3) / 4 * 4;
}

std::size_t integer_bytes(InputKind, std::size_t rows, std::size_t depth) {
  return scales_at(rows, depth) + rows * sizeof(float);
}

void pack_integers(InputKind, Rows<const float> x, const std::uint32_t* index, std::size_t rows,
                   std::size_t first, std::size_t last, std::size_t depth, std::byte* out) {
  for (std::size_t r = first; r < last; ++r) {
    const float* from = x.row(index == nullptr ? r : index[r]);
    float most = 0;
    bool number = true;
    for (std::size_t i = 0; i < depth; ++i) {
      most = std::max(most, std::abs(from[i]));
      number = number && !std::isnan(from[i]);
    }
    const float scale = number ? most / 32512.0F : NAN;
    const float inverse = scale == 0 ? 0.0F : 1.0F / scale;
    auto* to = reinterpret_cast<std::int16_t*>(out) + r * depth;
    for (std::size_t i = 0; i < depth; ++i) {
      const float v = std::nearbyint(from[i] * inverse);
      to[i] = std::abs(v) <= 32512 ? static_cast<std::int16_t>(v) : std::int16_t{0};
    }
    reinterpret_cast<float*>(out + scales_at(rows, depth))[r] = scale;
  }
}

/// Row n of a matrix as integers of 8 bits; returns what they are multiplied by.
float weight_integers(const WeightView& w, std::size_t n, std::int32_t* out) {
  const std::byte* row = w.data + n * w.row_bytes;
  if (w.code != WeightCode::u4) {
    const int offset = w.code == WeightCode::u8 ? 128 : 0;
    for (std::size_t k = 0; k < w.cols; ++k) {
      const auto byte = static_cast<std::uint8_t>(row[k]);
      out[k] = offset != 0 ? byte - offset : static_cast<std::int8_t>(byte);
    }
    return scale_of(w, n, 0);
  }
  WeightView scales = w;
  scales.global = 1;
  float most = 0;
  for (std::size_t k = 0; k < w.cols; k += w.scale_cols) {
    most = std::max(most, scale_of(scales, n, k));
  }
  const float unit = most / 15.0F;
  const float inverse = unit > 0 ? 1.0F / unit : 0.0F;
  for (std::size_t k = 0; k < w.cols; ++k) {
    const auto multiple = static_cast<int>(std::nearbyint(scale_of(scales, n, k) * inverse));
    const int code = static_cast<int>(row[k / 2]) >> (k % 2 * 4) & 15;
    out[k] = (code - 8) * multiple;
  }
  return unit * w.global;
}

void multiply_integers(const WeightView& w, std::size_t first, std::size_t last, InputKind,
                       const std::byte* packed, std::size_t rows, Rows<float> y,
                       std::byte* scratch) {
  auto* row = reinterpret_cast<std::int32_t*>(scratch);
  const auto* scales = reinterpret_cast<const float*>(packed + scales_at(rows, w.cols));
  for (std::size_t n = first; n < last; ++n) {
    const float scale = weight_integers(w, n, row);
    for (std::size_t r = 0; r < rows; ++r) {
      const auto* x = reinterpret_cast<const std::int16_t*>(packed) + r * w.cols;
      std::int64_t sum = 0;
      for (std::size_t k = 0; k < w.cols; ++k) sum += x[k] * row[k];
      y.row(r)[n - first] = static_cast<float>(sum) * (scale * scales[r]);
    }
  }
}

std::size_t integer_scratch_bytes(const WeightView& w, InputKind) {
  return w.cols * sizeof(std::int32_t);
}

}  // namespace

const LinearKernels kScalarFloats = {float_bytes, pack_floats, float_scratch_bytes,
                                     multiply_floats};
const LinearKernels kScalarIntegers = {integer_bytes, pack_integers, integer_scratch_bytes,
                                       multiply_integers};

}  // namespace zaya
