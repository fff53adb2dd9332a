#pragma once

#include <cstdint>

#include <immintrin.h>

#include "compute/kernels/kernels.h"

// Steps that the AVX-512 and the AMX products share. For files compiled for AVX-512 only.
namespace zaya::avx512 {

inline __mmask16 first16(std::size_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffffU : (1U << n) - 1U);
}
inline __mmask64 first64(std::size_t n) {
  return n >= 64 ? ~__mmask64{0} : (__mmask64{1} << n) - 1;
}

/// Transposes 16 x 16 dwords.
inline void transpose(__m512i r[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

/// Scales [first, first + 16) of a row of 32-column groups, 0 past the end.
inline __m512 load_scales(ScaleCode code, const std::byte* scales, std::size_t first,
                          std::size_t count) {
  const __mmask16 mask = first16(count - first);
  if (code == ScaleCode::bf16) {
    const __m256i bits =
        _mm256_maskz_loadu_epi16(mask, reinterpret_cast<const std::uint16_t*>(scales) + first);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  return _mm512_maskz_loadu_ps(mask, reinterpret_cast<const float*>(scales) + first);
}

inline std::size_t scale_bytes_of(ScaleCode code) {
  return code == ScaleCode::bf16 ? 2 : 4;
}

/// The unit of a row of stepped scales: a fifteenth of the largest.
inline float stepped_unit(ScaleCode code, const std::byte* scales, std::size_t count) {
  if (code == ScaleCode::bf16 && count % 32 == 0) {
    // Positive floats are ordered as their bits are.
    __m512i most = _mm512_setzero_si512();
    for (std::size_t g = 0; g < count; g += 32) {
      most = _mm512_max_epu16(most, _mm512_loadu_si512(scales + g * 2));
    }
    const __m512i wide = _mm512_max_epu32(_mm512_slli_epi32(most, 16),
                                          _mm512_and_si512(most, _mm512_set1_epi32(-65536)));
    return _mm512_reduce_max_ps(_mm512_castsi512_ps(wide)) / 15.0F;
  }
  __m512 most = _mm512_setzero_ps();
  for (std::size_t g = 0; g < count; g += 16) {
    most = _mm512_max_ps(most, load_scales(code, scales, g, count));
  }
  return _mm512_reduce_max_ps(most) / 15.0F;
}

/// One over a scale; 0 for a row or block of zeros. NaN gives 0, and comes through as the scale.
inline float inverse_of(float scale) {
  return scale > 1e-37F ? 1.0F / scale : 0.0F;
}

/// Groups of a row's block b of `groups` in all.
inline __mmask8 stepped_mask(std::size_t groups, std::size_t b) {
  return static_cast<__mmask8>(first16(groups - b * (kInputBlock / 32)));
}

/// The multiples of the groups of one block: 8 dwords, 0 outside of the mask.
template <ScaleCode code>
inline __m512i stepped_multiples(const std::byte* scales, __mmask8 mask, float inverse) {
  __m256 value;
  if constexpr (code == ScaleCode::bf16) {
    const __m128i bits = _mm_maskz_loadu_epi16(mask, scales);
    value = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  } else {
    value = _mm256_maskz_loadu_ps(mask, reinterpret_cast<const float*>(scales));
  }
  return _mm512_castsi256_si512(_mm256_cvtps_epi32(_mm256_mul_ps(value, _mm256_set1_ps(inverse))));
}

/// Bytes of codes in each half of block b of `cols` columns.
struct HalfMasks {
  __mmask64 half[2];

  HalfMasks(std::size_t cols, std::size_t b) {
    const std::size_t bytes = (cols - b * kInputBlock) / 2;
    half[0] = first64(bytes);
    half[1] = bytes > 64 ? first64(bytes - 64) : 0;
  }
};

/// 8-bit integers (code - 8) * multiple of one block of a row of stepped 4-bit codes: of each 128
/// columns the even and the odd ones, 64 signed bytes each, 0 past the end of the row.
inline void expand_stepped(const WeightView& w, std::size_t row, std::size_t b,
                           const HalfMasks& masks, float inverse, __m512i (&out)[4]) {
  // In every 128-bit lane: the values -8 .. -1, the values 0 .. 7.
  const __m512i low_values = _mm512_broadcast_i32x4(_mm_setr_epi16(-8, -7, -6, -5, -4, -3, -2, -1));
  const __m512i high_values = _mm512_broadcast_i32x4(_mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7));
  // Lane i of a permutation by this: the even word 2 i in all eight words.
  const __m512i lane_words = _mm512_srli_epi16(
      _mm512_set_epi64(0x000c000c000c000c, 0x000c000c000c000c, 0x0008000800080008,
                       0x0008000800080008, 0x0004000400040004, 0x0004000400040004, 0, 0),
      1);
  const __m512i nibble = _mm512_set1_epi8(15);
  const std::byte* codes = w.data + row * w.row_bytes + b * (kInputBlock / 2);
  const std::byte* scales =
      w.scales + row * w.scale_row_bytes + b * (kInputBlock / 32) * scale_bytes_of(w.scale_code);
  const __mmask8 mask = stepped_mask(w.cols / 32, b);
  const __m512i multiples = w.scale_code == ScaleCode::bf16
                                ? stepped_multiples<ScaleCode::bf16>(scales, mask, inverse)
                                : stepped_multiples<ScaleCode::f32>(scales, mask, inverse);
  for (int i = 0; i < 2; ++i) {
    const __m512i pick = i == 0 ? lane_words : _mm512_add_epi16(lane_words, _mm512_set1_epi16(8));
    const __m512i multiple = _mm512_permutexvar_epi16(pick, multiples);
    const __m512i table = _mm512_packs_epi16(_mm512_mullo_epi16(multiple, low_values),
                                             _mm512_mullo_epi16(multiple, high_values));
    const __m512i packed = _mm512_maskz_loadu_epi8(masks.half[i], codes + i * 64);
    out[2 * i] = _mm512_shuffle_epi8(table, _mm512_and_si512(packed, nibble));
    out[2 * i + 1] =
        _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(packed, 4), nibble));
  }
}

