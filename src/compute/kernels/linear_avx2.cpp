#include <immintrin.h>

#include "compute/kernels/tables.h"

// Products of integers on AVX2. The fewer rows of inputs there are, the more of the time goes to
// the weights: up to kFewRows they are unpacked in registers and read once; for more, panels of
// kPanel rows are laid out in scratch memory so that a lane of a vector is a row, and inputs are
// broadcast.
//
// 8-bit weights and 16-bit inputs are multiplied as 16-bit numbers. 4-bit weights and 8-bit inputs
// are multiplied as bytes, one of them unsigned, and added up in 16 bits over a group of 32
// columns, where they still fit: 16 * 255 * 8 < 2^15.
namespace zaya {
namespace {

constexpr std::size_t kFewRows = 4;
constexpr std::size_t kPanel = 16;
constexpr std::size_t kGroup = 32;
constexpr std::size_t kBlockGroups = kInputBlock / kGroup;
// Columns of 8-bit weights whose sum in a lane stays below 2^31: a step adds 127 * 32639 * 2.
constexpr std::size_t kSteps = 256;

/// Where packed rows of inputs lie. 16-bit ones in their order; of 8-bit ones
///   few rows: signed; of every 64 columns the even ones before the odd ones, as codes unpack;
///   many rows: value + 128; the same of every 32.
struct Packed {
  InputKind kind;
  std::size_t rows;
  std::size_t blocks;  ///< that share a scale
  std::size_t depth;   ///< in whole steps

  Packed(InputKind input, std::size_t count, std::size_t columns)
      : kind(input),
        rows(count),
        blocks(kind == InputKind::int8 ? (columns + kInputBlock - 1) / kInputBlock : 1),
        depth(kind == InputKind::int8 ? blocks * kInputBlock : (columns + 31) / 32 * 32) {}

  std::size_t row_bytes() const { return kind == InputKind::int8 ? depth : depth * 2; }
  std::size_t scales() const { return rows * row_bytes(); }
  /// Few 8-bit rows: for each 64 columns, what codes that lie 8 too high add to the sums of two
  /// even and two odd columns, negated: 16 lanes.
  std::size_t starts() const { return (scales() + rows * blocks * sizeof(float) + 31) / 32 * 32; }
  std::size_t start_row_bytes() const {
    return kind == InputKind::int8 && rows <= kFewRows ? depth / 2 : 0;
  }
  std::size_t bytes() const { return starts() + rows * start_row_bytes(); }
};

/// Packed rows of inputs.
struct Inputs {
  const std::byte* packed;
  const Packed& p;

  const std::byte* row(std::size_t r) const { return packed + r * p.row_bytes(); }
  const std::byte* start(std::size_t r) const {
    return packed + p.starts() + r * p.start_row_bytes();
  }
  const float* scales(std::size_t r) const {
    return reinterpret_cast<const float*>(packed + p.scales()) + r * p.blocks;
  }
};

#include "compute/kernels/linear_integers-inl.h"

__m256i load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
void store(void* p, __m256i v) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), v);
}

__m256 load_some(const float* x, std::size_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? static_cast<int>(n) : 8), lane);
  return _mm256_maskload_ps(x, mask);
}

void store_some(float* x, std::size_t n, __m256 v) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  _mm256_maskstore_ps(
      x, _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? static_cast<int>(n) : 8), lane), v);
}

/// What makes the largest magnitude of x `largest`. A NaN anywhere makes it NaN.
float scale_of(const float* x, std::size_t depth, float largest) {
  __m256i most = _mm256_setzero_si256();
  for (std::size_t k = 0; k < depth; k += 8) {
    const __m256i bits = _mm256_castps_si256(load_some(x + k, depth - k));
    most = _mm256_max_epi32(most, _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff)));
  }
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
  return _mm_cvtss_f32(_mm_castsi128_ps(m)) / largest;
}

/// 0 for zeros and NaN, which comes through as the scale.
float inverse_of(float scale) {
  return scale > 1e-37F ? 1.0F / scale : 0.0F;
}

/// 16 columns as 16-bit integers, 0 past n.
__m256i quantise(const float* x, std::size_t n, __m256 inverse) {
  const auto part = [&](std::size_t at) {
    return n > at ? _mm256_cvtps_epi32(_mm256_mul_ps(load_some(x + at, n - at), inverse))
                  : _mm256_setzero_si256();
  };
  return _mm256_permute4x64_epi64(_mm256_packs_epi32(part(0), part(8)), 0xd8);
}

