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

constexpr std::size_t kTile = 16;         // rows of a tile, and columns of a tile of sums
constexpr std::size_t kRows = 2 * kTile;  // of a group: rows that go through the tiles together
constexpr std::size_t kDepth = 32;        // terms a tile product sums over
constexpr std::size_t kTileBytes = 1024;
constexpr float kLog2e = 1.44269504F;

// Rows are off powers of two, so that those of a tile do not compete for the same cache lines.
constexpr std::size_t kWeightStride = AttendCall::kSpan + 32;

/// Up to 32 rows on their way through one span: scores, then weights, then sums of values.
struct Group {
  std::size_t first;
  std::size_t rows;
  Range pages;
  float* scores;       ///< [32][kScoreStride]
  std::byte* weights;  ///< bf16 [32][kWeightStride]
  float highest[kRows];
  float total[kRows];

  bool two_tiles() const { return rows > kTile; }
};

/// A product of one or two tiles of rows with two neighbouring tiles of columns, added to the sums.
struct Product {
  const std::byte* rows;
  const std::byte* more_rows;  ///< of the second tile; null: there is none
  long row_stride;
  const std::byte* columns;
  long column_stride;

  // The four quarters, in order; the last two only where there is a second tile.
  void quarter0() const {
    amx::load<4>(rows, row_stride);
    amx::load<6>(columns, column_stride);
    amx::dot_bf16<0, 4, 6>();
  }
  void quarter1() const {
    amx::load<7>(columns + 64, column_stride);
    amx::dot_bf16<1, 4, 7>();
  }
  void quarter2() const {
    amx::load<5>(more_rows, row_stride);
    amx::dot_bf16<2, 5, 6>();
  }
  static void quarter3() { amx::dot_bf16<3, 5, 7>(); }

  void run() const {
    quarter0();
    quarter1();
    if (more_rows == nullptr) return;
    quarter2();
    quarter3();
  }
};

/// The tile products around the exponentials of a group: the values of the group before it and the
/// scores of the one after it. They are taken one by one from between the exponentials, because the
/// tile unit works beside the vector units, but few tile instructions can wait for it at a time.
class TileWork {
 public:
  TileWork(const AttendCall& call, std::size_t span, std::byte* query, float* sum)
      : c_(call), span_(span), query_(query), sum_(sum) {}

  void add_values(const Group& group) {
    values_ = &group;
    value_page_ = group.pages.from;
    column_ = 0;
  }
  void add_scores(const Group& group) {
    scores_ = &group;
    score_page_ = group.pages.from;
    depth_ = 0;
    pack_queries(group.first, group.rows);
  }

  /// Rounds queries into tiles; rows past the last are 0.
  void pack_queries(std::size_t first, std::size_t rows) const {
    for (std::size_t r = 0; r < kRows; ++r) {
      std::byte* tile = query_ + r / kTile * kTileBytes + r % kTile * 64;
      const float* q = c_.query + (first + r) * c_.dim;
      for (std::size_t i = 0; i < c_.dim; i += kDepth) {
        __m512bh both{};
        if (r < rows) both = _mm512_cvtne2ps_pbh(V::load(q + i + 16), V::load(q + i));
        __builtin_memcpy(tile + i / kDepth * 2 * kTileBytes, &both, sizeof(both));
      }
    }
  }

  bool empty() const { return values_ == nullptr && scores_ == nullptr; }
  /// The product to do next; done() when it is. Not when empty.
  Product next() { return values_ != nullptr ? next_values() : next_scores(); }
  void done() {
    if (values_ != nullptr) {
      values_done();
    } else {
      scores_done();
    }
  }
  /// All that is left.
  void run() {
    while (!empty()) {
      next().run();
      done();
    }
  }

 private:
  /// Scores with the keys of one page after the other: sums over dim.
  Product next_scores() const {
    constexpr long kKeyStride = 4 * kPagePositions;
    const std::byte* keys = part_of_page(c_.keys, span_, score_page_);
    if (depth_ == 0) zero();
    // A few rows are done sooner than the pages come from memory; for more the hardware is enough.
    if (c_.rows <= kRows) prefetch_slice(c_, span_, scores_->pages, score_page_, depth_, kDepth, 2);
    const std::byte* query = query_ + depth_ * 2 * kTileBytes;
    return {query, scores_->two_tiles() ? query + kTileBytes : nullptr, 64,
            keys + depth_ * kTile * kKeyStride, kKeyStride};
  }
  void scores_done() {
    if (++depth_ != c_.dim / kDepth) return;
    depth_ = 0;
    store(scores_->scores + score_page_ * kPagePositions, kScoreStride, scores_->two_tiles());
    if (++score_page_ == scores_->pages.to) scores_ = nullptr;
  }

