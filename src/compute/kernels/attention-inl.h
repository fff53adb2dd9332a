// Attention over a vector type V (v_ISA-inl.h) and its exp (exp-inl.h): to be included after them
// in the anonymous namespace of the kernels.

constexpr std::size_t kVector = V::lanes;
constexpr std::size_t kPagePositions = KvBlock::kPositions;
constexpr float kNone = -__builtin_inff();
// Score of a key that a query must not see: exp gives 0, and no infinity meets another.
constexpr float kHidden = -1e37F;

constexpr std::size_t least(std::size_t a, std::size_t b) {
  return a < b ? a : b;
}
constexpr std::size_t most(std::size_t a, std::size_t b) {
  return a < b ? b : a;
}

/// Keys of a span that a row sees, counted from the span's start; none when from == to.
struct Range {
  std::size_t from;
  std::size_t to;
};

inline Range visible(const AttendCall& c, std::size_t span, std::size_t row) {
  const std::size_t start = span * AttendCall::kSpan;
  const std::size_t end = c.position + row / c.heads + 1;
  const std::size_t first = c.window != 0 && end > c.window ? end - c.window : 0;
  const std::size_t to = end > start ? least(end - start, AttendCall::kSpan) : 0;
  const std::size_t from = first > start ? first - start : 0;
  return {least(from, to), to};
}

/// Whole pages of the span around the keys that any of the rows [first, last) sees.
inline Range visible_pages(const AttendCall& c, std::size_t span, std::size_t first,
                           std::size_t last) {
  const std::size_t from = visible(c, span, first).from;
  const std::size_t to = visible(c, span, last - 1).to;
  return {least(from, to) / kPagePositions, (to + kPagePositions - 1) / kPagePositions};
}

inline const std::byte* page_block(const AttendCall& c, std::size_t span, std::size_t page) {
  return c.pages[span * (AttendCall::kSpan / kPagePositions) + page] + c.offset;
}

/// Asks for a page's keys or values before they are needed: pages lie apart, and the hardware does
/// not look past the end of one.
inline void prefetch(const std::byte* data, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += 64) __builtin_prefetch(data + i, 0, 2);
}

/// Hides the scores [begin, end) of pages that are outside of the row's range.
inline void hide(float* scores, std::size_t begin, Range range, std::size_t end) {
  for (std::size_t t = begin; t < range.from; ++t) scores[t] = kHidden;
  for (std::size_t t = range.to; t < end; ++t) scores[t] = kHidden;
}

/// The merge of one span's result into the running state.
inline void merge_rows(const AttendCall& c, std::size_t first, std::size_t rows,
                       const float* highest, const float* total, const float* sum) {
  for (std::size_t r0 = 0; r0 < rows; r0 += kVector) {
    const std::size_t n = least(kVector, rows - r0);
    float* into = c.highest + first + r0;
    const V::Float old_peak = V::load_some(into, n);
    const V::Float new_peak = V::load_some(highest + r0, n);
    // Finite, so that two rows that saw nothing give 0 and not NaN.
    const V::Float peak = V::max(V::set(-3e38F), V::max(old_peak, new_peak));
    alignas(64) float keep[kVector];
    alignas(64) float take[kVector];
    V::store(keep, exp(V::sub(old_peak, peak)));
    V::store(take, exp(V::sub(new_peak, peak)));
    V::store_some(into, V::max(old_peak, new_peak), n);
    for (std::size_t r = 0; r < n; ++r) {
      const std::size_t row = first + r0 + r;
      c.total[row] = c.total[row] * keep[r] + total[r0 + r] * take[r];
      float* out = c.sum + row * c.dim;
      const float* add = sum + (r0 + r) * c.dim;
      const V::Float a = V::set(keep[r]);
      const V::Float b = V::set(take[r]);
      for (std::size_t i = 0; i < c.dim; i += kVector) {
        V::store(out + i, V::fma(V::load(out + i), a, V::mul(V::load(add + i), b)));
      }
    }
  }
}

inline void merge(const AttendCall& into, const AttendCall& from) {
  merge_rows(into, 0, into.rows, from.highest, from.total, from.sum);
}

/// The two kinds of stored elements: a word of 4 bytes holds kPer of them.
struct WideWords {
  static constexpr std::size_t kPer = 1;
  static constexpr std::size_t kBytes = 4;
  static void load(const std::byte* p, V::Float* out) {
    out[0] = V::load(reinterpret_cast<const float*>(p));
  }
};
struct PairWords {
  static constexpr std::size_t kPer = 2;
  static constexpr std::size_t kBytes = 2;
  static void load(const std::byte* p, V::Float* out) { V::load_pairs(p, out[0], out[1]); }
};

constexpr std::size_t kScoreStride = AttendCall::kSpan + 16;
constexpr int kSide = 2;  // vectors side by side: with V::attend_rows rows, sums fill the registers