/// 32 columns as bytes: the even ones, the odd ones.
__m256i quantise_group(const float* x, std::size_t n, __m256 inverse) {
  const __m256i low = quantise(x, n, inverse);
  const __m256i high = n > 16 ? quantise(x + 16, n - 16, inverse) : _mm256_setzero_si256();
  const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xd8);
  const __m256i split = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
  return _mm256_permute4x64_epi64(_mm256_shuffle_epi8(bytes, split), 0xd8);
}

void pack(InputKind kind, Rows<const float> x, const std::uint32_t* index, std::size_t rows,
          std::size_t first, std::size_t last, std::size_t depth, std::byte* out) {
  const Packed p(kind, rows, depth);
  for (std::size_t r = first; r < last; ++r) {
    const float* from = x.row(index == nullptr ? r : index[r]);
    auto* scales = reinterpret_cast<float*>(out + p.scales()) + r * p.blocks;
    std::byte* to = out + r * p.row_bytes();
    if (kind == InputKind::int16) {
      scales[0] = scale_of(from, depth, 127 * 256);
      const __m256 inverse = _mm256_set1_ps(inverse_of(scales[0]));
      for (std::size_t k = 0; k < p.depth; k += 16, to += 32) {
        store(to, k < depth ? quantise(from + k, depth - k, inverse) : _mm256_setzero_si256());
      }
      continue;
    }
    std::byte* start = out + p.starts() + r * p.start_row_bytes();
    for (std::size_t b = 0; b < p.blocks; ++b) {
      const std::size_t end = depth - b * kInputBlock;
      const float* block = from + b * kInputBlock;
      scales[b] = scale_of(block, end < kInputBlock ? end : kInputBlock, 127);
      const __m256 inverse = _mm256_set1_ps(inverse_of(scales[b]));
      for (std::size_t k = 0; k < kInputBlock; k += 2 * kGroup, to += 2 * kGroup) {
        __m256i v[2];
        for (std::size_t i = 0; i < 2; ++i) {
          const std::size_t at = k + i * kGroup;
          v[i] = end > at ? quantise_group(block + at, end - at, inverse) : _mm256_setzero_si256();
        }
        if (rows > kFewRows) {
          store(to, _mm256_xor_si256(v[0], _mm256_set1_epi8(-128)));
          store(to + kGroup, _mm256_xor_si256(v[1], _mm256_set1_epi8(-128)));
          continue;
        }
        const __m256i even = _mm256_permute2x128_si256(v[0], v[1], 0x20);
        const __m256i odd = _mm256_permute2x128_si256(v[0], v[1], 0x31);
        store(to, even);
        store(to + kGroup, odd);
        const __m256i eight = _mm256_set1_epi8(8);
        const __m256i excess =
            _mm256_add_epi16(_mm256_maddubs_epi16(eight, even), _mm256_maddubs_epi16(eight, odd));
        store(start, _mm256_sub_epi16(_mm256_setzero_si256(), excess));
        start += 32;
      }
    }
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

float whole_row_scale(const WeightView& w, std::size_t n) {
  return load_scale(w, w.scales + n * w.scale_row_bytes, 0) * w.global;
}

/// 8 scales from group g on, 0 past the end.
__m256 load_scales(const WeightView& w, const std::byte* scales, std::size_t g,
                   std::size_t groups) {
  if (groups - g < 8) {
    float some[8] = {};
    for (std::size_t i = 0; i < groups - g; ++i) some[i] = load_scale(w, scales, g + i);
    return _mm256_loadu_ps(some);
  }
  if (w.scale_code == ScaleCode::bf16) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(scales + g * 2));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  return _mm256_loadu_ps(reinterpret_cast<const float*>(scales) + g);
}

/// The unit of a row of stepped scales: a fifteenth of the largest.
float stepped_unit(const WeightView& w, const std::byte* scales) {
  const std::size_t groups = w.cols / kGroup;
  __m256 most = _mm256_setzero_ps();
  for (std::size_t g = 0; g < groups; g += 8) {
    most = _mm256_max_ps(most, load_scales(w, scales, g, groups));
  }
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  m = _mm_max_ss(m, _mm_shuffle_ps(m, m, 1));
  return _mm_cvtss_f32(m) / 15.0F;
}

/// The multiples of 8 groups, each in both halves of a dword.
__m256i stepped_multiples(const WeightView& w, const std::byte* scales, std::size_t g,
                          float inverse) {
  const __m256i m = _mm256_cvtps_epi32(
      _mm256_mul_ps(load_scales(w, scales, g, w.cols / kGroup), _mm256_set1_ps(inverse)));
  return _mm256_or_si256(m, _mm256_slli_epi32(m, 16));
}

/// Codes of 64 columns as 32 bytes, those of the value 0 past the last byte.
__m256i load_codes(const std::byte* at, std::size_t bytes) {
  if (bytes >= 32) return load(at);
  alignas(32) std::byte some[32];
  for (std::byte& b : some) b = std::byte{0x88};
  __builtin_memcpy(some, at, bytes);
  return load(some);
}

/// Lane i: the sum over the lanes of v[i].
__m256i sum_each(const __m256i v[8]) {
  const auto add4 = [&](int i) {
    return _mm256_hadd_epi32(_mm256_hadd_epi32(v[i], v[i + 1]),
                             _mm256_hadd_epi32(v[i + 2], v[i + 3]));
  };
  const __m256i a = add4(0);
  const __m256i b = add4(4);
  return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                          _mm256_permute2x128_si256(a, b, 0x31));
}

