#include "compute/kernels/linear_avx512.h"

#include <immintrin.h>

#include "compute/kernels/tables.h"

// Products of integers on VNNI, whose one factor is unsigned. The fewer rows of inputs there are,
// the more of the time goes to the weights: up to kFewRows they stay as they lie in the file, are
// unpacked in registers and read once; for more, panels of kPanel rows are laid out in scratch
// memory so that a lane of a vector is a row, and inputs are broadcast.
//
// 8-bit weights are taken as value + 128, and 128 times the sum of the inputs is taken off. 4-bit
// codes are unsigned anyway, and lie 8 too high.
namespace zaya::avx512 {
namespace {

constexpr std::size_t kChunk = 64;
constexpr std::size_t kBlockBytes = kInputBlock;  // of a row of 8-bit inputs
constexpr std::size_t kBlockGroups = kInputBlock / 32;
constexpr std::size_t kFewRows = 4;
constexpr std::size_t kPanel = 32;

/// Where packed rows of inputs lie. 16-bit ones are two planes of signed bytes, x = 256 high + low,
/// which alternate in chunks of 64. Of 8-bit ones the even columns of every 128 come before the odd
/// ones, as 4-bit codes unpack.
struct Packed {
  InputKind kind;
  std::size_t rows;
  std::size_t blocks;  ///< that share a scale

  Packed(InputKind input, std::size_t count, std::size_t depth)
      : kind(input),
        rows(count),
        blocks(kind == InputKind::int8 ? (depth + kInputBlock - 1) / kInputBlock : 1),
        row_bytes(kind == InputKind::int8 ? blocks * kBlockBytes
                                          : (depth + kChunk - 1) / kChunk * 2 * kChunk) {}

  std::size_t row_bytes;
  std::size_t scales() const { return rows * row_bytes; }
  std::size_t sums() const { return scales() + rows * blocks * sizeof(float); }
  /// 8-bit rows only: for each 128 columns, what codes that lie 8 too high add to the sums of four
  /// even and four odd columns, negated: 16 lanes.
  std::size_t starts() const {
    return (sums() + rows * blocks * sizeof(std::int32_t) + kChunk - 1) / kChunk * kChunk;
  }
  std::size_t start_row_bytes() const { return kind == InputKind::int8 ? blocks * 2 * kChunk : 0; }
  std::size_t bytes() const { return starts() + rows * start_row_bytes(); }
};

/// Packed rows of inputs.
struct Inputs {
  const std::byte* packed;
  const Packed& p;