/// Round to nearest even, as 16 words.
inline __m256i to_bf16_bits(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(
      _mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc00000)), 16));
}
inline __m512 from_bf16_bits(__m256i bits) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

inline __m512i abs_bits(__m512 x) {
  return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
}

constexpr float kLargest16 = 127 * 256;
constexpr float kLargest8 = 127;

/// What makes the largest magnitude of x `largest`. A NaN anywhere makes it NaN.
inline float scale_of(const float* x, std::size_t depth, float largest) {
  __m512i most = _mm512_setzero_si512();
  for (std::size_t k = 0; k < depth; k += 16) {
    most = _mm512_max_epi32(most, abs_bits(_mm512_maskz_loadu_ps(first16(depth - k), x + k)));
  }
  const __m512i bits = _mm512_set1_epi32(_mm512_reduce_max_epi32(most));
  return _mm512_cvtss_f32(_mm512_castsi512_ps(bits)) / largest;
}

struct Planes {
  __m512i high;
  __m512i low;
};

/// 64 columns of a row as bytes of the two planes; adds the integers to `sum`.
inline Planes quantise(const float* x, std::size_t n, __m512 inverse, __m512i& sum) {
  __m128i high[4];
  __m128i low[4];
  for (std::size_t i = 0; i < 4; ++i) {
    const __mmask16 mask = n > 16 * i ? first16(n - 16 * i) : __mmask16{0};
    const __m512i v =
        _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + 16 * i), inverse));
    sum = _mm512_add_epi32(sum, v);
    low[i] = _mm512_cvtepi32_epi8(v);
    high[i] =
        _mm512_cvtepi32_epi8(_mm512_srai_epi32(_mm512_add_epi32(v, _mm512_set1_epi32(128)), 8));
  }
  const auto join = [](const __m128i p[4]) {
    __m512i all = _mm512_castsi128_si512(p[0]);
    all = _mm512_inserti32x4(all, p[1], 1);
    all = _mm512_inserti32x4(all, p[2], 2);
    return _mm512_inserti32x4(all, p[3], 3);
  };
  return {join(high), join(low)};
}