/// 4-bit weights of `count` of 8 rows from n on against X inputs, unpacked in registers.
template <int X>
void multiply_few_stepped(const WeightView& w, std::size_t n, std::size_t count, std::size_t ahead,
                          const Inputs& x, __m256 (&total)[X]) {
  const __m256i nibble = _mm256_set1_epi8(15);
  alignas(32) float units[8] = {};
  float inverse[8] = {};
  for (std::size_t j = 0; j < count; ++j) {
    units[j] = stepped_unit(w, w.scales + (n + j) * w.scale_row_bytes);
    inverse[j] = units[j] > 0 ? 1.0F / units[j] : 0.0F;
  }
  __m256i sum[X][8];
  for (int i = 0; i < X; ++i) {
    total[i] = _mm256_setzero_ps();
    for (auto& v : sum[i]) v = _mm256_setzero_si256();
  }
  for (std::size_t b = 0; b < x.p.blocks; ++b) {
    const std::size_t at = b * (kInputBlock / 2);
    for (std::size_t j = 0; j < count; ++j) {
      const std::byte* codes = w.data + (n + j) * w.row_bytes + at;
      const std::byte* scales = w.scales + (n + j) * w.scale_row_bytes;
      const __m256i multiples = stepped_multiples(w, scales, b * kBlockGroups, inverse[j]);
      const char* next = reinterpret_cast<const char*>(codes + ahead * w.row_bytes);
      _mm_prefetch(next, _MM_HINT_T0);
      _mm_prefetch(next + 64, _MM_HINT_T0);
      __m256i s[X];
      for (auto& v : s) v = _mm256_setzero_si256();
      for (int c = 0; c < 4; ++c) {
        const std::size_t byte = static_cast<std::size_t>(c) * 32;
        if (at + byte >= w.row_bytes) break;
        const __m256i packed = load_codes(codes + byte, w.row_bytes - at - byte);
        const __m256i even = _mm256_and_si256(packed, nibble);
        const __m256i odd = _mm256_and_si256(_mm256_srli_epi16(packed, 4), nibble);
        const __m256i pick =
            _mm256_add_epi32(_mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1), _mm256_set1_epi32(2 * c));
        const __m256i factor = _mm256_permutevar8x32_epi32(multiples, pick);
        for (int i = 0; i < X; ++i) {
          const std::size_t r = static_cast<std::size_t>(i);
          const std::byte* in = x.row(r) + 2 * (at + byte);
          __m256i v =
              _mm256_add_epi16(load(x.start(r) + at + byte), _mm256_maddubs_epi16(even, load(in)));
          v = _mm256_add_epi16(v, _mm256_maddubs_epi16(odd, load(in + kGroup)));
          s[i] = _mm256_add_epi32(s[i], _mm256_madd_epi16(v, factor));
        }
      }
      for (int i = 0; i < X; ++i) sum[i][j] = s[i];
    }
    for (int i = 0; i < X; ++i) {
      total[i] =
          _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum_each(sum[i])),
                          _mm256_set1_ps(x.scales(static_cast<std::size_t>(i))[b]), total[i]);
    }
  }
  const __m256 unit = _mm256_mul_ps(_mm256_load_ps(units), _mm256_set1_ps(w.global));
  for (int i = 0; i < X; ++i) total[i] = _mm256_mul_ps(total[i], unit);
}

