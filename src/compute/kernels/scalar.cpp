// The plain reference: one loop a formula. Other instruction sets are tested against it.
#include <cmath>

#include "compute/kernels/tables.h"

namespace zaya {
namespace {

float widen(float v) {
  return v;
}

float widen(bf16 v) {
  return to_float(v);
}

template <class W>
void matmul(Rows<const W> w, Rows<const float> x, Rows<float> y, std::size_t rows, std::size_t cols,
            std::size_t depth) {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t n = 0; n < cols; ++n) {
      float sum = 0;
      for (std::size_t k = 0; k < depth; ++k) sum += x.row(r)[k] * widen(w.row(n)[k]);
      y.row(r)[n] = sum;
    }
  }
}

template <class V>
void weighted_sum(Rows<const V> v, Rows<const float> p, const float* scale, Rows<float> y,
                  std::size_t rows, std::size_t count, std::size_t width) {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t i = 0; i < width; ++i) {
      float sum = y.row(r)[i] * scale[r];
      for (std::size_t t = 0; t < count; ++t) sum += p.row(r)[t] * widen(v.row(t)[i]);
      y.row(r)[i] = sum;
    }
  }
}

float exp_shifted(float* x, std::size_t n, float shift) {
  float sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    x[i] = std::exp(x[i] - shift);
    sum += x[i];
  }
  return sum;
}

void gelu(float* x, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) x[i] = 0.5F * x[i] * std::erfc(-x[i] * 0.70710678F);
}

void rms_norm(const float* x, const float* weight, float eps, float* out, std::size_t n) {
  float sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += x[i] * x[i];
  const float scale = 1.0F / std::sqrt(sum / static_cast<float>(n) + eps);
  for (std::size_t i = 0; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

void merge_residual(const float* o, const float* hidden_scale, const float* hidden_bias,
                    const float* residual_scale, const float* residual_bias, float* r,
                    std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    r[i] =
        (o[i] + hidden_bias[i]) * hidden_scale[i] + (r[i] + residual_bias[i]) * residual_scale[i];
  }
}

void swiglu(const float* gate, const float* up, float* out, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) out[i] = gate[i] / (1.0F + std::exp(-gate[i])) * up[i];
}

float sum_of_squares(const float* x, std::size_t n) {
  float sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += x[i] * x[i];
  return sum;
}

void expand(const WeightView& w, std::size_t r, float* out) {
  copy_row(w, r, out);
}

#include "compute/kernels/int4_row-inl.h"

}  // namespace

Kernels scalar_kernels() {
  return {
      .isa = Isa::scalar,
      .matmul_f32 = matmul<float>,
      .matmul_bf16 = matmul<bf16>,
      .exact = kScalarFloats,
      .floats = kScalarFloats,
      .integers = kScalarIntegers,
      .weighted_sum_f32 = weighted_sum<float>,
      .weighted_sum_bf16 = weighted_sum<bf16>,
      .exp_shifted = exp_shifted,
      .expand = expand,
      .round_to_int4 = round_to_int4,
      .gelu = gelu,
      .rms_norm = rms_norm,
      .merge_residual = merge_residual,
      .swiglu = swiglu,
      .sum_of_squares = sum_of_squares,
      .attention = scalar_attention(),
      .gemm_f32 = scalar_gemm(GemmKind::f32),
      .gemm_bf16 = scalar_gemm(GemmKind::bf16),
  };
}

}  // namespace zaya
