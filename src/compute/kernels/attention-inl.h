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

inline const std::byte* part_of_page(const KvPart& part, std::size_t span, std::size_t page) {
  return part.page(span * (AttendCall::kSpan / kPagePositions) + page);
}

/// Asks for a page's block before it is needed, while the page two before is worked on: pages lie
/// apart, and the hardware does not look past the end of one. Slice i of dim / slice_dim is asked
/// for at a time, so that the requests do not crowd out the loads.
inline void prefetch_slice(const AttendCall& c, std::size_t span, Range pages, std::size_t page,
                           std::size_t i, std::size_t slice_dim, std::size_t element_bytes) {
  const std::size_t slice = kPagePositions * slice_dim * element_bytes;
  const auto ask = [&](const std::byte* data) {
    for (std::size_t at = 0; at < slice; at += 64) __builtin_prefetch(data + at, 0, 2);
  };
  const std::size_t first = page == pages.from ? page : page + 2;
  for (std::size_t p = first; p < page + 3 && p < pages.to; ++p) {
    ask(part_of_page(c.keys, span, p) + i * slice);
    ask(part_of_page(c.values, span, p) + i * slice);
  }
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

/// Multiplies the scores or weights [begin, end) of one row by the scales of the positions.
inline void apply_scales(const KvPart& part, std::size_t begin, std::size_t end, float* row) {
  if (part.scales == nullptr) return;
  for (std::size_t t = begin; t < end; t += kVector) {
    V::store(row + t, V::mul(V::load(row + t), V::load(part.scales + t)));
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
      const std::byte* values = part_of_page(c.values, span, p) + i * 4;
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
  for (std::size_t p = pages.from; p < pages.to; ++p) {
    const std::byte* keys = part_of_page(c.keys, span, p);
    if (first == 0) prefetch_slice(c, span, pages, p, 0, c.dim, W::kBytes);
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
      apply_scales(c.keys, begin, end, row);
      hide(row, begin, range, end);
      total[r] = weigh(row, begin, end, c.scale, highest[r]);
      apply_scales(c.values, begin, end, row);
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

/// The two ways to touch a vector of an array: whole, or only its first lanes.
struct Whole {
  static V::Float load(const float* p) { return V::load(p); }
  static void store(float* p, V::Float v) { V::store(p, v); }
};
struct Part {
  std::size_t lanes;
  V::Float load(const float* p) const { return V::load_some(p, lanes); }
  void store(float* p, V::Float v) const { V::store_some(p, v, lanes); }
};

/// f(i, whole or part) for the vectors at i in [begin, n).
template <class F>
inline void each_vector(std::size_t begin, std::size_t n, const F& f) {
  std::size_t i = begin;
  for (; i + kVector <= n; i += kVector) f(i, Whole{});
  if (i < n) f(i, Part{n - i});
}

inline void divide(const float* x, float by, float* out, std::size_t n) {
  const V::Float b = V::set(by);
  each_vector(0, n, [&](std::size_t i, auto at) { at.store(out + i, V::div(at.load(x + i), b)); });
}

inline void depthwise(const float* const* x, const float* const* weight, const float* bias,
                      std::size_t taps, float* out, std::size_t n) {
  each_vector(0, n, [&](std::size_t i, auto at) {
    V::Float sum = at.load(bias + i);
    for (std::size_t j = 0; j < taps; ++j) {
      sum = V::fma(at.load(weight[j] + i), at.load(x[j] + i), sum);
    }
    at.store(out + i, sum);
  });
}

inline void mix_head(const HeadCall& c) {
  const V::Float share = V::set(1.0F / static_cast<float>(c.q_heads));
  const V::Float half = V::set(0.5F);
  V::Float squares = V::zero();
  each_vector(0, c.n, [&](std::size_t i, auto at) {
    V::Float q = at.load(c.q + i);
    for (std::size_t h = 1; h < c.q_heads; ++h) q = V::add(q, at.load(c.q + h * c.n + i));
    const V::Float mean = V::mul(V::fma(q, share, at.load(c.k + i)), half);
    const V::Float conv = V::add(at.load(c.mixed + i), at.load(c.bias + i));
    const V::Float x = V::add(conv, mean);
    at.store(c.mixed + i, x);
    squares = V::fma(x, x, squares);
  });
  const V::Float norm = V::sqrt(V::set(V::sum(squares) + 1e-12F));
  const V::Float scale = V::div(V::set(c.length), norm);
  each_vector(0, c.half, [&](std::size_t i, auto at) {
    const V::Float a = V::mul(at.load(c.mixed + i), scale);
    const V::Float b = V::mul(at.load(c.mixed + c.half + i), scale);
    const V::Float cosine = at.load(c.cosine + i);
    const V::Float sine = at.load(c.sine + i);
    at.store(c.out + i, V::sub(V::mul(a, cosine), V::mul(b, sine)));
    at.store(c.out + c.half + i, V::fma(b, cosine, V::mul(a, sine)));
  });
  each_vector(2 * c.half, c.n, [&](std::size_t i, auto at) {
    at.store(c.out + i, V::mul(at.load(c.mixed + i), scale));
  });
}

inline void write_keys_f32(std::byte* part, std::size_t dim, std::size_t position, const float* x) {
  auto* keys = reinterpret_cast<float*>(part);
  for (std::size_t i = 0; i < dim; ++i) keys[i * kPagePositions + position] = x[i];
}

inline void write_values_f32(std::byte* part, std::size_t dim, std::size_t position,
                             const float* x) {
  float* values = reinterpret_cast<float*>(part) + position * dim;
  for (std::size_t i = 0; i < dim; i += kVector) V::store(values + i, V::load(x + i));
}

inline void write_keys_bf16(std::byte* part, std::size_t dim, std::size_t position,
                            const float* x) {
  auto* keys = reinterpret_cast<std::uint32_t*>(part);
  for (std::size_t i = 0; i < dim; i += 2 * kVector) {
    alignas(64) std::uint32_t pairs[kVector];
    V::round_pairs(x + i, pairs);
    for (std::size_t j = 0; j < kVector; ++j) {
      keys[(i / 2 + j) * kPagePositions + position] = pairs[j];
    }
  }
}

inline void write_values_bf16(std::byte* part, std::size_t dim, std::size_t position,
                              const float* x) {
  auto* values = reinterpret_cast<std::uint32_t*>(part) + position / 2 * dim;
  for (std::size_t i = 0; i < dim; i += kVector) {
    V::round_half(x + i, values + i, position % 2 != 0);
  }
}

// Narrow codes as bf16: every step takes kVector words of two.

inline void widen_fp8(const std::byte* part, std::size_t dim, std::byte* out,
                      const std::byte* ahead) {
  for (std::size_t i = 0; i < kPagePositions * dim; i += 2 * kVector) {
    __builtin_prefetch(ahead + i, 0, 2);
    V::store_words(out + 2 * i, V::bf16_of_e4m3(part + i));
  }
}

inline void widen_int8(const std::byte* part, std::size_t dim, std::byte* out,
                       const std::byte* ahead) {
  for (std::size_t i = 0; i < kPagePositions * dim; i += 2 * kVector) {
    __builtin_prefetch(ahead + i, 0, 2);
    V::store_words(out + 2 * i, V::bf16_of_int16(V::int16_of_bytes(part + i)));
  }
}

/// kVector words of two codes, times the multiples that lie beside them.
inline void widen_nibbles(const std::byte* codes, V::Words multiples, std::byte* out) {
  V::store_words(out, V::bf16_of_int16(V::mul16(V::int16_of_nibbles(codes), multiples)));
}

inline void widen_keys_int4(const std::byte* part, std::size_t dim, std::byte* out,
                            const std::byte* ahead) {
  const auto* multiples =
      reinterpret_cast<const std::int8_t*>(part + KvBlock::multiples_offset(dim));
  constexpr std::size_t kPairs = KvBlock::kGroup / 2;
  for (std::size_t i = 0; i < dim / 2; i += kPairs) {
    for (std::size_t t = 0; t < kPagePositions; t += kVector) {
      const V::Words of_positions = V::twins(multiples + i / kPairs * kPagePositions + t);
      for (std::size_t j = i; j < i + kPairs; ++j) {
        const std::size_t at = j * kPagePositions + t;
        __builtin_prefetch(ahead + at, 0, 2);
        widen_nibbles(part + at, of_positions, out + 4 * at);
      }
    }
  }
}

inline void widen_values_int4(const std::byte* part, std::size_t dim, std::byte* out,
                              const std::byte* ahead) {
  const auto* multiples =
      reinterpret_cast<const std::int8_t*>(part + KvBlock::multiples_offset(dim));
  for (std::size_t t = 0; t < kPagePositions; t += 2) {
    for (std::size_t i = 0; i < dim; i += KvBlock::kGroup) {
      const std::int8_t* two = multiples + i / KvBlock::kGroup * kPagePositions + t;
      const V::Words of_both = V::both(two[0], two[1]);
      for (std::size_t j = i; j < i + KvBlock::kGroup; j += kVector) {
        const std::size_t at = t / 2 * dim + j;
        __builtin_prefetch(ahead + at, 0, 2);
        widen_nibbles(part + at, of_both, out + 4 * at);
      }
    }
  }
}

inline AttentionKernels vector_attention() {
  AttentionKernels kernels = scalar_attention();
  kernels.attend_f32 = attend<WideWords>;
  kernels.attend_bf16 = attend<PairWords>;
  kernels.merge = merge;
  kernels.divide = divide;
  kernels.depthwise = depthwise;
  kernels.mix_head = mix_head;
  const auto at = [](KvFormat format) { return static_cast<std::size_t>(format); };
  KvKernels* keys = &kernels.keys[0];
  KvKernels* values = &kernels.values[0];
  keys[at(KvFormat::f32)].write = write_keys_f32;
  keys[at(KvFormat::bf16)].write = write_keys_bf16;
  keys[at(KvFormat::fp8)].widen = widen_fp8;
  keys[at(KvFormat::int8)].widen = widen_int8;
  keys[at(KvFormat::int4)].widen = widen_keys_int4;
  values[at(KvFormat::f32)].write = write_values_f32;
  values[at(KvFormat::bf16)].write = write_values_bf16;
  values[at(KvFormat::fp8)].widen = widen_fp8;
  values[at(KvFormat::int8)].widen = widen_int8;
  values[at(KvFormat::int4)].widen = widen_values_int4;
  return kernels;
}