  /// Sums of weights times 32 columns of values after the other: sums over pages.
  Product next_values() const {
    constexpr long kStride = 2 * kWeightStride;
    if (value_page_ == values_->pages.from) zero();
    const std::byte* weights = values_->weights + value_page_ * kPagePositions * 2;
    return {weights, values_->two_tiles() ? weights + kTile * kStride : nullptr, kStride,
            part_of_page(c_.values, span_, value_page_) + column_ * 4,
            static_cast<long>(c_.dim * 4)};
  }
  void values_done() {
    if (++value_page_ != values_->pages.to) return;
    value_page_ = values_->pages.from;
    store(sum_ + column_, c_.dim, values_->two_tiles());
    column_ += 2 * kTile;
    if (column_ == c_.dim) values_ = nullptr;
  }

  static void zero() {
    amx::zero<0>();
    amx::zero<1>();
    amx::zero<2>();
    amx::zero<3>();
  }
  static void store(float* out, std::size_t stride, bool two_tiles) {
    const auto bytes = static_cast<long>(stride * sizeof(float));
    amx::store<0>(out, bytes);
    amx::store<1>(out + kTile, bytes);
    if (two_tiles) {
      amx::store<2>(out + kTile * stride, bytes);
      amx::store<3>(out + kTile * stride + kTile, bytes);
    }
  }

  const AttendCall& c_;
  std::size_t span_;
  std::byte* query_;  ///< [dim / 32] pairs of tiles of 16 rows: bf16
  float* sum_;        ///< [32][dim]
  const Group* values_ = nullptr;
  std::size_t value_page_ = 0;
  std::size_t column_ = 0;
  const Group* scores_ = nullptr;
  std::size_t score_page_ = 0;
  std::size_t depth_ = 0;  ///< terms of the page's scores so far, in tiles
};

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

/// Weights of one row: bf16 of exp(factor * score - peak) times the scale of the value, with `work`
/// going on beside. The sum is of the unrounded ones, without scales.
template <bool Scaled>
inline float weigh_row(const float* scores, std::byte* weights, Range pages, float factor,
                       const float* scales, float& peak, TileWork& work) {
  const std::size_t begin = pages.from * kPagePositions;
  const std::size_t end = pages.to * kPagePositions;
  __m512 top0 = _mm512_set1_ps(kHidden);
  __m512 top1 = top0;
  for (std::size_t t = begin; t < end; t += 32) {
    top0 = _mm512_max_ps(top0, _mm512_loadu_ps(scores + t));
    top1 = _mm512_max_ps(top1, _mm512_loadu_ps(scores + t + 16));
  }
  const float top = _mm512_reduce_max_ps(_mm512_max_ps(top0, top1));
  peak = top * factor;
  const __m512 scale = _mm512_set1_ps(factor * kLog2e);
  const __m512 shift = _mm512_set1_ps(-top * (factor * kLog2e));
  __m512 sum0 = _mm512_setzero_ps();
  __m512 sum1 = sum0;
  const auto weigh = [&](std::size_t t) __attribute__((always_inline)) {
    const __m512 a = exp2(_mm512_fmadd_ps(_mm512_loadu_ps(scores + t), scale, shift));
    const __m512 b = exp2(_mm512_fmadd_ps(_mm512_loadu_ps(scores + t + 16), scale, shift));
    sum0 = _mm512_add_ps(sum0, a);
    sum1 = _mm512_add_ps(sum1, b);
    const __m512bh both =
        Scaled ? _mm512_cvtne2ps_pbh(_mm512_mul_ps(b, _mm512_loadu_ps(scales + t + 16)),
                                     _mm512_mul_ps(a, _mm512_loadu_ps(scales + t)))
               : _mm512_cvtne2ps_pbh(b, a);
    __builtin_memcpy(weights + t * 2, &both, sizeof(both));
  };
  std::size_t t = begin;
  for (; t + 128 <= end && !work.empty(); t += 128) {
    const Product product = work.next();
    product.quarter0();
    weigh(t);
    product.quarter1();
    weigh(t + 32);
    if (product.more_rows != nullptr) product.quarter2();
    weigh(t + 64);
    if (product.more_rows != nullptr) product.quarter3();
    weigh(t + 96);
    work.done();
  }
  for (; t < end; t += 32) weigh(t);
  return _mm512_reduce_add_ps(_mm512_add_ps(sum0, sum1));
}

