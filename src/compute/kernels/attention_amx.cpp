#include <immintrin.h>

#include "compute/kernels/amx_tiles.h"
#include "compute/kernels/tables.h"

namespace zaya {
namespace {

// Each needs the one before.
// clang-format off
#include "compute/kernels/v_avx512-inl.h"
#include "compute/kernels/exp-inl.h"
#include "compute/kernels/attention-inl.h"
// clang-format on

constexpr std::size_t kTile = 16;          // rows of a tile, and columns of a tile of sums
constexpr std::size_t kGroup = 2 * kTile;  // rows that go through the tiles together
constexpr std::size_t kDepth = 32;         // products a tile sums over at once
constexpr std::size_t kTileBytes = 1024;
constexpr float kLog2e = 1.44269504F;

/// A group's memory. Strides are off powers of two, so that the rows of a tile do not compete for
/// the same lines of the first-level cache.
struct Work {
  static constexpr std::size_t kWeightStride = AttendCall::kSpan + 32;

  std::byte* query;    ///< [dim / 32] pairs of tiles of 16 rows: bf16
  float* scores;       ///< [32][kScoreStride]
  std::byte* weights;  ///< bf16 [32][kWeightStride]
  float* sum;          ///< [32][dim]
  std::size_t first;   ///< the group's first row
  std::size_t rows;
  Range pages;
};

/// Rounds the group's queries into tiles; rows past the last are 0.
void pack_queries(const AttendCall& c, const Work& w) {
  for (std::size_t r = 0; r < kGroup; ++r) {
    std::byte* tile = w.query + r / kTile * kTileBytes + r % kTile * 64;
    const float* q = c.query + (w.first + r) * c.dim;
    for (std::size_t i = 0; i < c.dim; i += kDepth) {
      auto* out = reinterpret_cast<std::uint32_t*>(tile + i / kDepth * 2 * kTileBytes);
      if (r < w.rows) {
        V::round_pairs(q + i, out);
      } else {
        _mm512_storeu_si512(out, _mm512_setzero_si512());
      }
    }
  }
}

/// Scores of M tiles of queries with the keys of one page.
template <int M>
void page_scores(const AttendCall& c, const Work& w, const std::byte* keys, std::size_t page) {
  amx::zero<0>();
  amx::zero<1>();
  if (M == 2) amx::zero<2>();
  if (M == 2) amx::zero<3>();
  constexpr long kKeyStride = 4 * kPagePositions;
  for (std::size_t i = 0; i < c.dim / kDepth; ++i) {
    amx::load<4>(w.query + i * 2 * kTileBytes, 64);
    amx::load<6>(keys + i * kTile * kKeyStride, kKeyStride);
    amx::dot_bf16<0, 4, 6>();
    amx::load<7>(keys + i * kTile * kKeyStride + 64, kKeyStride);
    amx::dot_bf16<1, 4, 7>();
    if (M == 2) {
      amx::load<5>(w.query + (i * 2 + 1) * kTileBytes, 64);
      amx::dot_bf16<2, 5, 6>();
      amx::dot_bf16<3, 5, 7>();
    }
  }
  constexpr long kStride = kScoreStride * sizeof(float);
  float* out = w.scores + page * kPagePositions;
  amx::store<0>(out, kStride);
  amx::store<1>(out + kTile, kStride);
  if (M == 2) amx::store<2>(out + kTile * kScoreStride, kStride);
  if (M == 2) amx::store<3>(out + kTile * kScoreStride + kTile, kStride);
}

/// sum = weights times values, over the group's pages of the span.
template <int M>
void page_values(const AttendCall& c, std::size_t span, const Work& w) {
  const auto value_stride = static_cast<long>(c.dim * 4);
  constexpr long kWeights = Work::kWeightStride * 2;
  const auto sum_stride = static_cast<long>(c.dim * sizeof(float));
  const std::size_t keys = KvBlock::part_bytes(c.dim, 2);
  for (std::size_t i = 0; i < c.dim; i += 2 * kTile) {
    amx::zero<0>();
    amx::zero<1>();
    if (M == 2) amx::zero<2>();
    if (M == 2) amx::zero<3>();
    for (std::size_t p = w.pages.from; p < w.pages.to; ++p) {
      const std::byte* values = page_block(c, span, p) + keys + i * 4;
      const std::byte* weights = w.weights + p * kPagePositions * 2;
      amx::load<4>(weights, kWeights);
      amx::load<6>(values, value_stride);
      amx::dot_bf16<0, 4, 6>();
      amx::load<7>(values + 64, value_stride);
      amx::dot_bf16<1, 4, 7>();
      if (M == 2) {
        amx::load<5>(weights + kTile * kWeights, kWeights);
        amx::dot_bf16<2, 5, 6>();
        amx::dot_bf16<3, 5, 7>();
      }
    }
    amx::store<0>(w.sum + i, sum_stride);
    amx::store<1>(w.sum + i + kTile, sum_stride);
    if (M == 2) amx::store<2>(w.sum + kTile * c.dim + i, sum_stride);
    if (M == 2) amx::store<3>(w.sum + kTile * c.dim + i + kTile, sum_stride);
  }
}

/// 2^x to 3e-6 of its value, below the rounding of the bf16 that comes of it: x = n + f,
/// |f| <= 1/2, and close to the best polynomial of degree 4. NaN stays NaN.
inline __m512 exp2(__m512 x) {
  // Adding 1.5 * 2^23 leaves no bits for a fraction: it rounds to a whole number.
  const __m512 magic = _mm512_set1_ps(12582912.0F);
  const __m512 n = _mm512_sub_ps(_mm512_add_ps(x, magic), magic);
  const __m512 f = _mm512_sub_ps(x, n);
  __m512 e = _mm512_set1_ps(9.58285026e-3F);
  e = _mm512_fmadd_ps(e, f, _mm512_set1_ps(5.59064282e-2F));
  e = _mm512_fmadd_ps(e, f, _mm512_set1_ps(2.40240987e-1F));
  e = _mm512_fmadd_ps(e, f, _mm512_set1_ps(6.93124193e-1F));
  e = _mm512_fmadd_ps(e, f, _mm512_set1_ps(1.0F));
  return _mm512_scalef_ps(e, n);
}

/// Weights of one row: bf16 of exp(scale * score - peak). The sum is of the unrounded ones.
inline float weigh_row(const AttendCall& c, const Work& w, std::size_t row, float& peak) {
  const float* scores = w.scores + row * kScoreStride;
  const std::size_t begin = w.pages.from * kPagePositions;
  const std::size_t end = w.pages.to * kPagePositions;
  __m512 top0 = _mm512_set1_ps(kHidden);
  __m512 top1 = top0;
  for (std::size_t t = begin; t < end; t += 32) {
    top0 = _mm512_max_ps(top0, _mm512_loadu_ps(scores + t));
    top1 = _mm512_max_ps(top1, _mm512_loadu_ps(scores + t + 16));
  }
  const float top = _mm512_reduce_max_ps(_mm512_max_ps(top0, top1));
  peak = top * c.scale;
  const __m512 scale = _mm512_set1_ps(c.scale * kLog2e);
  const __m512 shift = _mm512_set1_ps(-top * (c.scale * kLog2e));
  __m512 sum0 = _mm512_setzero_ps();
  __m512 sum1 = sum0;
  std::byte* out = w.weights + row * Work::kWeightStride * 2;
  for (std::size_t t = begin; t < end; t += 32) {
    const __m512 a = exp2(_mm512_fmadd_ps(_mm512_loadu_ps(scores + t), scale, shift));
    const __m512 b = exp2(_mm512_fmadd_ps(_mm512_loadu_ps(scores + t + 16), scale, shift));
    sum0 = _mm512_add_ps(sum0, a);
    sum1 = _mm512_add_ps(sum1, b);
    const __m512bh both = _mm512_cvtne2ps_pbh(b, a);
    __builtin_memcpy(out + t * 2, &both, sizeof(both));
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(sum0, sum1));
}

template <int M>
void attend_group(const AttendCall& c, std::size_t span, const Work& w) {
  const bool fetch = w.first == 0;  // later groups find the pages in the cache
  const std::size_t part = KvBlock::part_bytes(c.dim, 2);
  pack_queries(c, w);
  for (std::size_t p = w.pages.from; p < w.pages.to; ++p) {
    const std::byte* keys = page_block(c, span, p);
    if (fetch && p + 1 < w.pages.to) prefetch(page_block(c, span, p + 1), part);
    if (fetch) prefetch(keys + part, part);
    page_scores<M>(c, w, keys, p);
  }
  float highest[kGroup];
  float total[kGroup];
  const std::size_t begin = w.pages.from * kPagePositions;
  const std::size_t end = w.pages.to * kPagePositions;
  for (std::size_t r = 0; r < w.rows; ++r) {
    const Range range = visible(c, span, w.first + r);
    if (range.from == range.to) {
      highest[r] = kNone;
      total[r] = 0;
      __builtin_memset(w.weights + (r * Work::kWeightStride + begin) * 2, 0, (end - begin) * 2);
    } else {
      hide(w.scores + r * kScoreStride, begin, range, end);
      total[r] = weigh_row(c, w, r, highest[r]);
    }
  }
  page_values<M>(c, span, w);
  merge_rows(c, w.first, w.rows, highest, total, w.sum);
}

void attend_bf16(const AttendCall& c, std::size_t span) {
  amx::configure(kTile);
  Work w{};
  w.query = c.scratch;
  w.weights = w.query + kGroup * c.dim * 2;
  w.scores = reinterpret_cast<float*>(w.weights + kGroup * Work::kWeightStride * 2);
  w.sum = w.scores + kGroup * kScoreStride;
  for (w.first = 0; w.first < c.rows; w.first += kGroup) {
    w.rows = least(kGroup, c.rows - w.first);
    w.pages = visible_pages(c, span, w.first, w.first + w.rows);
    if (w.pages.from >= w.pages.to) continue;
    if (w.rows > kTile) {
      attend_group<2>(c, span, w);
    } else {
      attend_group<1>(c, span, w);
    }
  }
  amx::release();
}

}  // namespace

AttentionKernels amx_attention() {
  AttentionKernels kernels = vector_attention();
  kernels.attend_bf16 = attend_bf16;
  return kernels;
}

}  // namespace zaya
