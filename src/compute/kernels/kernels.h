#pragma once

#include <cstddef>

#include "base/dtype.h"
#include "compute/cpu.h"

namespace zaya {

/// A row-major block of activations: element (r, i) is data[r * stride + i].
template <class T>
struct Rows {
  T* data;
  std::size_t stride;

  T* row(std::size_t r) const { return data + r * stride; }
};

/// The seam between the model and the instruction sets: one table of functions each. All sums are
/// taken in fp32. Every output element is accumulated in an order that depends on the depth alone,
/// so results do not change with the number of rows, columns or threads a caller splits by.
struct Kernels {
  Isa isa;

  /// y[r][n] = sum over k < depth of x[r][k] w[n][k], for r < rows and n < cols.
  void (*matmul_f32)(Rows<const float> w, Rows<const float> x, Rows<float> y, std::size_t rows,
                     std::size_t cols, std::size_t depth);
  void (*matmul_bf16)(Rows<const bf16> w, Rows<const float> x, Rows<float> y, std::size_t rows,
                      std::size_t cols, std::size_t depth);

  /// y[r][i] = y[r][i] * scale[r] + sum over t < count of p[r][t] v[t][i], for i < width.
  void (*weighted_sum_f32)(Rows<const float> v, Rows<const float> p, const float* scale,
                           Rows<float> y, std::size_t rows, std::size_t count, std::size_t width);
  void (*weighted_sum_bf16)(Rows<const bf16> v, Rows<const float> p, const float* scale,
                            Rows<float> y, std::size_t rows, std::size_t count, std::size_t width);

  /// x[i] = exp(x[i] - shift) in place; returns the sum. exp(-inf) is exactly 0.
  float (*exp_shifted)(float* x, std::size_t n, float shift);

  /// out[i] = silu(gate[i]) * up[i].
  void (*swiglu)(const float* gate, const float* up, float* out, std::size_t n);

  float (*sum_of_squares)(const float* x, std::size_t n);
};

/// The table of one instruction set; the host must have it.
const Kernels& kernels_of(Isa isa);

}  // namespace zaya
