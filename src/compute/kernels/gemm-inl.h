// Packed products in fp32 over a vector type V (v_ISA-inl.h), to be included after it in the
// anonymous namespace of the kernels. Operands rounded to bf16 take the same products: they are
// exact in fp32.

constexpr std::size_t kGemmRows = V::gemm_rows;
constexpr std::size_t kGemmCols = 2 * V::lanes;
constexpr std::size_t kGemmDepth = 256;  // of a pass: a panel of it stays in the first-level cache

inline float gemm_item(float v, bool rounded) {
  if (!rounded) return v;
  const auto u = __builtin_bit_cast(unsigned, v);
  const unsigned up = (u + 0x7fffU + ((u >> 16) & 1U)) & 0xffff0000U;
  return v == v ? __builtin_bit_cast(float, up) : v;
}

/// out[l][i] = a[i][l]
template <std::size_t width, bool rounded>
void gemm_pack(Strided<float> a, std::size_t count, std::size_t k, std::byte* bytes) {
  auto* out = reinterpret_cast<float*>(bytes);
  if (count < width) {
    for (std::size_t i = 0; i < k * width; ++i) out[i] = 0;
  }
  if (a.row == 1) {
    for (std::size_t l = 0; l < k; ++l) {
      const float* from = a.data + l * a.col;
      for (std::size_t i = 0; i < count; ++i) out[l * width + i] = gemm_item(from[i], rounded);
    }
    return;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const float* from = a.data + i * a.row;
    for (std::size_t l = 0; l < k; ++l) out[l * width + i] = gemm_item(from[l * a.col], rounded);
  }
}

template <bool rounded>
void gemm_pack_a(Strided<float> a, std::size_t count, std::size_t k, std::byte* out) {
  gemm_pack<kGemmRows, rounded>(a, count, k, out);
}

template <bool rounded>
void gemm_pack_b(Strided<float> b, std::size_t count, std::size_t k, std::byte* out) {
  gemm_pack<kGemmCols, rounded>(b.transposed(), count, k, out);
}

/// c of one panel of each, rows by kGemmCols in `c`.
inline void gemm_tile(const float* a, const float* b, std::size_t k, float* c, std::size_t stride,
                      bool add) {
  V::Float sum[kGemmRows][2];
  for (std::size_t i = 0; i < kGemmRows; ++i) {
    for (int j = 0; j < 2; ++j) {
      sum[i][j] = add ? V::load(c + i * stride + j * V::lanes) : V::zero();
    }
  }
  for (std::size_t l = 0; l < k; ++l) {
    const V::Float b0 = V::load(b + l * kGemmCols);
    const V::Float b1 = V::load(b + l * kGemmCols + V::lanes);
    for (std::size_t i = 0; i < kGemmRows; ++i) {
      const V::Float ai = V::set(a[l * kGemmRows + i]);
      sum[i][0] = V::fma(ai, b0, sum[i][0]);
      sum[i][1] = V::fma(ai, b1, sum[i][1]);
    }
  }
  for (std::size_t i = 0; i < kGemmRows; ++i) {
    for (int j = 0; j < 2; ++j) V::store(c + i * stride + j * V::lanes, sum[i][j]);
  }
}

void gemm_multiply(const GemmBlock& g) {
  const auto* a = reinterpret_cast<const float*>(g.a);
  const auto* b = reinterpret_cast<const float*>(g.b);
  alignas(64) float edge[kGemmRows * kGemmCols];
  for (std::size_t l0 = 0; l0 < g.k; l0 += kGemmDepth) {
    const std::size_t depth = g.k - l0 < kGemmDepth ? g.k - l0 : kGemmDepth;
    const bool add = g.add || l0 > 0;
    for (std::size_t j = 0; j < g.n; j += kGemmCols) {
      const float* bp = b + j * g.k + l0 * kGemmCols;
      for (std::size_t i = 0; i < g.m; i += kGemmRows) {
        const float* ap = a + i * g.k + l0 * kGemmRows;
        float* c = g.c + i * g.c_stride + j;
        const std::size_t rows = g.m - i < kGemmRows ? g.m - i : kGemmRows;
        const std::size_t cols = g.n - j < kGemmCols ? g.n - j : kGemmCols;
        if (rows == kGemmRows && cols == kGemmCols) {
          gemm_tile(ap, bp, depth, c, g.c_stride, add);
          continue;
        }
        if (add) {
          for (std::size_t r = 0; r < rows; ++r) {
            for (std::size_t s = 0; s < cols; ++s) edge[r * kGemmCols + s] = c[r * g.c_stride + s];
          }
        }
        gemm_tile(ap, bp, depth, edge, kGemmCols, add);
        for (std::size_t r = 0; r < rows; ++r) {
          for (std::size_t s = 0; s < cols; ++s) c[r * g.c_stride + s] = edge[r * kGemmCols + s];
        }
      }
    }
  }
}

template <bool rounded>
GemmKernels gemm_kernels() {
  return {.rows = kGemmRows,
          .cols = kGemmCols,
          .item = sizeof(float),
          .pack_a = gemm_pack_a<rounded>,
          .pack_b = gemm_pack_b<rounded>,
          .multiply = gemm_multiply};
}