/// Scores of R rows with the keys of one page.
template <int R, class W>
inline void page_scores(const std::byte* keys, const float* query, std::size_t dim, float* scores) {
  for (std::size_t t = 0; t < kPagePositions; t += kSide * kVector) {
    V::Float sum[R][kSide];
    for (int r = 0; r < R; ++r) {
      for (int j = 0; j < kSide; ++j) sum[r][j] = V::zero();
    }
    for (std::size_t i = 0; i < dim; i += W::kPer) {
      V::Float k[kSide][W::kPer];
      for (int j = 0; j < kSide; ++j) {
        W::load(keys + (i / W::kPer * kPagePositions + t + j * kVector) * 4, k[j]);
      }
      for (std::size_t e = 0; e < W::kPer; ++e) {
        for (int r = 0; r < R; ++r) {
          const V::Float q = V::set(query[r * dim + i + e]);
          for (int j = 0; j < kSide; ++j) sum[r][j] = V::fma(q, k[j][e], sum[r][j]);
        }
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int j = 0; j < kSide; ++j) {
        V::store(scores + r * kScoreStride + t + j * kVector, sum[r][j]);
      }
    }
  }
}

/// Turns the scores of one row into exp(scale * score - peak); returns their sum.
inline float weigh(float* scores, std::size_t begin, std::size_t end, float scale, float& peak) {
  V::Float top = V::set(kHidden);
  for (std::size_t t = begin; t < end; t += kVector) top = V::max(top, V::load(scores + t));
  peak = V::top(top) * scale;
  const V::Float s = V::set(scale);
  const V::Float shift = V::set(-peak);
  V::Float sum = V::zero();
  for (std::size_t t = begin; t < end; t += kVector) {
    const V::Float e = exp(V::fma(V::load(scores + t), s, shift));
    V::store(scores + t, e);
    sum = V::add(sum, e);
  }
  return V::sum(sum);
}

/// out[r][i] = sum over the pages' positions of weights[r][t] values[t][i].
template <int R, class W>
inline void weigh_values(const AttendCall& c, std::size_t span, Range pages, const float* weights,
                         float* out) {
  for (std::size_t i = 0; i < c.dim; i += kSide * kVector) {
    V::Float sum[R][kSide];
    for (int r = 0; r < R; ++r) {
      for (int j = 0; j < kSide; ++j) sum[r][j] = V::zero();
    }
    for (std::size_t p = pages.from; p < pages.to; ++p) {
      const std::byte* values =
          page_block(c, span, p) + KvBlock::part_bytes(c.dim, W::kBytes) + i * 4;
      for (std::size_t t = 0; t < kPagePositions; t += W::kPer) {
        V::Float v[kSide][W::kPer];
        for (int j = 0; j < kSide; ++j) {
          W::load(values + (t / W::kPer * c.dim + j * kVector) * 4, v[j]);
        }
        for (std::size_t e = 0; e < W::kPer; ++e) {
          for (int r = 0; r < R; ++r) {
            const V::Float w = V::set(weights[r * kScoreStride + p * kPagePositions + t + e]);
            for (int j = 0; j < kSide; ++j) sum[r][j] = V::fma(w, v[j][e], sum[r][j]);
          }
        }
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int j = 0; j < kSide; ++j) V::store(out + r * c.dim + i + j * kVector, sum[r][j]);
    }
  }
}

template <int R, class W>
void attend_rows(const AttendCall& c, std::size_t span, std::size_t first) {
  const Range pages = visible_pages(c, span, first, first + R);
  if (pages.from >= pages.to) return;
  auto* scores = reinterpret_cast<float*>(c.scratch);
  float* out = scores + R * kScoreStride;
  float highest[R];
  float total[R];
  const std::size_t part = KvBlock::part_bytes(c.dim, W::kBytes);
  for (std::size_t p = pages.from; p < pages.to; ++p) {
    const std::byte* keys = page_block(c, span, p);
    if (first == 0) {
      if (p + 1 < pages.to) prefetch(page_block(c, span, p + 1), part);
      prefetch(keys + part, part);
    }
    page_scores<R, W>(keys, c.query + first * c.dim, c.dim, scores + p * kPagePositions);
  }
  const std::size_t begin = pages.from * kPagePositions;
  const std::size_t end = pages.to * kPagePositions;
  for (int r = 0; r < R; ++r) {
    const Range range = visible(c, span, first + r);
    float* row = scores + r * kScoreStride;
    if (range.from == range.to) {
      for (std::size_t t = begin; t < end; ++t) row[t] = 0;
      highest[r] = kNone;
      total[r] = 0;
    } else {
      hide(row, begin, range, end);
      total[r] = weigh(row, begin, end, c.scale, highest[r]);
    }
  }
  weigh_values<R, W>(c, span, pages, scores, out);
  merge_rows(c, first, R, highest, total, out);
}

