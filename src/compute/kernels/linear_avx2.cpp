#include <immintrin.h>

#include "compute/kernels/tables.h"

// Products of 16-bit inputs with 8-bit integer weights on AVX2: weights are widened to 16 bits, a
// few rows at a time, in scratch memory that stays in the cache; pairs of products are added up in
// 32 bits, and these before they can overflow in 64.
namespace zaya {
namespace {

constexpr std::size_t kLanes = 16;
constexpr std::size_t kRows = 4;    // weight rows
constexpr std::size_t kInputs = 2;  // 4 x 2 sums, 2 inputs and a product fill 11 of 16 registers
// 127 * 32639 * 2 a step of 16 columns: 256 steps stay below 2^31.
constexpr std::size_t kBlock = 256 * kLanes;

struct Packed {
  std::size_t rows;
  std::size_t depth;  ///< in whole vectors

  Packed(std::size_t count, std::size_t columns)
      : rows(count), depth((columns + 2 * kLanes - 1) / (2 * kLanes) * (2 * kLanes)) {}
  std::size_t scales() const { return rows * depth * sizeof(std::int16_t); }
  std::size_t bytes() const { return scales() + rows * sizeof(float); }
};

std::size_t packed_bytes(InputKind, std::size_t rows, std::size_t depth) {
  return Packed(rows, depth).bytes();
}

__m256 load_some(const float* x, std::size_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? static_cast<int>(n) : 8), lane);
  return _mm256_maskload_ps(x, mask);
}

float row_scale(const float* x, std::size_t depth) {
  __m256i most = _mm256_setzero_si256();
  for (std::size_t k = 0; k < depth; k += 8) {
    const __m256i bits = _mm256_castps_si256(load_some(x + k, depth - k));
    most = _mm256_max_epi32(most, _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff)));
  }
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
  return _mm_cvtss_f32(_mm_castsi128_ps(m)) / 32512.0F;
}

void pack(InputKind, Rows<const float> x, const std::uint32_t* index, std::size_t rows,
          std::size_t first, std::size_t last, std::size_t depth, std::byte* out) {
  const Packed p(rows, depth);
  for (std::size_t r = first; r < last; ++r) {
    const float* from = x.row(index == nullptr ? r : index[r]);
    const float scale = row_scale(from, depth);
    const __m256 inverse = _mm256_set1_ps(scale == 0 ? 0.0F : 1.0F / scale);
    const auto integers = [&](std::size_t k) {
      return k < depth ? _mm256_cvtps_epi32(_mm256_mul_ps(load_some(from + k, depth - k), inverse))
                       : _mm256_setzero_si256();
    };
    auto* to = reinterpret_cast<std::int16_t*>(out) + r * p.depth;
    for (std::size_t k = 0; k < p.depth; k += kLanes) {
      const __m256i pairs = _mm256_packs_epi32(integers(k), integers(k + 8));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + k),
                          _mm256_permute4x64_epi64(pairs, 0xd8));
    }
    reinterpret_cast<float*>(out + p.scales())[r] = scale;
  }
}

void store(std::int16_t* out, __m256i v) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(out), v);
}

/// Row n of 8-bit weights in 16 bits, 0 past its end.
void widen_bytes(const WeightView& w, std::size_t n, std::size_t depth, std::int16_t* out) {
  const std::byte* row = w.data + n * w.row_bytes;
  const bool offset = w.code == WeightCode::u8;
  std::size_t k = 0;
  for (; k + kLanes <= w.cols; k += kLanes) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + k));
    _mm_prefetch(reinterpret_cast<const char*>(row + kRows * w.row_bytes + k), _MM_HINT_T0);
    store(out + k, offset ? _mm256_sub_epi16(_mm256_cvtepu8_epi16(bytes), _mm256_set1_epi16(128))
                          : _mm256_cvtepi8_epi16(bytes));
  }
  for (; k < depth; ++k) {
    const auto byte = k < w.cols ? static_cast<unsigned char>(row[k]) : 0;
    const int value = offset ? byte - 128 : static_cast<signed char>(byte);
    out[k] = k < w.cols ? static_cast<std::int16_t>(value) : std::int16_t{0};
  }
}

float load_scale(const WeightView& w, const std::byte* scales, std::size_t group) {
  if (w.scale_code == ScaleCode::bf16) {
    unsigned short bits = 0;
    __builtin_memcpy(&bits, scales + group * 2, 2);
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(bits) << 16)));
  }
  float value = 0;
  __builtin_memcpy(&value, scales + group * 4, 4);
  return value;
}

