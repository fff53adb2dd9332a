#include "compute/kernels/linear_avx512.h"

#include <immintrin.h>

#include "compute/kernels/tables.h"

// Products of 16-bit inputs with 8-bit weights on VNNI. The inputs of a row are two planes of
// signed bytes, x = 256 high + low, which alternate in chunks of 64; weights are unsigned, value +
// 128, and 128 times the sum of the inputs is taken off at the end.
namespace zaya {
namespace {

using namespace avx512;

constexpr std::size_t kChunk = 64;

struct Packed {
  std::size_t rows;
  std::size_t chunks;

  Packed(InputKind kind, std::size_t count, std::size_t depth)
      : rows(count),
        chunks(kind == InputKind::int16 ? (depth + 63) / 64 : (depth + 127) / 128 * 2) {}

  std::size_t row_bytes() const { return chunks * 2 * kChunk; }
  std::size_t scales() const { return rows * row_bytes(); }
  std::size_t sums() const { return scales() + rows * sizeof(float); }
  /// Split rows only: for each block of 128 columns, where sums of products with codes that lie 8
  /// too high begin: 16 lanes of the high plane, 16 of the low one.
  std::size_t starts() const {
    return (sums() + rows * sizeof(std::int32_t) + kChunk - 1) / kChunk * kChunk;
  }
  std::size_t start_row_bytes() const { return chunks * kChunk; }
  std::size_t bytes() const { return starts() + rows * start_row_bytes(); }
};

std::size_t packed_bytes(InputKind kind, std::size_t rows, std::size_t depth) {
  return Packed(kind, rows, depth).bytes();
}

void pack(InputKind kind, Rows<const float> x, const std::uint32_t* index, std::size_t rows,
          std::size_t first, std::size_t last, std::size_t depth, std::byte* out) {
  const Packed p(kind, rows, depth);
  for (std::size_t r = first; r < last; ++r) {
    const float* row = x.row(index == nullptr ? r : index[r]);
    const float scale = row_scale(row, depth);
    const __m512 inverse = _mm512_set1_ps(scale == 0 ? 0.0F : 1.0F / scale);
    __m512i sum = _mm512_setzero_si512();
    std::byte* at = out + r * p.row_bytes();
    std::byte* start = out + p.starts() + r * p.start_row_bytes();
    if (kind == InputKind::int16) {
      for (std::size_t k = 0; k < depth; k += 64, at += 2 * kChunk) {
        const Planes v = quantise(row + k, depth - k, inverse, sum);
        _mm512_storeu_si512(at, v.high);
        _mm512_storeu_si512(at + kChunk, v.low);
      }
    } else {
      for (std::size_t k = 0; k < depth; k += 128, at += 4 * kChunk) {
        const Planes a = quantise(row + k, depth - k, inverse, sum);
        const Planes b = depth > k + 64 ? quantise(row + k + 64, depth - k - 64, inverse, sum)
                                        : Planes{_mm512_setzero_si512(), _mm512_setzero_si512()};
        const __m512i planes[4] = {even_bytes(a.high, b.high), even_bytes(a.low, b.low),
                                   odd_bytes(a.high, b.high), odd_bytes(a.low, b.low)};
        for (std::size_t i = 0; i < 4; ++i) _mm512_storeu_si512(at + i * kChunk, planes[i]);
        for (std::size_t i = 0; i < 2; ++i) {
          const __m512i eight = _mm512_set1_epi8(8);
          const __m512i excess = _mm512_dpbusd_epi32(
              _mm512_dpbusd_epi32(_mm512_setzero_si512(), eight, planes[i]), eight, planes[i + 2]);
          _mm512_storeu_si512(start + i * kChunk, _mm512_sub_epi32(_mm512_setzero_si512(), excess));
        }
        start += 2 * kChunk;
      }
    }
    reinterpret_cast<float*>(out + p.scales())[r] = scale;
    reinterpret_cast<std::int32_t*>(out + p.sums())[r] = _mm512_reduce_add_epi32(sum);
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

/// A product's parts that do not change from block to block.
struct Product {
  const std::byte* packed;
  const Packed& p;
  Rows<float> y;

  const std::byte* input(std::size_t r) const { return packed + r * p.row_bytes(); }

  /// Writes X rows by `columns` of W output columns: sums of `high_weight` times the first plus the
  /// second, of weights that lie 128 too high where `excess`.
  template <int W, int X, class ColumnOf>
  void store(const __m512i (&sums)[2], const float* weight_scales, std::size_t r,
             ColumnOf&& column_of, std::size_t columns, double high_weight = 256,
             bool excess = true) const {
    const auto* scales = reinterpret_cast<const float*>(packed + p.scales());
    const auto* input_sums = reinterpret_cast<const std::int32_t*>(packed + p.sums());
    alignas(64) float scale[16] = {};
    alignas(64) std::int32_t sum[16] = {};
    for (int i = 0; i < X; ++i) {
      for (int j = 0; j < W; ++j) {
        scale[i * W + j] = weight_scales[j] * scales[r + static_cast<std::size_t>(i)];
        sum[i * W + j] = excess ? input_sums[r + static_cast<std::size_t>(i)] : 0;
      }
    }
    alignas(64) float out[16];
    _mm512_store_ps(
        out, combine(sums[0], sums[1], _mm512_load_si512(sum), _mm512_load_ps(scale), high_weight));
    for (int i = 0; i < X; ++i) {
      for (std::size_t j = 0; j < columns; ++j) {
        y.row(r + static_cast<std::size_t>(i))[column_of(j)] = out[i * W + static_cast<int>(j)];
      }
    }
  }
};

constexpr int kWide = 8;  // weight rows for a single input
constexpr int kRows = 4;  // weight rows for several inputs: 4 x 3 x 2 sums fill 24 of 32 registers
constexpr int kInputs = 3;

/// Every input against W rows of weights, which stay in the first-level cache.
template <int W, WeightCode code>
void multiply_rows(const Product& product, const std::byte* w, std::size_t stride,
                   std::size_t depth, const float* weight_scales, std::size_t n,
                   std::size_t columns, std::size_t prefetch, std::size_t step = 1) {
  const Packed& p = product.p;
  const auto column_of = [&](std::size_t j) { return n + j * step; };
  __m512i sums[2];
  std::size_t r = 0;
  if constexpr (W == kRows) {
    for (; r + kInputs <= p.rows; r += kInputs) {
      multiply_block<W, kInputs, code>(w, stride, depth, product.input(r), p.row_bytes(), prefetch,
                                       sums);
      product.store<W, kInputs>(sums, weight_scales, r, column_of, columns);
    }
    if (r + 2 <= p.rows) {
      multiply_block<W, 2, code>(w, stride, depth, product.input(r), p.row_bytes(), prefetch, sums);
      product.store<W, 2>(sums, weight_scales, r, column_of, columns);
      r += 2;
    }
  }
  for (; r < p.rows; ++r) {
    multiply_block<W, 1, code>(w, stride, depth, product.input(r), p.row_bytes(), prefetch, sums);
    product.store<W, 1>(sums, weight_scales, r, column_of, columns);
  }
}

/// Rows that are read side by side for few inputs: each a stream of its own through memory, which
/// serves eight pages at once twice as fast as one after the other.
constexpr std::size_t kStreams = 8;

template <WeightCode code>
void multiply_bytes(const WeightView& w, std::size_t first, std::size_t last,
                    const Product& product) {
  float scales[kWide];
  const auto rows = [&]<int W>(std::size_t n, std::size_t step, std::size_t prefetch) {
    for (std::size_t j = 0; j < W; ++j) scales[j] = whole_row_scale(w, n + j * step);
    multiply_rows<W, code>(product, w.data + n * w.row_bytes, step * w.row_bytes, w.cols, scales,
                           n - first, W, prefetch, step);
  };
  std::size_t n = first;
  if (product.p.rows == 1) {
    const std::size_t each = (last - first) / kStreams;  // rows of a stream
    for (std::size_t i = 0; i < each; ++i) {
      rows.template operator()<kWide>(first + i, each, i + 1 < each ? w.row_bytes : 0);
    }
    n += each * kStreams;
  }
  for (; n + kRows <= last; n += kRows) rows.template operator()<kRows>(n, 1, 0);
  for (; n < last; ++n) rows.template operator()<1>(n, 1, 0);
}

/// One row of 4-bit weights against X inputs, unpacked in registers: the sum over the lanes of
/// 65536 high + low is the integer product, in units of the row.
///
/// A 128-bit lane is a group of 32 columns. Within one, the sums of either plane fit 16 bits, so
/// that one multiply-add takes them times the group's multiple, and the high plane times 256 too.
template <int X>
void multiply_stepped(const WeightView& w, std::size_t n, float unit, std::size_t prefetch,
                      const Product& product, __m512i (&high)[X], __m512i (&low)[X]) {
  // Blocks whose sums stay below 2^31: 2 * 8192 * 15 * 257 each.
  constexpr std::size_t kBlocks = 32;
  const std::byte* codes = w.data + n * w.row_bytes;
  const std::byte* scales = w.scales + n * w.scale_row_bytes;
  const std::size_t groups = w.cols / 32;
  const __m512 inverse = _mm512_set1_ps(unit > 0 ? 1.0F / unit : 0.0F);
  const __m512i nibble = _mm512_set1_epi8(15);
  // Lane i of a permutation by this: multiple i twice, then 256 times multiple i twice.
  const __m512i pick = _mm512_setr_epi32(0, 0, 16, 16, 1, 1, 17, 17, 2, 2, 18, 18, 3, 3, 19, 19);
  const auto starts = [&](int i) {
    return product.packed + product.p.starts() +
           static_cast<std::size_t>(i) * product.p.start_row_bytes();
  };
  __m512i sum[X];
  for (int i = 0; i < X; ++i) high[i] = low[i] = sum[i] = _mm512_setzero_si512();
  const auto flush = [&] {
    for (int i = 0; i < X; ++i) {
      high[i] = _mm512_add_epi32(high[i], _mm512_srai_epi32(sum[i], 16));
      low[i] = _mm512_add_epi32(low[i], _mm512_and_si512(sum[i], _mm512_set1_epi32(0xffff)));
      sum[i] = _mm512_setzero_si512();
    }
  };
  for (std::size_t g = 0; g < groups; g += 16) {
    const __m512i multiples =
        _mm512_cvtps_epi32(_mm512_mul_ps(load_scales(w.scale_code, scales, g, groups), inverse));
    const __m512i once = _mm512_or_si512(multiples, _mm512_slli_epi32(multiples, 16));
    const __m512i times_256 = _mm512_slli_epi32(once, 8);
    const std::size_t end = groups - g < 16 ? groups - g : 16;
    _mm_prefetch(reinterpret_cast<const char*>(scales + prefetch * w.scale_row_bytes +
                                               g * scale_bytes_of(w.scale_code)),
                 _MM_HINT_T1);
    for (std::size_t b = 0; b < end; b += 4) {
      const std::byte* at = codes + (g + b) * 16;
      const __m512i packed = end - b >= 4 ? _mm512_loadu_si512(at)
                                          : _mm512_maskz_loadu_epi8(first64((end - b) * 16), at);
      _mm_prefetch(reinterpret_cast<const char*>(at + prefetch * w.row_bytes), _MM_HINT_T1);
      const __m512i even = _mm512_and_si512(packed, nibble);
      const __m512i odd = _mm512_and_si512(_mm512_srli_epi16(packed, 4), nibble);
      const __m512i factor = _mm512_permutex2var_epi32(
          once, _mm512_add_epi32(pick, _mm512_set1_epi32(static_cast<int>(b))), times_256);
      const std::size_t block = (g + b) / 4;
      for (int i = 0; i < X; ++i) {
        const std::byte* x = product.input(static_cast<std::size_t>(i)) + block * 4 * kChunk;
        const std::byte* start = starts(i) + block * 2 * kChunk;
        __m512i h = _mm512_loadu_si512(start);
        __m512i l = _mm512_loadu_si512(start + kChunk);
        h = _mm512_dpbusd_epi32(h, even, _mm512_loadu_si512(x));
        l = _mm512_dpbusd_epi32(l, even, _mm512_loadu_si512(x + kChunk));
        h = _mm512_dpbusd_epi32(h, odd, _mm512_loadu_si512(x + 2 * kChunk));
        l = _mm512_dpbusd_epi32(l, odd, _mm512_loadu_si512(x + 3 * kChunk));
        sum[i] = _mm512_dpwssd_epi32(sum[i], _mm512_packs_epi32(l, h), factor);
      }
    }
    if ((g + 16) % (4 * kBlocks) == 0) flush();
  }
  flush();
}

/// X inputs against all rows of 4-bit weights, which are taken from each stream in turn.
template <int X>
void multiply_stepped_rows(const WeightView& w, std::size_t first, std::size_t last,
                           const Product& product) {
  constexpr std::size_t kBlock = 16 / X;  // weight rows that fill a vector of sums
  constexpr std::size_t kAhead = 2;       // rows of the same stream
  const std::size_t total = last - first;
  const std::size_t each = total / kStreams;
  const auto column = [&](std::size_t i) {
    return i < each * kStreams ? i % kStreams * each + i / kStreams : i;
  };
  for (std::size_t at = 0; at < total; at += kBlock) {
    const std::size_t count = total - at < kBlock ? total - at : kBlock;
    __m512i high[16];
    __m512i low[16];
    float scales[16] = {};
    for (int i = 0; i < 16; ++i) high[i] = low[i] = _mm512_setzero_si512();
    for (std::size_t j = 0; j < count; ++j) {
      stepped_units(w, first + column(at + j), 1, scales + j);
    }
    for (std::size_t j = 0; j < count; ++j) {
      __m512i h[X];
      __m512i l[X];
      const std::size_t ahead = at + j + kAhead * kStreams < each * kStreams ? kAhead : 0;
      multiply_stepped<X>(w, first + column(at + j), scales[j], ahead, product, h, l);
      scales[j] *= w.global;
      for (std::size_t i = 0; i < X; ++i) {
        high[i * kBlock + j] = h[i];
        low[i * kBlock + j] = l[i];
      }
    }
    const __m512i sums[2] = {sum_each(high), sum_each(low)};
    product.store<kBlock, X>(
        sums, scales, 0, [&](std::size_t j) { return column(at + j); }, count, 65536, false);
  }
}

void multiply_u4(const WeightView& w, std::size_t first, std::size_t last, const Product& product,
                 std::byte* scratch) {
  switch (product.p.rows) {
    case 1:
      return multiply_stepped_rows<1>(w, first, last, product);
    case 2:
      return multiply_stepped_rows<2>(w, first, last, product);
    case 3:
      return multiply_stepped_rows<3>(w, first, last, product);
    case 4:
      return multiply_stepped_rows<4>(w, first, last, product);
    default:
      break;
  }
  const std::size_t depth = product.p.chunks * kChunk;
  const __m512i offset = _mm512_set1_epi8(-128);
  for (std::size_t n = first; n < last; n += kRows) {
    const std::size_t count = last - n < kRows ? last - n : kRows;
    float scales[kRows] = {};
    stepped_units(w, n, count, scales);
    for (std::size_t j = 0; j < count; ++j) {
      expand_stepped(w, n + j, scales[j], last - n > 16 ? 16 : 0,
                     [&](std::size_t block, __m512i even, __m512i odd) {
                       std::byte* at = scratch + j * depth + block * 128;
                       _mm512_store_si512(at, _mm512_xor_si512(even, offset));
                       _mm512_store_si512(at + 64, _mm512_xor_si512(odd, offset));
                     });
      scales[j] *= w.global;
    }
    multiply_rows<kRows, WeightCode::u8>(product, scratch, depth, depth, scales, n - first, count,
                                         0);
  }
}

void multiply(const WeightView& w, std::size_t first, std::size_t last, InputKind kind,
              const std::byte* packed, std::size_t rows, Rows<float> y, std::byte* scratch) {
  const Packed p(kind, rows, w.cols);
  const Product product{packed, p, y};
  if (w.code == WeightCode::u4) return multiply_u4(w, first, last, product, scratch);
  if (w.code == WeightCode::u8) return multiply_bytes<WeightCode::u8>(w, first, last, product);
  multiply_bytes<WeightCode::i8>(w, first, last, product);
}

std::size_t scratch_bytes(const WeightView& w, InputKind kind) {
  return kRows * Packed(kind, 1, w.cols).chunks * kChunk;
}

}  // namespace

const LinearKernels kAvx512Integers = {packed_bytes, pack, scratch_bytes, multiply};

}  // namespace zaya
