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
                     const PackedRows& inputs, Rows<float> y, std::byte* scratch) {
  auto* row = reinterpret_cast<float*>(scratch);
  for (std::size_t n = first; n < last; ++n) {
    copy_row(w, n, row);
    for (std::size_t r = inputs.begin; r < inputs.end; ++r) {
      const float* x = reinterpret_cast<const float*>(inputs.data) + r * w.cols;
      float sum = 0;
      for (std::size_t k = 0; k < w.cols; ++k) sum += x[k] * row[k];
      y.row(r)[n - first] = sum;
    }
  }
}

std::size_t float_scratch_bytes(const WeightView& w, InputKind, std::size_t) {
  return w.cols * sizeof(float);
}

/// Columns that share a scale.
std::size_t block_of(InputKind kind, std::size_t depth) {
  return kind == InputKind::int8 ? kInputBlock : depth;
}

/// Packed integers: [rows, depth] of 16 bits, then [rows, blocks] scales.
std::size_t scales_at(std::size_t rows, std::size_t depth) {
  return (rows * depth * sizeof(std::int16_t) + 3) / 4 * 4;
}

std::size_t blocks_of(InputKind kind, std::size_t depth) {
  const std::size_t block = block_of(kind, depth);
  return (depth + block - 1) / block;
}

std::size_t integer_bytes(InputKind kind, std::size_t rows, std::size_t depth) {
  return scales_at(rows, depth) + rows * blocks_of(kind, depth) * sizeof(float);
}

/// Rounds n values to integers of at most `largest`; returns their scale.
float round_to_integers(const float* x, std::size_t n, float largest, std::int16_t* out) {
  float most = 0;
  bool number = true;
  for (std::size_t i = 0; i < n; ++i) {
    most = std::max(most, std::abs(x[i]));
    number = number && !std::isnan(x[i]);
  }
  const float scale = number ? most / largest : NAN;
  const float inverse = scale == 0 ? 0.0F : 1.0F / scale;
  for (std::size_t i = 0; i < n; ++i) {
    const float v = std::nearbyint(x[i] * inverse);
    out[i] = std::abs(v) <= largest ? static_cast<std::int16_t>(v) : std::int16_t{0};
  }
  return scale;
}

void pack_integers(InputKind kind, Rows<const float> x, const std::uint32_t* index,
                   std::size_t rows, std::size_t first, std::size_t last, std::size_t depth,
                   std::byte* out) {
  const std::size_t block = block_of(kind, depth);
  const std::size_t blocks = blocks_of(kind, depth);
  const float largest = kind == InputKind::int8 ? 127.0F : 32512.0F;
  auto* scales = reinterpret_cast<float*>(out + scales_at(rows, depth));
  for (std::size_t r = first; r < last; ++r) {
    const float* from = x.row(index == nullptr ? r : index[r]);
    auto* to = reinterpret_cast<std::int16_t*>(out) + r * depth;
    for (std::size_t b = 0; b < blocks; ++b) {
      const std::size_t at = b * block;
      scales[r * blocks + b] =
          round_to_integers(from + at, std::min(block, depth - at), largest, to + at);
    }
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

void multiply_integers(const WeightView& w, std::size_t first, std::size_t last, InputKind kind,
                       const PackedRows& inputs, Rows<float> y, std::byte* scratch) {
  auto* row = reinterpret_cast<std::int32_t*>(scratch);
  const std::size_t block = block_of(kind, w.cols);
  const std::size_t blocks = blocks_of(kind, w.cols);
  const auto* scales = reinterpret_cast<const float*>(inputs.data + scales_at(inputs.rows, w.cols));
  for (std::size_t n = first; n < last; ++n) {
    const float scale = weight_integers(w, n, row);
    for (std::size_t r = inputs.begin; r < inputs.end; ++r) {
      const auto* x = reinterpret_cast<const std::int16_t*>(inputs.data) + r * w.cols;
      const auto sum_of = [&](std::size_t b) {
        std::int64_t sum = 0;
        const std::size_t end = std::min(w.cols, (b + 1) * block);
        for (std::size_t k = b * block; k < end; ++k) sum += x[k] * row[k];
        return static_cast<float>(sum);
      };
      if (kind == InputKind::int16) {
        y.row(r)[n - first] = sum_of(0) * (scale * scales[r]);
        continue;
      }
      float total = 0;
      for (std::size_t b = 0; b < blocks; ++b) {
        total = std::fma(sum_of(b), scales[r * blocks + b], total);
      }
      y.row(r)[n - first] = total * scale;
    }
  }
}

std::size_t integer_scratch_bytes(const WeightView& w, InputKind, std::size_t) {
  return w.cols * sizeof(std::int32_t);
}

}  // namespace

const LinearKernels kScalarFloats = {float_bytes, pack_floats, float_scratch_bytes,
                                     multiply_floats};
const LinearKernels kScalarIntegers = {integer_bytes, pack_integers, integer_scratch_bytes,
                                       multiply_integers};

}  // namespace zaya