  const std::byte* row(std::size_t r) const { return packed + r * p.row_bytes; }
  const std::byte* start(std::size_t r) const {
    return packed + p.starts() + r * p.start_row_bytes();
  }
  const float* scales(std::size_t r) const {
    return reinterpret_cast<const float*>(packed + p.scales()) + r * p.blocks;
  }
  const std::int32_t* sums(std::size_t r) const {
    return reinterpret_cast<const std::int32_t*>(packed + p.sums()) + r * p.blocks;
  }
};

#include "compute/kernels/linear_integers-inl.h"

void pack(InputKind kind, Rows<const float> x, const std::uint32_t* index, std::size_t rows,
          std::size_t first, std::size_t last, std::size_t depth, std::byte* out) {
  const Packed p(kind, rows, depth);
  for (std::size_t r = first; r < last; ++r) {
    const float* row = x.row(index == nullptr ? r : index[r]);
    auto* scales = reinterpret_cast<float*>(out + p.scales()) + r * p.blocks;
    auto* sums = reinterpret_cast<std::int32_t*>(out + p.sums()) + r * p.blocks;
    std::byte* at = out + r * p.row_bytes;
    if (kind == InputKind::int8) {
      std::byte* start = out + p.starts() + r * p.start_row_bytes();
      const __m512i eight = _mm512_set1_epi8(8);
      for (std::size_t b = 0; b < p.blocks; ++b) {
        __m512i v[4];
        scales[b] = quantise_block(row + b * kInputBlock, depth - b * kInputBlock, v, sums[b]);
        for (std::size_t i = 0; i < 4; ++i, at += kChunk) _mm512_storeu_si512(at, v[i]);
        for (std::size_t i = 0; i < 4; i += 2, start += kChunk) {
          const __m512i excess = _mm512_dpbusd_epi32(
              _mm512_dpbusd_epi32(_mm512_setzero_si512(), eight, v[i]), eight, v[i + 1]);
          _mm512_storeu_si512(start, _mm512_sub_epi32(_mm512_setzero_si512(), excess));
        }
      }
      continue;
    }
    scales[0] = scale_of(row, depth, kLargest16);
    const __m512 inverse = _mm512_set1_ps(inverse_of(scales[0]));
    __m512i sum = _mm512_setzero_si512();
    for (std::size_t k = 0; k < depth; k += 64, at += 2 * kChunk) {
      const Planes v = quantise(row + k, depth - k, inverse, sum);
      _mm512_storeu_si512(at, v.high);
      _mm512_storeu_si512(at + kChunk, v.low);
    }
    sums[0] = _mm512_reduce_add_epi32(sum);
  }
}

/// Lane i of the result: the sum over all lanes of v[i].
__m512i sum_each(const __m512i v[16]) {
  __m512i a[8];
  for (int i = 0; i < 8; ++i) {
    // Lanes of 128 bits: sums of two lanes of v[i], v[i + 8], alternating.
    a[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(v[i], v[i + 8]),
                            _mm512_unpackhi_epi32(v[i], v[i + 8]));
  }
  __m512i b[4];
  for (int i = 0; i < 4; ++i) {
    b[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(a[i], a[i + 4]),
                            _mm512_unpackhi_epi32(a[i], a[i + 4]));
  }
  // b[i]: in each 128-bit lane the sums of v[i], v[i + 4], v[i + 8], v[i + 12].
  __m512i c[2];
  for (int i = 0; i < 2; ++i) {
    c[i] = _mm512_add_epi32(_mm512_shuffle_i32x4(b[2 * i], b[2 * i + 1], 0x88),
                            _mm512_shuffle_i32x4(b[2 * i], b[2 * i + 1], 0xdd));
  }
  const __m512i d = _mm512_add_epi32(_mm512_shuffle_i32x4(c[0], c[1], 0x88),
                                     _mm512_shuffle_i32x4(c[0], c[1], 0xdd));
  // d: 128-bit lane i holds v[i], v[i + 4], v[i + 8], v[i + 12].
  return _mm512_permutexvar_epi32(
      _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), d);
}

/// Weights of a row, one chunk: unsigned bytes, value + 128.
template <WeightCode code>
__m512i load_weights(const std::byte* at, std::size_t n) {
  const __m512i v = n >= kChunk ? _mm512_loadu_si512(at) : _mm512_maskz_loadu_epi8(first64(n), at);
  if constexpr (code == WeightCode::i8) return _mm512_xor_si512(v, _mm512_set1_epi8(-128));
  return v;
}

/// Sums of W rows of weights with X rows of inputs, both planes: sums[plane][x * W + w].
template <int W, int X, WeightCode code>
void multiply_block(const std::byte* w, std::size_t stride, std::size_t depth, const std::byte* x,
                    std::size_t x_stride, std::size_t prefetch, __m512i (&sums)[2]) {
  __m512i high[X][W];
  __m512i low[X][W];
  for (int i = 0; i < X; ++i) {
    for (int j = 0; j < W; ++j) high[i][j] = low[i][j] = _mm512_setzero_si512();
  }
  for (std::size_t k = 0; k < depth; k += kChunk) {
    __m512i weights[W];
    for (int j = 0; j < W; ++j) {
      const std::byte* at = w + static_cast<std::size_t>(j) * stride + k;
      weights[j] = load_weights<code>(at, depth - k);
      if (X == 1) _mm_prefetch(reinterpret_cast<const char*>(at + prefetch), _MM_HINT_T0);
    }
    for (int i = 0; i < X; ++i) {
      const std::byte* at = x + static_cast<std::size_t>(i) * x_stride + 2 * k;
      const __m512i h = _mm512_loadu_si512(at);
      const __m512i l = _mm512_loadu_si512(at + kChunk);
      for (int j = 0; j < W; ++j) high[i][j] = _mm512_dpbusd_epi32(high[i][j], weights[j], h);
      for (int j = 0; j < W; ++j) low[i][j] = _mm512_dpbusd_epi32(low[i][j], weights[j], l);
    }
  }
  const auto gather = [](const __m512i(&v)[X][W]) {
    __m512i all[16];
    for (auto& a : all) a = _mm512_setzero_si512();
    for (int i = 0; i < X; ++i) {
      for (int j = 0; j < W; ++j) all[i * W + j] = v[i][j];
    }
    return sum_each(all);
  };
  sums[0] = gather(high);
  sums[1] = gather(low);
}

/// Writes X rows by `columns` of W output columns: column j goes to column_of(j).
template <int W, int X, class ColumnOf>
void store_bytes(const __m512i (&sums)[2], const float* weight_scales, const Inputs& x,
                 std::size_t r, Rows<float> y, ColumnOf&& column_of) {
  alignas(64) float scale[16] = {};
  alignas(64) std::int32_t sum[16] = {};
  for (int i = 0; i < X; ++i) {
    const std::size_t row = r + static_cast<std::size_t>(i);
    for (int j = 0; j < W; ++j) {
      scale[i * W + j] = weight_scales[j] * x.scales(row)[0];
      sum[i * W + j] = x.sums(row)[0];
    }
  }
  alignas(64) float out[16];
  _mm512_store_ps(out, combine(sums[0], sums[1], _mm512_load_si512(sum), _mm512_load_ps(scale)));
  for (int i = 0; i < X; ++i) {
    float* to = y.row(r + static_cast<std::size_t>(i));
    for (int j = 0; j < W; ++j) to[column_of(static_cast<std::size_t>(j))] = out[i * W + j];
  }
}

constexpr int kWide = 8;  // weight rows for a single input
constexpr int kRows = 4;  // weight rows for several inputs: 4 x 3 x 2 sums fill 24 of 32 registers
constexpr int kInputs = 3;

/// Rows that are read side by side for few inputs: each a stream of its own through memory, which
/// serves many pages at once twice as fast as one after the other. 4-bit rows: 16, 128 bytes of
/// each in turn.
constexpr std::size_t kStreams = 8;

template <WeightCode code>
void multiply_few_bytes(const WeightView& w, std::size_t first, std::size_t last, const Inputs& x,
                        Rows<float> y) {
  float scales[kWide];
  __m512i sums[2];
  const std::size_t rows = x.p.rows;
  const auto multiply = [&]<int W>(std::size_t n, std::size_t step, std::size_t prefetch) {
    for (std::size_t j = 0; j < W; ++j) scales[j] = whole_row_scale(w, n + j * step);
    const auto column_of = [&](std::size_t j) { return n - first + j * step; };
    const auto block = [&]<int X>(std::size_t r) {
      multiply_block<W, X, code>(w.data + n * w.row_bytes, step * w.row_bytes, w.cols, x.row(r),
                                 x.p.row_bytes, prefetch, sums);
      store_bytes<W, X>(sums, scales, x, r, y, column_of);
    };
    std::size_t r = 0;
    if constexpr (W == kRows) {
      for (; r + kInputs <= rows; r += kInputs) block.template operator()<kInputs>(r);
      for (; r + 2 <= rows; r += 2) block.template operator()<2>(r);
    }
    for (; r < rows; ++r) block.template operator()<1>(r);
  };
  std::size_t n = first;
  if (rows == 1) {
    const std::size_t each = (last - first) / kStreams;  // rows of a stream
    for (std::size_t i = 0; i < each; ++i) {
      multiply.template operator()<kWide>(first + i, each, i + 1 < each ? w.row_bytes : 0);
    }
    n += each * kStreams;
  }
  for (; n + kRows <= last; n += kRows) multiply.template operator()<kRows>(n, 1, 0);
  for (; n < last; ++n) multiply.template operator()<1>(n, 1, 0);
}

/// 4-bit weights of rows n, n + step, ..., `count` of 16, against X inputs, unpacked in registers.
/// Reads ahead by `ahead` rows.
///
/// A 128-bit lane is a group of 32 columns. Sums of four even and four odd of its columns fit 16
/// bits, so that one multiply-add takes them times the group's multiple.
///
/// All that the loop over rows reads is in local variables: its vectors may alias anything, so that
/// the compiler would read members anew for every row.
template <int X, ScaleCode code>
void multiply_few_stepped(const WeightView& w, std::size_t n, std::size_t step, std::size_t count,
                          std::size_t ahead, const Inputs& x, __m512 (&total)[X]) {
  const std::size_t groups = w.cols / 32;
  const std::size_t blocks = x.p.blocks;
  const std::size_t row_bytes = step * w.row_bytes;
  const std::size_t scale_row_bytes = step * w.scale_row_bytes;
  const std::size_t next = ahead * w.row_bytes;
  const __m512i nibble = _mm512_set1_epi8(15);
  const __m512i pick0 = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  const __m512i pick1 = _mm512_setr_epi32(4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7);
  alignas(64) float units[16] = {};
  float inverse[16] = {};
  for (std::size_t j = 0; j < count; ++j) {
    const std::byte* scales = w.scales + n * w.scale_row_bytes + j * scale_row_bytes;
    for (std::size_t c = 0; c < w.scale_row_bytes; c += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(scales + ahead * w.scale_row_bytes + c),
                   _MM_HINT_T0);
    }
    units[j] = stepped_unit(code, scales, groups);
    inverse[j] = units[j] > 0 ? 1.0F / units[j] : 0.0F;
  }
  const std::byte* in[X];
  const std::byte* start[X];
  for (int i = 0; i < X; ++i) {
    in[i] = x.row(static_cast<std::size_t>(i));
    start[i] = x.start(static_cast<std::size_t>(i));
    total[i] = _mm512_setzero_ps();
  }
  __m512i sum[X][16];
  for (auto& s : sum) {
    for (auto& v : s) v = _mm512_setzero_si512();
  }
  const std::byte* first_codes = w.data + n * w.row_bytes;
  const std::byte* first_scales = w.scales + n * w.scale_row_bytes;
  for (std::size_t b = 0; b < blocks; ++b) {
    const HalfMasks masks(w.cols, b);
    const __mmask8 scale_mask = stepped_mask(groups, b);
    const std::byte* codes = first_codes;
    const std::byte* scales = first_scales;
    for (std::size_t j = 0; j < count; ++j) {
      _mm_prefetch(reinterpret_cast<const char*>(codes + next), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(codes + next + 64), _MM_HINT_T0);
      const __m512i multiples = stepped_multiples<code>(scales, scale_mask, inverse[j]);
      const __m512i packed0 = _mm512_maskz_loadu_epi8(masks.half[0], codes);
      const __m512i packed1 = _mm512_maskz_loadu_epi8(masks.half[1], codes + 64);
      const __m512i even0 = _mm512_and_si512(packed0, nibble);
      const __m512i even1 = _mm512_and_si512(packed1, nibble);
      const __m512i odd0 = _mm512_and_si512(_mm512_srli_epi16(packed0, 4), nibble);
      const __m512i odd1 = _mm512_and_si512(_mm512_srli_epi16(packed1, 4), nibble);
      const __m512i factor0 = _mm512_permutexvar_epi32(pick0, multiples);
      const __m512i factor1 = _mm512_permutexvar_epi32(pick1, multiples);
      for (int i = 0; i < X; ++i) {
        __m512i v0 = _mm512_loadu_si512(start[i]);
        __m512i v1 = _mm512_loadu_si512(start[i] + kChunk);
        v0 = _mm512_dpbusd_epi32(v0, even0, _mm512_loadu_si512(in[i]));
        v1 = _mm512_dpbusd_epi32(v1, even1, _mm512_loadu_si512(in[i] + 2 * kChunk));
        v0 = _mm512_dpbusd_epi32(v0, odd0, _mm512_loadu_si512(in[i] + kChunk));
        v1 = _mm512_dpbusd_epi32(v1, odd1, _mm512_loadu_si512(in[i] + 3 * kChunk));
        sum[i][j] = _mm512_dpwssd_epi32(_mm512_madd_epi16(v0, factor0), v1, factor1);
      }
      codes += row_bytes;
      scales += scale_row_bytes;
    }
    for (int i = 0; i < X; ++i) {
      total[i] =
          _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum_each(sum[i])),
                          _mm512_set1_ps(x.scales(static_cast<std::size_t>(i))[b]), total[i]);
      in[i] += kBlockBytes;
      start[i] += 2 * kChunk;
    }
    first_codes += kInputBlock / 2;
    first_scales += kBlockGroups * scale_bytes_of(code);
  }
  const __m512 unit = _mm512_mul_ps(_mm512_load_ps(units), _mm512_set1_ps(w.global));
  for (int i = 0; i < X; ++i) total[i] = _mm512_mul_ps(total[i], unit);
}

