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
    pack_queries(group);
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
  /// Rounds the group's queries into tiles; rows past the last are 0.
  void pack_queries(const Group& g) const {
    for (std::size_t r = 0; r < kRows; ++r) {
      std::byte* tile = query_ + r / kTile * kTileBytes + r % kTile * 64;
      const float* q = c_.query + (g.first + r) * c_.dim;
      for (std::size_t i = 0; i < c_.dim; i += kDepth) {
        __m512bh both{};
        if (r < g.rows) both = _mm512_cvtne2ps_pbh(V::load(q + i + 16), V::load(q + i));
        __builtin_memcpy(tile + i / kDepth * 2 * kTileBytes, &both, sizeof(both));
      }
    }
  }

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

/// Turns a group's scores into weights.
void weigh(const AttendCall& c, std::size_t span, Group& g, TileWork& work) {
  const std::size_t begin = g.pages.from * kPagePositions;
  const std::size_t end = g.pages.to * kPagePositions;
  for (std::size_t r = 0; r < g.rows; ++r) {
    const Range range = visible(c, span, g.first + r);
    float* scores = g.scores + r * kScoreStride;
    std::byte* weights = g.weights + r * kWeightStride * 2;
    if (range.from == range.to) {
      g.highest[r] = kNone;
      g.total[r] = 0;
      __builtin_memset(weights + begin * 2, 0, (end - begin) * 2);
    } else {
      apply_scales(c.keys, begin, end, scores);
      hide(scores, begin, range, end);
      const auto weigh_one = c.values.scales != nullptr ? weigh_row<true> : weigh_row<false>;
      g.total[r] =
          weigh_one(scores, weights, g.pages, c.scale, c.values.scales, g.highest[r], work);
    }
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

}  // namespace

AttentionKernels amx_attention() {
  AttentionKernels kernels = vector_attention();
  kernels.attend_bf16 = attend_bf16;
  return kernels;
}

}  // namespace zaya
