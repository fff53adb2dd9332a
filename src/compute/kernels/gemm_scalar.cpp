// The plain reference of packed products.
#include "base/dtype.h"
#include "compute/kernels/tables.h"

namespace zaya {
namespace {

constexpr std::size_t kWidth = 4;

template <bool rounded>
void pack_a(Strided<float> a, std::size_t count, std::size_t k, std::byte* bytes) {
  auto* out = reinterpret_cast<float*>(bytes);
  for (std::size_t i = 0; i < kWidth; ++i) {
    for (std::size_t l = 0; l < k; ++l) {
      const float v = i < count ? a.data[i * a.row + l * a.col] : 0.0F;
      out[i * k + l] = rounded ? to_float(to_bf16(v)) : v;
    }
  }
}

template <bool rounded>
void pack_b(Strided<float> b, std::size_t count, std::size_t k, std::byte* out) {
  pack_a<rounded>(b.transposed(), count, k, out);
}

void multiply(const GemmBlock& g) {
  const auto* a = reinterpret_cast<const float*>(g.a);
  const auto* b = reinterpret_cast<const float*>(g.b);
  for (std::size_t i = 0; i < g.m; ++i) {
    for (std::size_t j = 0; j < g.n; ++j) {
      float& c = g.c[i * g.c_stride + j];
      float sum = g.add ? c : 0.0F;
      for (std::size_t l = 0; l < g.k; ++l) sum += a[i * g.k + l] * b[j * g.k + l];
      c = sum;
    }
  }
}

}  // namespace

GemmKernels scalar_gemm(GemmKind kind) {
  const bool exact = kind == GemmKind::f32;
  return {.rows = kWidth,
          .cols = kWidth,
          .item = sizeof(float),
          .pack_a = exact ? pack_a<false> : pack_a<true>,
          .pack_b = exact ? pack_b<false> : pack_b<true>,
          .multiply = multiply};
}

}  // namespace zaya