template <int X>
void multiply_few_stepped(const WeightView& w, std::size_t first, std::size_t last, const Inputs& x,
                          Rows<float> y) {
  const auto multiply = w.scale_code == ScaleCode::bf16 ? multiply_few_stepped<X, ScaleCode::bf16>
                                                        : multiply_few_stepped<X, ScaleCode::f32>;
  __m512 total[X];
  const std::size_t each = (last - first) / 16;  // rows of a stream
  for (std::size_t r = 0; r < each; ++r) {
    multiply(w, first + r, each, 16, r + 1 < each ? 1 : 0, x, total);
    for (int i = 0; i < X; ++i) {
      alignas(64) float out[16];
      _mm512_store_ps(out, total[i]);
      float* to = y.row(static_cast<std::size_t>(i)) + r;
      for (std::size_t j = 0; j < 16; ++j) to[j * each] = out[j];
    }
  }
  const std::size_t done = each * 16;
  if (first + done == last) return;
  multiply(w, first + done, 1, last - first - done, 0, x, total);
  for (int i = 0; i < X; ++i) {
    _mm512_mask_storeu_ps(y.row(static_cast<std::size_t>(i)) + done, first16(last - first - done),
                          total[i]);
  }
}

/// Lays 16 rows of signed bytes out with lanes as rows: [step of 4 columns][kPanel][4], unsigned.
void stage(const std::byte* rows, std::size_t stride, std::size_t count, std::size_t cols,
           WeightCode code, std::byte* out) {
  const __m512i flip = code == WeightCode::i8 ? _mm512_set1_epi8(-128) : _mm512_setzero_si512();
  for (std::size_t k = 0; k < cols; k += kChunk) {
    const __mmask64 mask = first64(cols - k);
    __m512i v[16];
    for (std::size_t j = 0; j < 16; ++j) {
      v[j] =
          j < count ? _mm512_maskz_loadu_epi8(mask, rows + j * stride + k) : _mm512_setzero_si512();
    }
    transpose(v);
    for (std::size_t i = 0; i < 16; ++i) {
      _mm512_store_si512(out + (k / 4 + i) * kPanel * 4, _mm512_xor_si512(v[i], flip));
    }
  }
}