/// 64 columns as bytes, 0 past n; adds the integers to `sum`.
inline __m512i quantise8(const float* x, std::size_t n, __m512 inverse, __m512i& sum) {
  __m512i all = _mm512_setzero_si512();
  const auto part = [&](std::size_t i) {
    const __mmask16 mask = n > 16 * i ? first16(n - 16 * i) : __mmask16{0};
    const __m512i v =
        _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + 16 * i), inverse));
    sum = _mm512_add_epi32(sum, v);
    return _mm512_cvtepi32_epi8(v);
  };
  all = _mm512_inserti32x4(all, part(0), 0);
  all = _mm512_inserti32x4(all, part(1), 1);
  all = _mm512_inserti32x4(all, part(2), 2);
  return _mm512_inserti32x4(all, part(3), 3);
}

inline __m512i even_bytes(__m512i a, __m512i b) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(a)),
                            _mm512_cvtepi16_epi8(b), 1);
}
inline __m512i odd_bytes(__m512i a, __m512i b) {
  return even_bytes(_mm512_srli_epi16(a, 8), _mm512_srli_epi16(b, 8));
}

/// One block of a row as bytes: of each 128 columns the even before the odd ones, 0 past n. Returns
/// the scale; `sum` is that of the integers.
inline float quantise_block(const float* x, std::size_t n, __m512i (&out)[4], std::int32_t& sum) {
  const float scale = scale_of(x, n < kInputBlock ? n : kInputBlock, kLargest8);
  const __m512 inverse = _mm512_set1_ps(inverse_of(scale));
  __m512i sums = _mm512_setzero_si512();
  __m512i v[4];
  for (std::size_t i = 0; i < 4; ++i) {
    v[i] = n > 64 * i ? quantise8(x + 64 * i, n - 64 * i, inverse, sums) : _mm512_setzero_si512();
  }
  for (std::size_t i = 0; i < 4; i += 2) {
    out[i] = even_bytes(v[i], v[i + 1]);
    out[i + 1] = odd_bytes(v[i], v[i + 1]);
  }
  sum = _mm512_reduce_add_epi32(sums);
  return scale;
}

/// float(256 high + low - 128 sum) * scale, the integer exact.
inline __m512 combine(__m512i high, __m512i low, __m512i sum, __m512 scale) {
  const auto half = [&](__m256i h, __m256i l, __m256i s) {
    return _mm512_cvtpd_ps(_mm512_sub_pd(
        _mm512_fmadd_pd(_mm512_cvtepi32_pd(h), _mm512_set1_pd(256), _mm512_cvtepi32_pd(l)),
        _mm512_mul_pd(_mm512_cvtepi32_pd(s), _mm512_set1_pd(128))));
  };
  const __m256 a =
      half(_mm512_castsi512_si256(high), _mm512_castsi512_si256(low), _mm512_castsi512_si256(sum));
  const __m256 b = half(_mm512_extracti64x4_epi64(high, 1), _mm512_extracti64x4_epi64(low, 1),
                        _mm512_extracti64x4_epi64(sum, 1));
  return _mm512_mul_ps(_mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1), scale);
}

inline float whole_row_scale(const WeightView& w, std::size_t r) {
  const std::byte* at = w.scales + r * w.scale_row_bytes;
  const float scale =
      w.scale_code == ScaleCode::bf16
          ? _mm512_cvtss_f32(from_bf16_bits(_mm256_set1_epi16(*reinterpret_cast<const short*>(at))))
          : *reinterpret_cast<const float*>(at);
  return scale * w.global;
}

}  // namespace zaya::avx512