/// Turns the scores of one row into weights.
void weigh_scores(const AttendCall& c, std::size_t span, std::size_t row, float* scores,
                  std::byte* weights, Range pages, float& highest, float& total, TileWork& work) {
  const std::size_t begin = pages.from * kPagePositions;
  const std::size_t end = pages.to * kPagePositions;
  const Range range = visible(c, span, row);
  if (range.from == range.to) {
    highest = kNone;
    total = 0;
    __builtin_memset(weights + begin * 2, 0, (end - begin) * 2);
  } else {
    apply_scales(c.keys, begin, end, scores);
    hide(scores, begin, range, end);
    const auto weigh_one = c.values.scales != nullptr ? weigh_row<true> : weigh_row<false>;
    total = weigh_one(scores, weights, pages, c.scale, c.values.scales, highest, work);
  }
}

/// Turns a group's scores into weights.
void weigh(const AttendCall& c, std::size_t span, Group& g, TileWork& work) {
  for (std::size_t r = 0; r < g.rows; ++r) {
    weigh_scores(c, span, g.first + r, g.scores + r * kScoreStride,
                 g.weights + r * kWeightStride * 2, g.pages, g.highest[r], g.total[r], work);
  }
}

void attend_bf16(const AttendCall& c, std::size_t span) {
  Group groups[3];  // of which a group, the one before and the one after are alive
  std::byte* memory = c.scratch;
  const auto take = [&](std::size_t bytes) {
    std::byte* out = memory;
    memory += bytes;
    return out;
  };
  for (Group& g : groups) {
    g.scores = reinterpret_cast<float*>(take(kRows * kScoreStride * sizeof(float)));
    g.weights = take(kRows * kWeightStride * 2);
  }
  std::byte* query = take(kRows * c.dim * 2);
  auto* sum = reinterpret_cast<float*>(take(kRows * c.dim * sizeof(float)));

  std::size_t next = 0;  // row
  const auto start = [&](Group& g) {
    for (; next < c.rows; next += kRows) {
      g.first = next;
      g.rows = least(kRows, c.rows - next);
      g.pages = visible_pages(c, span, next, next + g.rows);
      if (g.pages.from >= g.pages.to) continue;
      next += g.rows;
      return true;
    }
    return false;
  };
  const auto finish = [&](const Group& g) {
    merge_rows(c, g.first, g.rows, g.highest, g.total, sum);
  };

  amx::configure(kTile);
  TileWork work(c, span, query, sum);
  bool more = start(groups[0]);
  if (more) {
    work.add_scores(groups[0]);
    work.run();
  }
  for (std::size_t i = 0; more; ++i) {
    Group& g = groups[i % 3];
    Group& after = groups[(i + 1) % 3];
    const Group& before = groups[(i + 2) % 3];
    if (i > 0) work.add_values(before);
    more = start(after);
    if (more) work.add_scores(after);
    weigh(c, span, g, work);
    work.run();
    if (i > 0) finish(before);
    if (!more) {
      work.add_values(g);
      work.run();
      finish(g);
    }
  }
  amx::release();
}

/// The bf16 of 7-bit magnitudes, byte by byte: a permutation looks 64 of them up at a time.
struct Magnitudes {
  alignas(64) std::uint8_t lower[128];
  alignas(64) std::uint8_t upper[128];
};

constexpr Magnitudes magnitudes_of(KvFormat format) {
  constexpr unsigned kSmall[8] = {0, 0x3b00, 0x3b80, 0x3bc0, 0x3c00, 0x3c20, 0x3c40, 0x3c60};
  Magnitudes out{};
  for (unsigned code = 0; code < 128; ++code) {
    unsigned bits = __builtin_bit_cast(std::uint32_t, static_cast<float>(code)) >> 16;
    // E4M3: the bits in place, and the exponent's offset added; the first 8 have no leading one.
    if (format == KvFormat::fp8) bits = code < 8 ? kSmall[code] : (code << 4) + (120U << 7);
    out.lower[code] = static_cast<std::uint8_t>(bits & 255);
    out.upper[code] = static_cast<std::uint8_t>(bits >> 8);
  }
  return out;
}