/// Rows of inputs that pass over a panel together: with two vectors of weight rows their sums fill
/// 24 of 32 registers.
constexpr std::size_t kInputs8 = 12;
constexpr std::size_t kInputs16 = 6;

/// Pointers to X rows, one for three of them: more do not fit the registers.
template <std::size_t X>
struct RowPointers {
  const std::byte* at[(X + 2) / 3];
  std::size_t stride;

  RowPointers(const std::byte* first, std::size_t row_bytes) : stride(row_bytes) {
    for (std::size_t i = 0; i < (X + 2) / 3; ++i) at[i] = first + 3 * i * stride;
  }
  __m512i broadcast(std::size_t i, std::size_t byte) const {
    return _mm512_set1_epi32(
        *reinterpret_cast<const std::int32_t*>(at[i / 3] + i % 3 * stride + byte));
  }
  void advance(std::size_t bytes) {
    for (auto& p : at) p += bytes;
  }
};

/// X rows of 8-bit inputs against a panel.
template <std::size_t X>
void multiply_panel8(const std::byte* panel, const float* units, const Inputs& x, std::size_t r,
                     std::size_t columns, float* y, std::size_t stride) {
  alignas(64) float total[X][kPanel] = {};
  for (std::size_t b = 0; b < x.p.blocks; ++b) {
    __m512i sum[X][2];
    for (std::size_t i = 0; i < X; ++i) {
      // By vectors: a block with a NaN has any sum, and may overflow.
      const __m512i excess = _mm512_slli_epi32(_mm512_set1_epi32(x.sums(r + i)[b]), 7);
      sum[i][0] = sum[i][1] = _mm512_sub_epi32(_mm512_setzero_si512(), excess);
    }
    RowPointers<X> in(x.row(r) + b * kBlockBytes, x.p.row_bytes);
    const std::byte* at = panel + b * kBlockBytes * kPanel;
    for (std::size_t s = 0; s < kBlockBytes; s += 4, at += kPanel * 4, in.advance(4)) {
      const __m512i w0 = _mm512_load_si512(at);
      const __m512i w1 = _mm512_load_si512(at + 64);
#pragma GCC unroll 16
      for (std::size_t i = 0; i < X; ++i) {
        const __m512i v = in.broadcast(i, 0);
        sum[i][0] = _mm512_dpbusd_epi32(sum[i][0], w0, v);
        sum[i][1] = _mm512_dpbusd_epi32(sum[i][1], w1, v);
      }
    }
    for (std::size_t i = 0; i < X; ++i) {
      const __m512 scale = _mm512_set1_ps(x.scales(r + i)[b]);
      for (std::size_t h = 0; h < 2; ++h) {
        float* t = total[i] + h * 16;
        _mm512_store_ps(t,
                        _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[i][h]), scale, _mm512_load_ps(t)));
      }
    }
  }
  for (std::size_t i = 0; i < X; ++i) {
    for (std::size_t h = 0; h < 2 && h * 16 < columns; ++h) {
      _mm512_mask_storeu_ps(
          y + i * stride + h * 16, first16(columns - h * 16),
          _mm512_mul_ps(_mm512_load_ps(total[i] + h * 16), _mm512_load_ps(units + h * 16)));
    }
  }
}