template <class W>
void attend(const AttendCall& c, std::size_t span) {
  constexpr int kRows = V::attend_rows;
  std::size_t r = 0;
  for (; r + kRows <= c.rows; r += kRows) attend_rows<kRows, W>(c, span, r);
  for (; r + 4 <= c.rows; r += 4) attend_rows<4, W>(c, span, r);
  for (; r < c.rows; ++r) attend_rows<1, W>(c, span, r);
}

inline void divide(const float* x, float by, float* out, std::size_t n) {
  const V::Float b = V::set(by);
  for (std::size_t i = 0; i < n; i += kVector) {
    const std::size_t count = least(kVector, n - i);
    V::store_some(out + i, V::div(V::load_some(x + i, count), b), count);
  }
}

inline void depthwise(const float* const* x, const float* const* weight, const float* bias,
                      std::size_t taps, float* out, std::size_t n) {
  for (std::size_t i = 0; i < n; i += kVector) {
    const std::size_t count = least(kVector, n - i);
    V::Float sum = V::load_some(bias + i, count);
    for (std::size_t j = 0; j < taps; ++j) {
      sum = V::fma(V::load_some(weight[j] + i, count), V::load_some(x[j] + i, count), sum);
    }
    V::store_some(out + i, sum, count);
  }
}

inline void mix_head(const HeadCall& c) {
  const V::Float share = V::set(1.0F / static_cast<float>(c.q_heads));
  const V::Float half = V::set(0.5F);
  V::Float squares = V::zero();
  for (std::size_t i = 0; i < c.n; i += kVector) {
    const std::size_t count = least(kVector, c.n - i);
    V::Float q = V::load_some(c.q + i, count);
    for (std::size_t h = 1; h < c.q_heads; ++h)
      q = V::add(q, V::load_some(c.q + h * c.n + i, count));
    const V::Float mean = V::mul(V::fma(q, share, V::load_some(c.k + i, count)), half);
    const V::Float conv = V::add(V::load_some(c.mixed + i, count), V::load_some(c.bias + i, count));
    const V::Float x = V::add(conv, mean);
    V::store_some(c.mixed + i, x, count);
    squares = V::fma(x, x, squares);
  }
  const V::Float norm = V::sqrt(V::set(V::sum(squares) + 1e-12F));
  const V::Float scale = V::div(V::set(c.length), norm);
  for (std::size_t i = 0; i < c.half; i += kVector) {
    const std::size_t count = least(kVector, c.half - i);
    const V::Float a = V::mul(V::load_some(c.mixed + i, count), scale);
    const V::Float b = V::mul(V::load_some(c.mixed + c.half + i, count), scale);
    const V::Float cosine = V::load_some(c.cosine + i, count);
    const V::Float sine = V::load_some(c.sine + i, count);
    V::store_some(c.out + i, V::sub(V::mul(a, cosine), V::mul(b, sine)), count);
    V::store_some(c.out + c.half + i, V::fma(b, cosine, V::mul(a, sine)), count);
  }
  for (std::size_t i = 2 * c.half; i < c.n; i += kVector) {
    const std::size_t count = least(kVector, c.n - i);
    V::store_some(c.out + i, V::mul(V::load_some(c.mixed + i, count), scale), count);
  }
}

inline void write_f32(std::byte* block, std::size_t dim, std::size_t position, const float* key,
                      const float* value) {
  auto* keys = reinterpret_cast<float*>(block);
  float* values = keys + kPagePositions * dim + position * dim;
  for (std::size_t i = 0; i < dim; ++i) keys[i * kPagePositions + position] = key[i];
  for (std::size_t i = 0; i < dim; i += kVector) V::store(values + i, V::load(value + i));
}

inline void write_bf16(std::byte* block, std::size_t dim, std::size_t position, const float* key,
                       const float* value) {
  auto* keys = reinterpret_cast<std::uint32_t*>(block);
  auto* values = reinterpret_cast<std::uint32_t*>(block) + (kPagePositions + position) / 2 * dim;
  for (std::size_t i = 0; i < dim; i += 2 * kVector) {
    alignas(64) std::uint32_t pairs[kVector];
    V::round_pairs(key + i, pairs);
    for (std::size_t j = 0; j < kVector; ++j) {
      keys[(i / 2 + j) * kPagePositions + position] = pairs[j];
    }
  }
  for (std::size_t i = 0; i < dim; i += kVector) {
    V::round_half(value + i, values + i, position % 2 != 0);
  }
}

inline AttentionKernels vector_attention() {
  return {
      .attend_f32 = attend<WideWords>,
      .attend_bf16 = attend<PairWords>,
      .merge = merge,
      .divide = divide,
      .depthwise = depthwise,
      .mix_head = mix_head,
      .write_f32 = write_f32,
      .write_bf16 = write_bf16,
  };
}