/// Row n of stepped 4-bit weights: (code - 8) * multiple. Returns the row's unit.
float widen_stepped(const WeightView& w, std::size_t n, std::size_t depth, std::int16_t* out) {
  const std::byte* row = w.data + n * w.row_bytes;
  const std::byte* scales = w.scales + n * w.scale_row_bytes;
  const std::size_t groups = w.cols / 32;
  float most = 0;
  for (std::size_t g = 0; g < groups; ++g) {
    const float scale = load_scale(w, scales, g);
    most = scale > most ? scale : most;
  }
  const float unit = most / 15.0F;
  const float inverse = unit > 0 ? 1.0F / unit : 0.0F;
  const __m128i nibble = _mm_set1_epi8(15);
  for (std::size_t g = 0; g < groups; ++g) {
    const int multiple = _mm_cvtss_si32(_mm_set_ss(load_scale(w, scales, g) * inverse));
    const __m256i m = _mm256_set1_epi16(static_cast<short>(multiple));
    const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + g * 16));
    _mm_prefetch(reinterpret_cast<const char*>(row + kRows * w.row_bytes + g * 16), _MM_HINT_T0);
    const __m128i low = _mm_and_si128(packed, nibble);
    const __m128i high = _mm_and_si128(_mm_srli_epi16(packed, 4), nibble);
    const auto write = [&](std::size_t at, __m128i codes) {
      const __m256i value = _mm256_sub_epi16(_mm256_cvtepu8_epi16(codes), _mm256_set1_epi16(8));
      store(out + g * 32 + at, _mm256_mullo_epi16(value, m));
    };
    write(0, _mm_unpacklo_epi8(low, high));
    write(16, _mm_unpackhi_epi8(low, high));
  }
  for (std::size_t k = groups * 32; k < depth; ++k) out[k] = 0;
  return unit * w.global;
}

__m256i load(const std::int16_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

/// Sums of kRows rows of weights with X rows of inputs, to y[x][w].
template <int X>
void multiply_block(const std::int16_t* w, const std::int16_t* x, std::size_t depth,
                    const float* weight_scales, const float* scales, std::size_t columns, float* y,
                    std::size_t stride) {
  long long total[X][kRows] = {};
  for (std::size_t from = 0; from < depth; from += kBlock) {
    const std::size_t to = depth - from < kBlock ? depth : from + kBlock;
    __m256i sum[X][kRows];
    for (auto& row : sum) {
      for (auto& s : row) s = _mm256_setzero_si256();
    }
    for (std::size_t k = from; k < to; k += kLanes) {
      __m256i inputs[X];
      for (int i = 0; i < X; ++i) inputs[i] = load(x + static_cast<std::size_t>(i) * depth + k);
      for (std::size_t j = 0; j < kRows; ++j) {
        const __m256i weights = load(w + j * depth + k);
        for (int i = 0; i < X; ++i) {
          sum[i][j] = _mm256_add_epi32(sum[i][j], _mm256_madd_epi16(weights, inputs[i]));
        }
      }
    }
    for (int i = 0; i < X; ++i) {
      for (std::size_t j = 0; j < kRows; ++j) {
        const __m256i wide =
            _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(sum[i][j])),
                             _mm256_cvtepi32_epi64(_mm256_extracti128_si256(sum[i][j], 1)));
        const __m128i half =
            _mm_add_epi64(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
        total[i][j] += _mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1);
      }
    }
  }
  for (std::size_t i = 0; i < X; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      y[i * stride + j] = static_cast<float>(total[i][j]) * (weight_scales[j] * scales[i]);
    }
  }
}

void multiply(const WeightView& w, std::size_t first, std::size_t last, InputKind,
              const std::byte* packed, std::size_t rows, Rows<float> y, std::byte* scratch) {
  const Packed p(rows, w.cols);
  auto* widened = reinterpret_cast<std::int16_t*>(scratch);
  const auto* inputs = reinterpret_cast<const std::int16_t*>(packed);
  const auto* scales = reinterpret_cast<const float*>(packed + p.scales());
  for (std::size_t n = first; n < last; n += kRows) {
    const std::size_t count = last - n < kRows ? last - n : kRows;
    float weight_scales[kRows] = {};
    for (std::size_t j = 0; j < count; ++j) {
      std::int16_t* out = widened + j * p.depth;
      if (w.code == WeightCode::u4) {
        weight_scales[j] = widen_stepped(w, n + j, p.depth, out);
      } else {
        widen_bytes(w, n + j, p.depth, out);
        const std::byte* row_scale_at = w.scales + (n + j) * w.scale_row_bytes;
        weight_scales[j] = load_scale(w, row_scale_at, 0) * w.global;
      }
    }
    std::size_t r = 0;
    for (; r + kInputs <= rows; r += kInputs) {
      multiply_block<kInputs>(widened, inputs + r * p.depth, p.depth, weight_scales, scales + r,
                              count, y.row(r) + (n - first), y.stride);
    }
    if (r < rows) {
      multiply_block<1>(widened, inputs + r * p.depth, p.depth, weight_scales, scales + r, count,
                        y.row(r) + (n - first), y.stride);
    }
  }
}

std::size_t scratch_bytes(const WeightView& w, InputKind) {
  return kRows * Packed(1, w.cols).depth * sizeof(std::int16_t);
}

}  // namespace

const LinearKernels kAvx2Integers = {packed_bytes, pack, scratch_bytes, multiply};

}  // namespace zaya