/// X rows of 16-bit inputs against a panel.
template <std::size_t X>
void multiply_panel16(const std::byte* panel, const float* units, const Inputs& x, std::size_t r,
                      std::size_t columns, float* y, std::size_t stride) {
  __m512i high[X][2];
  __m512i low[X][2];
  for (std::size_t i = 0; i < X; ++i) {
    for (std::size_t h = 0; h < 2; ++h) high[i][h] = low[i][h] = _mm512_setzero_si512();
  }
  const std::byte* at = panel;
  RowPointers<X> in(x.row(r), x.p.row_bytes);
  for (std::size_t k = 0; k < x.p.row_bytes; k += 2 * kChunk, in.advance(kChunk)) {
    for (std::size_t s = 0; s < kChunk; s += 4, at += kPanel * 4, in.advance(4)) {
      const __m512i w0 = _mm512_load_si512(at);
      const __m512i w1 = _mm512_load_si512(at + 64);
#pragma GCC unroll 8
      for (std::size_t i = 0; i < X; ++i) {
        const __m512i h = in.broadcast(i, 0);
        const __m512i l = in.broadcast(i, kChunk);
        high[i][0] = _mm512_dpbusd_epi32(high[i][0], w0, h);
        high[i][1] = _mm512_dpbusd_epi32(high[i][1], w1, h);
        low[i][0] = _mm512_dpbusd_epi32(low[i][0], w0, l);
        low[i][1] = _mm512_dpbusd_epi32(low[i][1], w1, l);
      }
    }
  }
  for (std::size_t i = 0; i < X; ++i) {
    const __m512i sum = _mm512_set1_epi32(x.sums(r + i)[0]);
    const __m512 scale = _mm512_set1_ps(x.scales(r + i)[0]);
    for (std::size_t h = 0; h < 2 && h * 16 < columns; ++h) {
      _mm512_mask_storeu_ps(y + i * stride + h * 16, first16(columns - h * 16),
                            combine(high[i][h], low[i][h], sum,
                                    _mm512_mul_ps(_mm512_load_ps(units + h * 16), scale)));
    }
  }
}

