// The kernels over a vector type V, written once and compiled for each instruction set: the file
// that includes this includes v_ISA-inl.h before, in the same anonymous namespace: struct V with
//   lanes, Float, zero, set, load, load_some (first n lanes, others 0) for float and bf16, store,
//   store_some, add, sub, mul, div, fma (a * b + c), max and min (the second operand where one is
//   NaN), round (to nearest), scale (v * 2^n), zero_where_less, sum (over lanes, in fixed order).
// No include guard and no include of its own: it belongs inside that namespace.

constexpr std::size_t kLanes = V::lanes;

#include "compute/kernels/exp-inl.h"

/// R rows by C columns of the product, each in one vector of partial sums: lane l holds the terms
/// with k = l mod lanes. The order of additions is the same for every R and C.
template <int R, int C, class W>
inline void matmul_tile(Rows<const W> w, Rows<const float> x, Rows<float> y, std::size_t depth,
                        std::size_t ahead) {
  V::Float sum[R][C];
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) sum[r][c] = V::zero();
  }
  std::size_t k = 0;
  for (; k + kLanes <= depth; k += kLanes) {
    V::Float wide[C];
    for (int c = 0; c < C; ++c) wide[c] = V::load(w.row(c) + k);
    if (R == 1) {
      for (int c = 0; c < C; ++c) V::prefetch(w.row(c) + ahead + k);
    }
    for (int r = 0; r < R; ++r) {
      const V::Float xs = V::load(x.row(r) + k);
      for (int c = 0; c < C; ++c) sum[r][c] = V::fma(xs, wide[c], sum[r][c]);
    }
  }
  if (k < depth) {
    const std::size_t rest = depth - k;
    for (int c = 0; c < C; ++c) {
      const V::Float ws = V::load_some(w.row(c) + k, rest);
      for (int r = 0; r < R; ++r) {
        sum[r][c] = V::fma(V::load_some(x.row(r) + k, rest), ws, sum[r][c]);
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) y.row(r)[c] = V::sum(sum[r][c]);
  }
}

template <int R, int C, class W>
inline void matmul_columns(Rows<const W> w, Rows<const float> x, Rows<float> y, std::size_t cols,
                           std::size_t depth) {
  std::size_t n = 0;
  for (; n + C <= cols; n += C) {
    matmul_tile<R, C>(Rows<const W>{w.row(n), w.stride}, x, Rows<float>{y.data + n, y.stride},
                      depth, n + 2 * C <= cols ? C * w.stride : 0);
  }
  for (; n < cols; ++n) {
    matmul_tile<R, 1>(Rows<const W>{w.row(n), w.stride}, x, Rows<float>{y.data + n, y.stride},
                      depth, 0);
  }
}

template <class W>
void matmul(Rows<const W> w, Rows<const float> x, Rows<float> y, std::size_t rows, std::size_t cols,
            std::size_t depth) {
  if (rows == 1) return matmul_columns<1, 8>(w, x, y, cols, depth);
  // A block of rows stays in the second-level cache while the weights stream past it once; within a
  // group of columns the weights stay in the first-level cache while the rows go by.
  constexpr std::size_t kBlock = 16 * V::tile_rows;
  for (std::size_t r0 = 0; r0 < rows; r0 += kBlock) {
    const std::size_t r1 = r0 + kBlock < rows ? r0 + kBlock : rows;
    for (std::size_t n = 0; n < cols; n += 4) {
      const std::size_t c = cols - n < 4 ? cols - n : 4;
      const Rows<const W> wn{w.row(n), w.stride};
      std::size_t r = r0;
      for (; r + V::tile_rows <= r1; r += V::tile_rows) {
        matmul_columns<V::tile_rows, 4>(wn, Rows<const float>{x.row(r), x.stride},
                                        Rows<float>{y.row(r) + n, y.stride}, c, depth);
      }
      for (; r < r1; ++r) {
        matmul_columns<1, 4>(wn, Rows<const float>{x.row(r), x.stride},
                             Rows<float>{y.row(r) + n, y.stride}, c, depth);
      }
    }
  }
}

template <class T>
void weighted_sum(Rows<const T> v, Rows<const float> p, const float* scale, Rows<float> y,
                  std::size_t rows, std::size_t count, std::size_t width) {
  for (std::size_t r = 0; r < rows; ++r) {
    const float* ps = p.row(r);
    float* out = y.row(r);
    const V::Float s = V::set(scale[r]);
    std::size_t i = 0;
    for (; i + 4 * kLanes <= width; i += 4 * kLanes) {
      V::Float sum[4];
      for (int j = 0; j < 4; ++j) sum[j] = V::mul(V::load(out + i + j * kLanes), s);
      for (std::size_t t = 0; t < count; ++t) {
        const V::Float pt = V::set(ps[t]);
        const T* row = v.row(t) + i;
        for (int j = 0; j < 4; ++j) sum[j] = V::fma(pt, V::load(row + j * kLanes), sum[j]);
      }
      for (int j = 0; j < 4; ++j) V::store(out + i + j * kLanes, sum[j]);
    }
    for (; i < width; i += kLanes) {
      const std::size_t n = width - i < kLanes ? width - i : kLanes;
      V::Float sum = V::mul(V::load_some(out + i, n), s);
      for (std::size_t t = 0; t < count; ++t) {
        sum = V::fma(V::set(ps[t]), V::load_some(v.row(t) + i, n), sum);
      }
      V::store_some(out + i, sum, n);
    }
  }
}

