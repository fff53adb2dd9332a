// Packed products of bf16 on tiles: c in four tiles of 16 x 16, two panels of 16 rows by two of 16
// columns. A panel of a holds [step][row][32 bf16], one of b [step][pair of k][column][2 bf16]: the
// transpose of the other, in words of two.
#include <immintrin.h>

#include "compute/kernels/amx_tiles.h"
#include "compute/kernels/tables.h"

namespace zaya {
namespace {

constexpr std::size_t kHalf = 16;
constexpr std::size_t kPanel = 2 * kHalf;  // rows or columns
constexpr std::size_t kStep = 32;          // of k, a tile
constexpr std::size_t kTileBytes = 1024;
constexpr std::size_t kStepBytes = 2 * kTileBytes;
// Of a pass: panels of a block of 128 x 128 stay in the second-level cache.
constexpr std::size_t kPassSteps = 32;

__mmask16 first(std::size_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffffU : (1U << n) - 1U);
}

/// Transposes 16 x 16 words.
void transpose(__m512i* w) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(w[i], w[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(w[i], w[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    w[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    w[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    w[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    w[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(w[i], w[4 + i], 0x88);
    t[4 + i] = _mm512_shuffle_i32x4(w[i], w[4 + i], 0xdd);
    t[8 + i] = _mm512_shuffle_i32x4(w[8 + i], w[12 + i], 0x88);
    t[12 + i] = _mm512_shuffle_i32x4(w[8 + i], w[12 + i], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    w[i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0x88);
    w[4 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0x88);
    w[8 + i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0xdd);
    w[12 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0xdd);
  }
}

/// Of rows whose items of k lie side by side: word [row][pair of k].
void words_of_rows(const float* from, std::size_t stride, std::size_t rows, std::size_t k,
                   __m512i* w) {
  const __mmask16 low = first(k);
  const __mmask16 high = k > kHalf ? first(k - kHalf) : __mmask16{0};
  for (std::size_t i = 0; i < kHalf; ++i) {
    if (i >= rows) {
      w[i] = _mm512_setzero_si512();
      continue;
    }
    const float* p = from + i * stride;
    const __m512 a = _mm512_maskz_loadu_ps(low, p);
    const __m512 b = _mm512_maskz_loadu_ps(high, p + kHalf);
    const __m512bh both = _mm512_cvtne2ps_pbh(b, a);
    w[i] = reinterpret_cast<const __m512i&>(both);
  }
}

/// Of rows that lie side by side, item by item of k: word [pair of k][row].
void words_of_columns(const float* from, std::size_t stride, std::size_t rows, std::size_t k,
                      __m512i* w) {
  const __mmask16 mask = first(rows);
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  for (std::size_t i = 0; i < kHalf; ++i) {
    const __m512 a =
        2 * i < k ? _mm512_maskz_loadu_ps(mask, from + 2 * i * stride) : _mm512_setzero_ps();
    const __m512 b = 2 * i + 1 < k ? _mm512_maskz_loadu_ps(mask, from + (2 * i + 1) * stride)
                                   : _mm512_setzero_ps();
    const __m512bh both = _mm512_cvtne2ps_pbh(b, a);
    w[i] = _mm512_permutexvar_epi16(order, reinterpret_cast<const __m512i&>(both));
  }
}

/// One panel of rows: words [row][pair] of each tile, or [pair][row] when `turned`.
void pack(Strided<float> a, std::size_t count, std::size_t k, bool turned, std::byte* out) {
  const bool by_row = a.col == 1;
  for (std::size_t l = 0; l < k; l += kStep) {
    const std::size_t depth = k - l < kStep ? k - l : kStep;
    for (std::size_t half = 0; half < 2; ++half) {
      const std::size_t first_row = half * kHalf;
      const std::size_t rows = count > first_row ? count - first_row : 0;
      const float* from = a.data + (rows > 0 ? first_row * a.row : 0) + l * a.col;
      __m512i w[16];
      if (by_row) {
        words_of_rows(from, a.row, rows, depth, w);
      } else {
        words_of_columns(from, a.col, rows, depth, w);
      }
      if (by_row == turned) transpose(w);
      for (int i = 0; i < 16; ++i) _mm512_store_si512(out + 64 * i, w[i]);
      out += kTileBytes;
    }
  }
}

void pack_a(Strided<float> a, std::size_t count, std::size_t k, std::byte* out) {
  pack(a, count, k, false, out);
}

void pack_b(Strided<float> b, std::size_t count, std::size_t k, std::byte* out) {
  pack(b.transposed(), count, k, true, out);
}

void tile(const std::byte* a, const std::byte* b, std::size_t steps, float* c, std::size_t stride,
          bool add) {
  const auto bytes = static_cast<long>(stride * sizeof(float));
  float* below = c + kHalf * stride;
  if (add) {
    amx::load<0>(c, bytes);
    amx::load<1>(c + kHalf, bytes);
    amx::load<2>(below, bytes);
    amx::load<3>(below + kHalf, bytes);
  } else {
    amx::zero<0>();
    amx::zero<1>();
    amx::zero<2>();
    amx::zero<3>();
  }
  for (std::size_t s = 0; s < steps; ++s) {
    amx::load<4>(a + s * kStepBytes, 64);
    amx::load<6>(b + s * kStepBytes, 64);
    amx::dot_bf16<0, 4, 6>();
    amx::load<7>(b + s * kStepBytes + kTileBytes, 64);
    amx::dot_bf16<1, 4, 7>();
    amx::load<5>(a + s * kStepBytes + kTileBytes, 64);
    amx::dot_bf16<2, 5, 6>();
    amx::dot_bf16<3, 5, 7>();
  }
  amx::store<0>(c, bytes);
  amx::store<1>(c + kHalf, bytes);
  amx::store<2>(below, bytes);
  amx::store<3>(below + kHalf, bytes);
}

void copy(const float* from, std::size_t from_stride, float* to, std::size_t to_stride,
          std::size_t rows, std::size_t cols) {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) to[r * to_stride + c] = from[r * from_stride + c];
  }
}

void multiply(const GemmBlock& g) {
  alignas(64) float edge[kPanel * kPanel];
  const std::size_t steps = (g.k + kStep - 1) / kStep;
  const std::size_t panel_bytes = steps * kStepBytes;
  amx::configure(16);
  for (std::size_t s0 = 0; s0 < steps; s0 += kPassSteps) {
    const std::size_t pass = steps - s0 < kPassSteps ? steps - s0 : kPassSteps;
    const bool add = g.add || s0 > 0;
    for (std::size_t i = 0; i < g.m; i += kPanel) {
      const std::byte* a = g.a + i / kPanel * panel_bytes + s0 * kStepBytes;
      for (std::size_t j = 0; j < g.n; j += kPanel) {
        const std::byte* b = g.b + j / kPanel * panel_bytes + s0 * kStepBytes;
        float* c = g.c + i * g.c_stride + j;
        const std::size_t rows = g.m - i < kPanel ? g.m - i : kPanel;
        const std::size_t cols = g.n - j < kPanel ? g.n - j : kPanel;
        if (rows == kPanel && cols == kPanel) {
          tile(a, b, pass, c, g.c_stride, add);
          continue;
        }
        if (add) copy(c, g.c_stride, edge, kPanel, rows, cols);
        tile(a, b, pass, edge, kPanel, add);
        copy(edge, kPanel, c, g.c_stride, rows, cols);
      }
    }
  }
  amx::release();
}

}  // namespace

GemmKernels amx_gemm() {
  return {.rows = kPanel,
          .cols = kPanel,
          .depth = kStep,
          .item = 2,
          .pack_a = pack_a,
          .pack_b = pack_b,
          .multiply = multiply};
}

}  // namespace zaya