void multiply_many(const WeightView& w, std::size_t first, std::size_t last, const Inputs& x,
                   std::size_t begin, std::size_t end, Rows<float> y, std::byte* scratch) {
  const bool stepped = x.p.kind == InputKind::int8;
  const std::size_t depth = stepped ? x.p.row_bytes : x.p.row_bytes / 2;
  std::byte* expanded = scratch + kPanel * depth;
  alignas(64) float units[kPanel] = {};
  for (std::size_t n = first; n < last; n += kPanel) {
    const std::size_t count = last - n < kPanel ? last - n : kPanel;
    for (std::size_t j = 0; j < count; j += 16) {
      const std::size_t rows = count - j < 16 ? count - j : 16;
      const std::byte* data = w.data + (n + j) * w.row_bytes;
      if (!stepped) {
        for (std::size_t i = j; i < j + rows; ++i) units[i] = whole_row_scale(w, n + i);
        stage(data, w.row_bytes, rows, w.cols, w.code, scratch + j * 4);
        continue;
      }
      for (std::size_t i = 0; i < rows; ++i) {
        const std::size_t row = n + j + i;
        const float unit =
            stepped_unit(w.scale_code, w.scales + row * w.scale_row_bytes, w.cols / 32);
        const float inverse = unit > 0 ? 1.0F / unit : 0.0F;
        units[j + i] = unit * w.global;
        for (std::size_t b = 0; b < x.p.blocks; ++b) {
          __m512i v[4];
          expand_stepped(w, row, b, HalfMasks(w.cols, b), inverse, v);
          for (std::size_t c = 0; c < 4; ++c) {
            _mm512_store_si512(expanded + i * depth + b * kBlockBytes + c * kChunk, v[c]);
          }
        }
        const std::size_t ahead = last - row > kPanel ? kPanel * w.row_bytes : 0;
        for (std::size_t c = 0; c < w.row_bytes; c += 64) {
          _mm_prefetch(reinterpret_cast<const char*>(data + i * w.row_bytes + ahead + c),
                       _MM_HINT_T1);
        }
      }
      stage(expanded, depth, rows, depth, WeightCode::i8, scratch + j * 4);
    }
    float* out = y.data + (n - first);
    if (stepped) {
      in_groups<kInputs8>(begin, end, [&]<std::size_t X>(std::size_t r) {
        multiply_panel8<X>(scratch, units, x, r, count, out + r * y.stride, y.stride);
      });
    } else {
      in_groups<kInputs16>(begin, end, [&]<std::size_t X>(std::size_t r) {
        multiply_panel16<X>(scratch, units, x, r, count, out + r * y.stride, y.stride);
      });
    }
  }
}

/// A panel, and half of one before it is laid out.
std::size_t scratch_bytes(const WeightView& w, InputKind, std::size_t rows) {
  return rows <= kFewRows ? 0 : (w.cols + kInputBlock) * (kPanel + kPanel / 2);
}

}  // namespace
}  // namespace zaya::avx512

namespace zaya {

const LinearKernels kAvx512Integers = {avx512::packed_bytes, avx512::pack, avx512::scratch_bytes,
                                       avx512::multiply};

}  // namespace zaya