/// Widens `count` codes, a multiple of 64, of a sign and a magnitude (fp8) or in two's complement
/// (int8).
template <KvFormat F>
inline void widen_codes(const std::byte* codes, std::size_t count, std::byte* out,
                        const std::byte* ahead) {
  static constexpr Magnitudes kTable = magnitudes_of(F);
  const __m512i lower0 = _mm512_load_si512(kTable.lower);
  const __m512i lower1 = _mm512_load_si512(kTable.lower + 64);
  const __m512i upper0 = _mm512_load_si512(kTable.upper);
  const __m512i upper1 = _mm512_load_si512(kTable.upper + 64);
  const __m512i sign = _mm512_set1_epi8(-128);
  // So ordered that the halves of each 16 bytes widen to neighbours.
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
  for (std::size_t i = 0; i < count; i += 64) {
    __builtin_prefetch(ahead + i, 0, 2);
    const __m512i code = _mm512_permutexvar_epi64(order, _mm512_loadu_si512(codes + i));
    const __m512i size = F == KvFormat::int8 ? _mm512_abs_epi8(code) : code;
    const __m512i lower = _mm512_permutex2var_epi8(lower0, size, lower1);
    const __m512i upper = _mm512_permutex2var_epi8(upper0, size, upper1);
    const __m512i with_sign =
        _mm512_ternarylogic_epi32(upper, code, sign, 0xf8);  // upper | code & sign
    _mm512_storeu_si512(out + 2 * i, _mm512_unpacklo_epi8(lower, with_sign));
    _mm512_storeu_si512(out + 2 * i + 64, _mm512_unpackhi_epi8(lower, with_sign));
  }
}

template <KvFormat F>
void widen_part(const std::byte* part, std::size_t dim, std::byte* out, const std::byte* ahead) {
  widen_codes<F>(part, kPagePositions * dim, out, ahead);
}

/// Columns [column, column + n) of the values of a page: [16 pairs of positions][n][2]; n is 32 or
/// 64.
void widen_columns(const KvPart& values, const std::byte* part, std::size_t dim, std::size_t column,
                   std::size_t n, std::byte* out, const std::byte* ahead) {
  for (std::size_t t = 0; t < kPagePositions / 2; ++t) {
    const std::size_t at = t * dim + column;
    std::byte* row = out + t * n * 4;
    if (values.format == KvFormat::fp8) {
      widen_codes<KvFormat::fp8>(part + 2 * at, 2 * n, row, ahead + 2 * at);
    } else if (values.format == KvFormat::int8) {
      widen_codes<KvFormat::int8>(part + 2 * at, 2 * n, row, ahead + 2 * at);
    } else {
      __builtin_prefetch(ahead + at, 0, 2);
      const auto* multiples =
          reinterpret_cast<const std::int8_t*>(part + KvBlock::multiples_offset(dim));
      for (std::size_t i = 0; i < n; i += 16) {
        const std::int8_t* two =
            multiples + (column + i) / KvBlock::kGroup * kPagePositions + 2 * t;
        widen_nibbles(part + at + i, V::both(two[0], two[1]), row + 4 * i);
      }
    }
  }
}

/// The scales of a span's positions as fp32; null where the format has none.
const float* span_scales(const KvPart& part, std::size_t dim, std::size_t span, Range pages,
                         float* out) {
  if (!KvBlock::scaled(part.format)) return nullptr;
  for (std::size_t p = pages.from; p < pages.to; ++p) {
    const std::byte* scales = part_of_page(part, span, p) + KvBlock::code_bytes(dim, part.format);
    for (std::size_t t = 0; t < kPagePositions; t += 16) {
      const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(scales + 2 * t));
      _mm512_storeu_ps(out + p * kPagePositions + t, V::widen(bits));
    }
  }
  return out;
}

