#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "checkpoint/checkpoint.h"
#include "compute/linear.h"
#include "zaya/options.h"

namespace zaya {

/// A weight matrix as stored: a view of the mapped checkpoint, or an own copy where the stored type
/// or order had to change.
class Matrix {
 public:
  Matrix() = default;
  /// The matrix of a checkpoint, borrowed where the kernels can read its format. `wide`: in fast
  /// mode, do not round its inputs to bf16.
  Matrix(const Checkpoint& checkpoint, const std::string& name, Compute compute, bool wide = false);
  /// Takes values, row-major; keeps them in `type`, f32 or bf16.
  Matrix(const std::vector<float>& values, std::size_t rows, std::size_t cols, DType type,
         Compute compute, bool wide = false);

  std::size_t rows() const { return view_.rows; }
  std::size_t cols() const { return view_.cols; }
  const WeightView& view() const { return view_; }
  /// How products with it take their inputs.
  InputKind input() const { return input_; }

  /// Row r as fp32.
  void copy_row(std::size_t r, float* out) const { zaya::copy_row(view_, r, out); }

  /// y[i][n - first] = sum over k of x[i][k] w[n][k], for n in [first, last), by the calling
  /// thread.
  void multiply(const Kernels& kernels, std::size_t first, std::size_t last, Rows<const float> x,
                std::size_t rows, Rows<float> y) const;

 private:
  WeightView view_;
  InputKind input_ = InputKind::f32;
  std::shared_ptr<const std::vector<std::byte>> owned_;
};

using Vector = std::vector<float>;

/// y = x W^T + b.
struct Linear {
  Matrix weight;  ///< [out, in]
  Vector bias;    ///< [out], or empty
};

/// out = (o + hidden_bias) * hidden_scale + (r + residual_bias) * residual_scale.
struct ResidualScale {
  Vector hidden_scale, hidden_bias;      ///< [H]
  Vector residual_scale, residual_bias;  ///< [H]
};

struct AttentionWeights {
  Linear q, k;                    ///< [heads * d, H], [kv_heads * d, H]
  Linear v_current, v_delayed;    ///< [kv_heads * d / 2, H] each
  std::vector<Vector> depthwise;  ///< one [conv_width] a tap, oldest first
  Vector depthwise_bias;          ///< [conv_width]
  Matrix grouped;       ///< [conv_width, taps * d]: taps of a head side by side, oldest first
  Vector grouped_bias;  ///< [conv_width]
  Vector temp;          ///< [kv_heads], what keys are multiplied by
  Linear o;             ///< [H, heads * d]
};

struct RouterWeights {
  Linear down;       ///< [R, H]
  Vector eda_scale;  ///< [R]; empty in the first layer
  Vector norm;       ///< [R]
  Linear fc1, fc2;   ///< [R, R]
  Linear out;        ///< [classes, R]
  Vector balancing;  ///< [classes], added for the choice only
};

struct ExpertWeights {
  Linear gate_up;  ///< [2 I, H], gate rows first
  Linear down;     ///< [H, I]
};

struct LayerWeights {
  Vector attention_norm;  ///< [H]
  AttentionWeights attention;
  ResidualScale after_attention;
  Vector mlp_norm;  ///< [H]
  RouterWeights router;
  std::vector<ExpertWeights> experts;
  ResidualScale after_mlp;
};

struct ModelWeights {
  Matrix embedding;                ///< [vocab, H]
  Vector input_scale, input_bias;  ///< [H]
  std::vector<LayerWeights> layers;
  Vector final_norm;  ///< [H]
  Linear head;        ///< [vocab, H]; shares the embedding when tied

  /// The checkpoint's mapping must outlive the weights.
  ModelWeights(const Checkpoint& checkpoint, Compute compute);
};

}  // namespace zaya