float exp_shifted(float* x, std::size_t n, float shift) {
  V::Float sum = V::zero();
  const V::Float s = V::set(shift);
  for (std::size_t i = 0; i < n; i += kLanes) {
    const std::size_t count = n - i < kLanes ? n - i : kLanes;
    const V::Float e = exp(V::sub(V::load_some(x + i, count), s));
    V::store_some(x + i, e, count);
    sum = V::add(sum, V::load_some(x + i, count));  // lanes past the end are 0
  }
  return V::sum(sum);
}

/// erfc(z) = t exp(-z^2 + P(t)), t = 1 / (1 + z / 2), z >= 0: the Chebyshev fit of Press et al.,
/// Numerical Recipes, section 6.2, fractional error below 1.2e-7. x Phi(x) = x erfc(-x / sqrt 2)
/// / 2.
void gelu(float* x, std::size_t n) {
  constexpr float kFit[] = {0.17087277F,  -0.82215223F, 1.48851587F, -1.13520398F, 0.27886807F,
                            -0.18628806F, 0.09678418F,  0.37409196F, 1.00002368F,  -1.26551223F};
  const V::Float one = V::set(1.0F);
  for (std::size_t i = 0; i < n; i += kLanes) {
    const std::size_t count = n - i < kLanes ? n - i : kLanes;
    const V::Float v = V::load_some(x + i, count);
    const V::Float z = V::mul(v, V::set(0.70710678F));
    const V::Float size = V::max(z, V::sub(V::zero(), z));
    const V::Float t = V::div(one, V::fma(size, V::set(0.5F), one));
    V::Float p = V::set(kFit[0]);
    for (int j = 1; j < 10; ++j) p = V::fma(p, t, V::set(kFit[j]));
    const V::Float tail = V::mul(t, exp(V::sub(p, V::mul(size, size))));  // erfc(|z|)
    // erfc(-z) is the tail for negative z and 2 - tail else.
    const V::Float rest = V::sub(V::set(2.0F), tail);
    const V::Float upper = V::zero_where_less(z, V::zero(), rest);
    const V::Float lower = V::sub(tail, V::zero_where_less(z, V::zero(), tail));
    V::store_some(x + i, V::mul(V::mul(v, V::set(0.5F)), V::add(upper, lower)), count);
  }
}

void rms_norm(const float* x, const float* weight, float eps, float* out, std::size_t n) {
  V::Float sum[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
  for (std::size_t i = 0, j = 0; i < n; i += kLanes, j = (j + 1) % 4) {
    const V::Float v = V::load_some(x + i, n - i < kLanes ? n - i : kLanes);
    sum[j] = V::fma(v, v, sum[j]);
  }
  const float squares = V::sum(V::add(V::add(sum[0], sum[1]), V::add(sum[2], sum[3])));
  const V::Float scale = V::set(1.0F / __builtin_sqrtf(squares / static_cast<float>(n) + eps));
  for (std::size_t i = 0; i < n; i += kLanes) {
    const std::size_t count = n - i < kLanes ? n - i : kLanes;
    V::store_some(
        out + i, V::mul(V::mul(V::load_some(x + i, count), scale), V::load_some(weight + i, count)),
        count);
  }
}

void merge_residual(const float* o, const float* hidden_scale, const float* hidden_bias,
                    const float* residual_scale, const float* residual_bias, float* r,
                    std::size_t n) {
  for (std::size_t i = 0; i < n; i += kLanes) {
    const std::size_t count = n - i < kLanes ? n - i : kLanes;
    const auto part = [&](const float* x, const float* bias, const float* scale) {
      return V::mul(V::add(V::load_some(x + i, count), V::load_some(bias + i, count)),
                    V::load_some(scale + i, count));
    };
    V::store_some(
        r + i, V::add(part(o, hidden_bias, hidden_scale), part(r, residual_bias, residual_scale)),
        count);
  }
}

void swiglu(const float* gate, const float* up, float* out, std::size_t n) {
  const V::Float one = V::set(1.0F);
  for (std::size_t i = 0; i < n; i += kLanes) {
    const std::size_t count = n - i < kLanes ? n - i : kLanes;
    const V::Float g = V::load_some(gate + i, count);
    const V::Float sigmoid = V::div(one, V::add(one, exp(V::sub(V::zero(), g))));
    V::store_some(out + i, V::mul(V::mul(g, sigmoid), V::load_some(up + i, count)), count);
  }
}

float sum_of_squares(const float* x, std::size_t n) {
  V::Float sum = V::zero();
  for (std::size_t i = 0; i < n; i += kLanes) {
    const V::Float v = V::load_some(x + i, n - i < kLanes ? n - i : kLanes);
    sum = V::fma(v, v, sum);
  }
  return V::sum(sum);
}

Kernels make_table(Isa isa) {
  return {
      .isa = isa,
      .matmul_f32 = matmul<float>,
      .matmul_bf16 = matmul<bf16>,
      .weighted_sum_f32 = weighted_sum<float>,
      .weighted_sum_bf16 = weighted_sum<bf16>,
      .exp_shifted = exp_shifted,
      .gelu = gelu,
      .rms_norm = rms_norm,
      .merge_residual = merge_residual,
      .swiglu = swiglu,
      .sum_of_squares = sum_of_squares,
  };
}