template <int X>
void multiply_few_stepped(const WeightView& w, std::size_t first, std::size_t last, const Inputs& x,
                          Rows<float> y) {
  __m256 total[X];
  for (std::size_t n = first; n < last; n += 8) {
    const std::size_t count = last - n < 8 ? last - n : 8;
    multiply_few_stepped<X>(w, n, count, last - n >= 16 ? 8 : 0, x, total);
    for (int i = 0; i < X; ++i) {
      store_some(y.row(static_cast<std::size_t>(i)) + (n - first), count, total[i]);
    }
  }
}

/// 16 columns of 8-bit weights as 16-bit integers, 0 past n.
template <WeightCode code>
__m256i widen(const std::byte* at, std::size_t n) {
  __m128i bytes;
  if (n >= 16) {
    bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  } else {
    alignas(16) std::byte some[16];
    for (std::byte& b : some) b = code == WeightCode::u8 ? std::byte{128} : std::byte{0};
    __builtin_memcpy(some, at, n);
    bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(some));
  }
  if (code == WeightCode::u8) bytes = _mm_xor_si128(bytes, _mm_set1_epi8(-128));
  return _mm256_cvtepi8_epi16(bytes);
}

/// The sum over the lanes of v, which do not fit 32 bits together.
long long sum_wide(__m256i v) {
  const __m256i wide = _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(v)),
                                        _mm256_cvtepi32_epi64(_mm256_extracti128_si256(v, 1)));
  const __m128i half =
      _mm_add_epi64(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  return _mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1);
}

/// W rows of 8-bit weights, `step` rows apart, against X inputs.
template <int W, int X, WeightCode code>
void multiply_few_bytes(const WeightView& w, std::size_t n, std::size_t step, std::size_t ahead,
                        const Inputs& x, std::size_t r, float* y, std::size_t stride) {
  long long total[X][W] = {};
  const std::byte* rows = w.data + n * w.row_bytes;
  for (std::size_t from = 0; from < w.cols; from += 16 * kSteps) {
    const std::size_t to = w.cols - from < 16 * kSteps ? w.cols : from + 16 * kSteps;
    __m256i sum[X][W];
    for (auto& s : sum) {
      for (auto& v : s) v = _mm256_setzero_si256();
    }
    for (std::size_t k = from; k < to; k += 16) {
      for (std::size_t j = 0; j < W; ++j) {
        const std::byte* at = rows + j * step * w.row_bytes + k;
        const __m256i weights = widen<code>(at, w.cols - k);
        if (k % 64 == 0) {
          _mm_prefetch(reinterpret_cast<const char*>(at + ahead * w.row_bytes), _MM_HINT_T0);
        }
        for (std::size_t i = 0; i < X; ++i) {
          sum[i][j] =
              _mm256_add_epi32(sum[i][j], _mm256_madd_epi16(weights, load(x.row(r + i) + k * 2)));
        }
      }
    }
    for (std::size_t i = 0; i < X; ++i) {
      for (std::size_t j = 0; j < W; ++j) total[i][j] += sum_wide(sum[i][j]);
    }
  }
  for (std::size_t i = 0; i < X; ++i) {
    for (std::size_t j = 0; j < W; ++j) {
      y[i * stride + j * step] =
          static_cast<float>(total[i][j]) * (whole_row_scale(w, n + j * step) * x.scales(r + i)[0]);
    }
  }
}

