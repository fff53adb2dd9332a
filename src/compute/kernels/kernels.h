#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "compute/cpu.h"
#include "compute/kernels/attention.h"
#include "compute/kernels/gemm.h"
#include "compute/weight_view.h"

namespace zaya {

/// A row-major block of activations: element (r, i) is data[r * stride + i].
template <class T>
struct Rows {
  T* data;
  std::size_t stride;

  T* row(std::size_t r) const { return data + r * stride; }
};

/// How a product with stored weights takes its inputs.
enum class InputKind : std::uint8_t {
  f32,    ///< as they are
  wide,   ///< 16 bits of mantissa or more: for products that must not add an error of their own
  bf16,   ///< rounded to bf16
  int16,  ///< integers of 16 bits times one scale a row; for weights that are integers of 8 bits
          ///< times one scale a row. The sum is exact, so every instruction set gives the same
          ///< bits.
  int8,   ///< integers of 8 bits times one scale every kInputBlock columns; for stepped 4-bit
          ///< weights. y = unit * sum over blocks b of scale[b] * (integer sum of block b), taken
          ///< in order of b with fused multiply-adds: the same bits on every instruction set.
};

/// Some of the rows of inputs that were packed together.
struct PackedRows {
  const std::byte* data;  ///< of all
  std::size_t rows;       ///< in all
  std::size_t begin;      ///< a multiple of LinearKernels::kPackRows
  std::size_t end;
};

/// Columns that share a scale of int8 inputs. Ours: 4-bit weights err by about 8 % of their size,
/// inputs by 0.7 % with blocks of 256 and little less with smaller ones (one outlier spoils its own
/// block only), and tiles are emptied once a block.
constexpr std::size_t kInputBlock = 256;

/// Products with stored weights. Rows of inputs are packed once, then multiplied with any number of
/// matrices that read them alike; the packed form is the instruction set's own.
struct LinearKernels {
  std::size_t (*packed_bytes)(InputKind kind, std::size_t rows, std::size_t depth) = nullptr;

  /// Packs rows [first, last) of `rows`, of which row r is x.row(index[r]), or x.row(r) when index
  /// is null. `first` must be a multiple of kPackRows.
  void (*pack)(InputKind kind, Rows<const float> x, const std::uint32_t* index, std::size_t rows,
               std::size_t first, std::size_t last, std::size_t depth, std::byte* out) = nullptr;
  static constexpr std::size_t kPackRows = 16;

  /// y[r][n - first] = sum over k of x[r][k] w[n][k], for n in [first, last) and r in
  /// [x.begin, x.end).
  /// `scratch`: scratch_bytes() bytes of the calling thread for so many rows at once. The packed
  /// rows and scratch are 64-byte aligned.
  std::size_t (*scratch_bytes)(const WeightView& w, InputKind kind, std::size_t rows) = nullptr;
  void (*multiply)(const WeightView& w, std::size_t first, std::size_t last, InputKind kind,
                   const PackedRows& x, Rows<float> y, std::byte* scratch) = nullptr;
};

/// The seam between the model and the instruction sets: one table of functions each. All sums are
/// taken in fp32. Every output element is accumulated in an order that depends on the depth alone,
/// so results do not change with the number of columns or threads a caller splits by; nor with the
/// number of rows, but for what kernels_of says.
struct Kernels {
  Isa isa = Isa::scalar;

  /// y[r][n] = sum over k < depth of x[r][k] w[n][k], for r < rows and n < cols.
  void (*matmul_f32)(Rows<const float> w, Rows<const float> x, Rows<float> y, std::size_t rows,
                     std::size_t cols, std::size_t depth) = nullptr;
  void (*matmul_bf16)(Rows<const bf16> w, Rows<const float> x, Rows<float> y, std::size_t rows,
                      std::size_t cols, std::size_t depth) = nullptr;

  LinearKernels exact{};     ///< f32 inputs, weights of any format
  LinearKernels floats{};    ///< wide and bf16 inputs, weights of any format
  LinearKernels integers{};  ///< int16 and int8 inputs
  const LinearKernels& linear(InputKind kind) const {
    if (kind == InputKind::f32) return exact;
    return kind == InputKind::wide || kind == InputKind::bf16 ? floats : integers;
  }

  /// y[r][i] = y[r][i] * scale[r] + sum over t < count of p[r][t] v[t][i], for i < width.
  void (*weighted_sum_f32)(Rows<const float> v, Rows<const float> p, const float* scale,
                           Rows<float> y, std::size_t rows, std::size_t count,
                           std::size_t width) = nullptr;
  void (*weighted_sum_bf16)(Rows<const bf16> v, Rows<const float> p, const float* scale,
                            Rows<float> y, std::size_t rows, std::size_t count,
                            std::size_t width) = nullptr;

  /// x[i] = exp(x[i] - shift) in place; returns the sum. exp(-inf) is exactly 0.
  float (*exp_shifted)(float* x, std::size_t n, float shift) = nullptr;

  /// Row r of quantised weights as fp32.
  void (*expand)(const WeightView& w, std::size_t r, float* out) = nullptr;

  /// Rounds a row to stepped 4-bit codes [n / 2] with bf16 scales [n / 32], each to nearest; n is a
  /// multiple of 32. Returns the sum of the squared errors.
  float (*round_to_int4)(const float* x, std::size_t n, std::uint8_t* codes,
                         std::uint16_t* scales) = nullptr;

  /// x = 0.5 x (1 + erf(x / sqrt 2)), the exact form, to about 3e-7 of the result.
  void (*gelu)(float* x, std::size_t n) = nullptr;

  /// out[i] = x[i] * weight[i] / sqrt(mean(x^2) + eps).
  void (*rms_norm)(const float* x, const float* weight, float eps, float* out,
                   std::size_t n) = nullptr;

  /// r[i] = (o[i] + hidden_bias[i]) * hidden_scale[i] + (r[i] + residual_bias[i]) *
  /// residual_scale[i].
  void (*merge_residual)(const float* o, const float* hidden_scale, const float* hidden_bias,
                         const float* residual_scale, const float* residual_bias, float* r,
                         std::size_t n) = nullptr;

  /// out[i] = silu(gate[i]) * up[i].
  void (*swiglu)(const float* gate, const float* up, float* out, std::size_t n) = nullptr;

  float (*sum_of_squares)(const float* x, std::size_t n) = nullptr;

  AttentionKernels attention{};

  GemmKernels gemm_f32{};   ///< operands as they are
  GemmKernels gemm_bf16{};  ///< operands rounded to bf16
};

/// The table of one instruction set; the host must have it. `deterministic`: the number of rows
/// picks no other order of additions; otherwise it may, where that is faster.
const Kernels& kernels_of(Isa isa, bool deterministic = false);

}  // namespace zaya