/// Attention of at most one tile of rows over narrow keys and values: decoding. A page is widened
/// into the first-level cache just before its products; to widen a span first, as for many rows,
/// takes twice as long, most of it for the way to the second-level cache and back.
/// The sums are attend_bf16's, to the bit.
void attend_few(const AttendCall& call, std::size_t span) {
  const Range pages = visible_pages(call, span, 0, call.rows);
  if (pages.from >= pages.to) return;
  AttendCall c = call;
  std::byte* memory = c.scratch;
  const auto take = [&](std::size_t bytes) {
    std::byte* out = memory;
    memory += (bytes + 63) / 64 * 64;
    return out;
  };
  const auto take_floats = [&](std::size_t n) { return reinterpret_cast<float*>(take(n * 4)); };
  float* scores = take_floats(kTile * kScoreStride);
  std::byte* weights = take(kTile * kWeightStride * 2);
  std::byte* query = take(2 * kTile * c.dim * 2);
  float* sum = take_floats(kTile * c.dim);
  std::byte* page = take(kPagePositions * c.dim * 2);
  c.keys.scales = span_scales(c.keys, c.dim, span, pages, take_floats(AttendCall::kSpan));
  c.values.scales = span_scales(c.values, c.dim, span, pages, take_floats(AttendCall::kSpan));
  const auto next = [&](const KvPart& part, std::size_t p) {
    return part_of_page(part, span, least(p + 2, pages.to - 1));
  };

  amx::configure(kTile);
  TileWork work(c, span, query, sum);
  work.pack_queries(0, c.rows);
  for (std::size_t p = pages.from; p < pages.to; ++p) {
    const std::byte* keys = part_of_page(c.keys, span, p);
    // Past the last keys come the first values.
    const std::byte* ahead =
        p + 2 < pages.to
            ? next(c.keys, p)
            : part_of_page(c.values, span, least(pages.from + p + 2 - pages.to, pages.to - 1));
    if (c.keys.format == KvFormat::fp8) {
      widen_part<KvFormat::fp8>(keys, c.dim, page, ahead);
    } else if (c.keys.format == KvFormat::int8) {
      widen_part<KvFormat::int8>(keys, c.dim, page, ahead);
    } else if (c.keys.format == KvFormat::int4) {
      widen_keys_int4(keys, c.dim, page, ahead);
    }
    const std::byte* wide = c.keys.format == KvFormat::bf16 ? keys : page;
    amx::zero<0>();
    amx::zero<1>();
    for (std::size_t i = 0; i < c.dim; i += kDepth) {
      const Product product{query + i * 2 * kTile * 2, nullptr, 64, wide + i * kPagePositions * 2,
                            4 * kPagePositions};
      product.run();
    }
    float* out = scores + p * kPagePositions;
    amx::store<0>(out, kScoreStride * 4);
    amx::store<1>(out + kTile, kScoreStride * 4);
  }

  float highest[kTile];
  float total[kTile];
  for (std::size_t r = 0; r < c.rows; ++r) {
    weigh_scores(c, span, r, scores + r * kScoreStride, weights + r * kWeightStride * 2, pages,
                 highest[r], total[r], work);
  }

  constexpr std::size_t kColumns = 4 * kTile;
  for (std::size_t column = 0; column < c.dim; column += kColumns) {
    const std::size_t n = least(kColumns, c.dim - column);
    amx::zero<0>();
    amx::zero<1>();
    amx::zero<2>();
    amx::zero<3>();
    for (std::size_t p = pages.from; p < pages.to; ++p) {
      const std::byte* wide = part_of_page(c.values, span, p) + column * 4;
      auto stride = static_cast<long>(c.dim * 4);
      if (c.values.format != KvFormat::bf16) {
        widen_columns(c.values, part_of_page(c.values, span, p), c.dim, column, n, page,
                      next(c.values, p));
        wide = page;
        stride = static_cast<long>(n * 4);
      }
      amx::load<4>(weights + p * kPagePositions * 2, 2 * kWeightStride);
      amx::load<5>(wide, stride);
      amx::dot_bf16<0, 4, 5>();
      amx::load<6>(wide + 64, stride);
      amx::dot_bf16<1, 4, 6>();
      if (n == kColumns) {
        amx::load<5>(wide + 128, stride);
        amx::dot_bf16<2, 4, 5>();
        amx::load<6>(wide + 192, stride);
        amx::dot_bf16<3, 4, 6>();
      }
    }
    const auto bytes = static_cast<long>(c.dim * 4);
    amx::store<0>(sum + column, bytes);
    amx::store<1>(sum + column + kTile, bytes);
    if (n == kColumns) {
      amx::store<2>(sum + column + 2 * kTile, bytes);
      amx::store<3>(sum + column + 3 * kTile, bytes);
    }
  }
  amx::release();
  merge_rows(c, 0, c.rows, highest, total, sum);
}

}  // namespace

AttentionKernels amx_attention() {
  AttentionKernels kernels = vector_attention();
  kernels.attend_bf16 = attend_bf16;
  kernels.attend_few = attend_few;
  for (auto* part : {&kernels.keys, &kernels.values}) {
    (*part)[static_cast<std::size_t>(KvFormat::fp8)].widen = widen_part<KvFormat::fp8>;
    (*part)[static_cast<std::size_t>(KvFormat::int8)].widen = widen_part<KvFormat::int8>;
  }
  return kernels;
}

}  // namespace zaya