template <WeightCode code>
void multiply_few_bytes(const WeightView& w, std::size_t first, std::size_t last, const Inputs& x,
                        Rows<float> y) {
  constexpr std::size_t kStreams = 8;  // rows read side by side, each a stream through memory
  std::size_t n = first;
  if (x.p.rows == 1) {
    const std::size_t each = (last - first) / kStreams;
    for (std::size_t i = 0; i < each; ++i) {
      multiply_few_bytes<kStreams, 1, code>(w, first + i, each, i + 1 < each ? 1 : 0, x, 0,
                                            y.data + i, y.stride);
    }
    n += each * kStreams;
  }
  const auto rows = [&]<int W>() {
    float* out = y.data + (n - first);
    std::size_t r = 0;
    for (; r + 2 <= x.p.rows; r += 2) {
      multiply_few_bytes<W, 2, code>(w, n, 1, 0, x, r, out + r * y.stride, y.stride);
    }
    if (r < x.p.rows) {
      multiply_few_bytes<W, 1, code>(w, n, 1, 0, x, r, out + r * y.stride, y.stride);
    }
  };
  for (; n + 4 <= last; n += 4) rows.template operator()<4>();
  for (; n < last; ++n) rows.template operator()<1>();
}

/// Transposes 8 x 8 dwords.
void transpose(__m256i v[8]) {
  __m256i t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
    t[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    v[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
    v[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
    v[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
    v[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm256_permute2x128_si256(v[i], v[i + 4], 0x20);
    t[i + 4] = _mm256_permute2x128_si256(v[i], v[i + 4], 0x31);
  }
  for (int i = 0; i < 8; ++i) v[i] = t[i];
}

/// A panel of 8-bit weights: [step of 2 columns][kPanel] pairs of 16 bits.
template <WeightCode code>
void stage_bytes(const WeightView& w, std::size_t n, std::size_t count, std::byte* out) {
  for (std::size_t j = 0; j < count; j += 8) {
    for (std::size_t k = 0; k < w.cols; k += 16) {
      __m256i v[8];
      for (std::size_t i = 0; i < 8; ++i) {
        v[i] = j + i < count ? widen<code>(w.data + (n + j + i) * w.row_bytes + k, w.cols - k)
                             : _mm256_setzero_si256();
      }
      transpose(v);
      for (std::size_t s = 0; s < 8; ++s) store(out + ((k / 2 + s) * kPanel + j) * 4, v[s]);
    }
  }
}

/// X rows of 16-bit inputs against a panel.
template <std::size_t X>
void multiply_panel16(const WeightView& w, const std::byte* panel, const float* units,
                      const Inputs& x, std::size_t r, std::size_t columns, float* y,
                      std::size_t stride) {
  __m256d total[X][kPanel / 4];
  for (auto& t : total) {
    for (auto& v : t) v = _mm256_setzero_pd();
  }
  for (std::size_t from = 0; from < w.cols; from += 2 * kSteps) {
    const std::size_t to = w.cols - from < 2 * kSteps ? w.cols : from + 2 * kSteps;
    __m256i sum[X][2];
    for (auto& s : sum) s[0] = s[1] = _mm256_setzero_si256();
    for (std::size_t k = from; k < to; k += 2) {
      const __m256i w0 = load(panel + k * 2 * kPanel);
      const __m256i w1 = load(panel + k * 2 * kPanel + 32);
#pragma GCC unroll 8
      for (std::size_t i = 0; i < X; ++i) {
        const __m256i v =
            _mm256_set1_epi32(*reinterpret_cast<const std::int32_t*>(x.row(r + i) + k * 2));
        sum[i][0] = _mm256_add_epi32(sum[i][0], _mm256_madd_epi16(w0, v));
        sum[i][1] = _mm256_add_epi32(sum[i][1], _mm256_madd_epi16(w1, v));
      }
    }
    for (std::size_t i = 0; i < X; ++i) {
      for (std::size_t h = 0; h < 2; ++h) {
        __m256d* t = total[i] + 2 * h;
        t[0] = _mm256_add_pd(t[0], _mm256_cvtepi32_pd(_mm256_castsi256_si128(sum[i][h])));
        t[1] = _mm256_add_pd(t[1], _mm256_cvtepi32_pd(_mm256_extracti128_si256(sum[i][h], 1)));
      }
    }
  }
  for (std::size_t i = 0; i < X; ++i) {
    const __m256 scale = _mm256_set1_ps(x.scales(r + i)[0]);
    for (std::size_t h = 0; h < 2 && h * 8 < columns; ++h) {
      const __m256 value =
          _mm256_set_m128(_mm256_cvtpd_ps(total[i][2 * h + 1]), _mm256_cvtpd_ps(total[i][2 * h]));
      store_some(y + i * stride + h * 8, columns - h * 8,
                 _mm256_mul_ps(value, _mm256_mul_ps(_mm256_loadu_ps(units + h * 8), scale)));
    }
  }
}

/// A panel of 4-bit weights.
struct SteppedPanel {
  std::byte* codes;         ///< [step of 4 columns][kPanel][4] of code - 8
  std::int32_t* multiples;  ///< [group][kPanel], in both halves
  std::int32_t* excess;     ///< [block][kPanel]: -128 times the sum of the weights

  SteppedPanel(const Packed& p, std::byte* scratch)
      : codes(scratch),
        multiples(reinterpret_cast<std::int32_t*>(scratch + kPanel * p.depth)),
        excess(multiples + kPanel * p.depth / kGroup) {}

  static std::size_t bytes(const Packed& p) {
    return kPanel * (p.depth + (p.depth / kGroup + p.blocks) * sizeof(std::int32_t));
  }
};

void stage_stepped(const WeightView& w, std::size_t n, std::size_t count, const Packed& p,
                   const SteppedPanel& panel, float* units) {
  for (std::size_t j = 0; j < count; j += 8) {
    float inverse[8] = {};
    for (std::size_t i = 0; i < 8 && j + i < count; ++i) {
      const float unit = stepped_unit(w, w.scales + (n + j + i) * w.scale_row_bytes);
      inverse[i] = unit > 0 ? 1.0F / unit : 0.0F;
      units[j + i] = unit * w.global;
    }
    const auto row = [&](std::size_t i) { return n + j + (j + i < count ? i : 0); };
    for (std::size_t b = 0; b < p.blocks; ++b) {
      __m256i multiples[8];
      for (std::size_t i = 0; i < 8; ++i) {
        multiples[i] = stepped_multiples(w, w.scales + row(i) * w.scale_row_bytes, b * kBlockGroups,
                                         inverse[i]);
      }
      transpose(multiples);
      __m256i excess = _mm256_setzero_si256();
      for (std::size_t g = 0; g < kBlockGroups; ++g) {
        store(panel.multiples + (b * kBlockGroups + g) * kPanel + j, multiples[g]);
      }
      for (std::size_t c = 0; c < kBlockGroups; c += 2) {
        const std::size_t at = b * (kInputBlock / 2) + c * kGroup / 2;
        __m256i even[8];
        __m256i odd[8];
        for (std::size_t i = 0; i < 8; ++i) {
          const __m256i packed =
              at < w.row_bytes ? load_codes(w.data + row(i) * w.row_bytes + at, w.row_bytes - at)
                               : _mm256_set1_epi8(static_cast<char>(0x88));
          const __m256i nibble = _mm256_set1_epi8(15);
          const __m256i eight = _mm256_set1_epi8(8);
          even[i] = _mm256_sub_epi8(_mm256_and_si256(packed, nibble), eight);
          odd[i] = _mm256_sub_epi8(_mm256_and_si256(_mm256_srli_epi16(packed, 4), nibble), eight);
        }
        transpose(even);
        transpose(odd);
        for (std::size_t g = 0; g < 2; ++g) {
          __m256i sum = _mm256_setzero_si256();
          const std::size_t step = b * kInputBlock / 4 + (c + g) * 8;
          for (std::size_t s = 0; s < 4; ++s) {
            const __m256i e = even[g * 4 + s];
            const __m256i o = odd[g * 4 + s];
            store(panel.codes + ((step + s) * kPanel + j) * 4, e);
            store(panel.codes + ((step + 4 + s) * kPanel + j) * 4, o);
            const __m256i one = _mm256_set1_epi8(1);
            sum = _mm256_add_epi16(
                sum, _mm256_add_epi16(_mm256_maddubs_epi16(one, e), _mm256_maddubs_epi16(one, o)));
          }
          excess = _mm256_sub_epi32(excess, _mm256_madd_epi16(sum, multiples[c + g]));
        }
      }
      store(panel.excess + b * kPanel + j, _mm256_slli_epi32(excess, 7));
    }
  }
}

/// X rows of 8-bit inputs against a panel.
template <std::size_t X>
void multiply_panel8(const SteppedPanel& panel, const float* units, const Inputs& x, std::size_t r,
                     std::size_t columns, float* y, std::size_t stride) {
  alignas(32) float total[X][kPanel] = {};
  for (std::size_t b = 0; b < x.p.blocks; ++b) {
    __m256i sum[X][2];
    for (std::size_t h = 0; h < 2; ++h) {
      const __m256i excess = load(panel.excess + b * kPanel + h * 8);
      for (std::size_t i = 0; i < X; ++i) sum[i][h] = excess;
    }
    for (std::size_t g = b * kBlockGroups; g < (b + 1) * kBlockGroups; ++g) {
      const std::byte* at = panel.codes + g * kGroup * kPanel;
      __m256i part[X][2];
      for (std::size_t s = 0; s < 8; ++s, at += kPanel * 4) {
        const __m256i w0 = load(at);
        const __m256i w1 = load(at + 32);
#pragma GCC unroll 4
        for (std::size_t i = 0; i < X; ++i) {
          const __m256i v = _mm256_set1_epi32(
              *reinterpret_cast<const std::int32_t*>(x.row(r + i) + g * kGroup + s * 4));
          const __m256i p0 = _mm256_maddubs_epi16(v, w0);
          const __m256i p1 = _mm256_maddubs_epi16(v, w1);
          part[i][0] = s == 0 ? p0 : _mm256_add_epi16(part[i][0], p0);
          part[i][1] = s == 0 ? p1 : _mm256_add_epi16(part[i][1], p1);
        }
      }
      for (std::size_t h = 0; h < 2; ++h) {
        const __m256i multiple = load(panel.multiples + g * kPanel + h * 8);
        for (std::size_t i = 0; i < X; ++i) {
          sum[i][h] = _mm256_add_epi32(sum[i][h], _mm256_madd_epi16(part[i][h], multiple));
        }
      }
    }
    for (std::size_t i = 0; i < X; ++i) {
      const __m256 scale = _mm256_set1_ps(x.scales(r + i)[b]);
      for (std::size_t h = 0; h < 2; ++h) {
        float* t = total[i] + h * 8;
        _mm256_store_ps(t,
                        _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[i][h]), scale, _mm256_load_ps(t)));
      }
    }
  }
  for (std::size_t i = 0; i < X; ++i) {
    for (std::size_t h = 0; h < 2 && h * 8 < columns; ++h) {
      store_some(y + i * stride + h * 8, columns - h * 8,
                 _mm256_mul_ps(_mm256_load_ps(total[i] + h * 8), _mm256_loadu_ps(units + h * 8)));
    }
  }
}

void multiply_many(const WeightView& w, std::size_t first, std::size_t last, const Inputs& x,
                   std::size_t begin, std::size_t end, Rows<float> y, std::byte* scratch) {
  alignas(32) float units[kPanel] = {};
  for (std::size_t n = first; n < last; n += kPanel) {
    const std::size_t count = last - n < kPanel ? last - n : kPanel;
    float* out = y.data + (n - first);
    if (x.p.kind == InputKind::int8) {
      const SteppedPanel panel(x.p, scratch);
      stage_stepped(w, n, count, x.p, panel, units);
      in_groups<3>(begin, end, [&]<std::size_t X>(std::size_t r) {
        multiply_panel8<X>(panel, units, x, r, count, out + r * y.stride, y.stride);
      });
      continue;
    }
    for (std::size_t i = 0; i < count; ++i) units[i] = whole_row_scale(w, n + i);
    const auto stage =
        w.code == WeightCode::u8 ? stage_bytes<WeightCode::u8> : stage_bytes<WeightCode::i8>;
    stage(w, n, count, scratch);
    in_groups<4>(begin, end, [&]<std::size_t X>(std::size_t r) {
      multiply_panel16<X>(w, scratch, units, x, r, count, out + r * y.stride, y.stride);
    });
  }
}

std::size_t scratch_bytes(const WeightView& w, InputKind kind, std::size_t rows) {
  const Packed p(kind, rows, w.cols);
  if (rows <= kFewRows) return 0;
  return kind == InputKind::int8 ? SteppedPanel::bytes(p) : kPanel * p.depth * 2;
}

}  // namespace

const LinearKernels kAvx2Integers = {packed_bytes, pack, scratch_bytes, multiply};

}  // namespace zaya
