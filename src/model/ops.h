#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>

#include "compute/linear.h"
#include "compute/thread_pool.h"
#include "model/weights.h"

namespace zaya {

/// One packed input for each kind.
using PackedInputs = std::array<PackedInput, kInputKinds>;

/// Sees the inputs of every stored matrix of the layers; for calibration.
struct InputObserver {
  virtual ~InputObserver() = default;
  /// Row i of the product's inputs is x.row(index[i]), or x.row(i) when index is null. Called by
  /// one thread at a time.
  virtual void inputs(const WeightView& w, Rows<const float> x, const std::uint32_t* index,
                      std::size_t rows) = 0;
};

/// What every step computes with.
struct ComputeContext {
  const Kernels& kernels;
  ThreadPool& pool;
  PackedInputs& packed;
  InputObserver* observer = nullptr;
};

/// One of several products of the same input.
struct LinearCall {
  const Linear& linear;
  Rows<float> y;
};

/// y = x W^T + b for every call, in one parallel region over all output columns.
void linear(const ComputeContext& context, std::initializer_list<LinearCall> calls,
            Rows<const float> x, std::size_t rows);

/// y(i, n - first) += bias[n] for n in [first, last), where there is a bias.
void add_bias(const Linear& linear, std::size_t first, std::size_t last, std::size_t rows,
              Rows<float> y);

/// out = x * weight / sqrt(mean(x^2) + eps).
void rms_norm(const Kernels& kernels, const float* x, const Vector& weight, double eps, float* out);

/// r = (o + hidden_bias) * hidden_scale + (r + residual_bias) * residual_scale.
void merge_residual(const Kernels& kernels, const ResidualScale& scale, const float* o, float* r);

}  // namespace zaya
