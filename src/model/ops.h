#pragma once

#include <cstddef>
#include <initializer_list>

#include "compute/kernels/kernels.h"
#include "compute/thread_pool.h"
#include "model/weights.h"

namespace zaya {

/// What every step computes with.
struct ComputeContext {
  const Kernels& kernels;
  ThreadPool& pool;
  Compute compute;
};

/// One of several products of the same input.
struct LinearCall {
  const Linear& linear;
  Rows<float> y;
};

/// y = x W^T + b for every call, in one parallel region over all output columns.
void linear(const ComputeContext& context, std::initializer_list<LinearCall> calls,
            Rows<const float> x, std::size_t rows);

/// Columns [first, last) of one product, by the calling thread: y(i, n - first).
void linear_columns(const Kernels& kernels, const Linear& linear, std::size_t first,
                    std::size_t last, Rows<const float> x, std::size_t rows, Rows<float> y);

/// out[i] = x[i] * weight[i] / sqrt(mean(x^2) + eps).
void rms_norm(const Kernels& kernels, const float* x, const Vector& weight, double eps, float* out);

/// out[i] = (o[i] + hidden_bias) * hidden_scale + (r[i] + residual_bias) * residual_scale; out may
/// be r.
void merge_residual(const ResidualScale& scale, const float* o, const float* r, float* out);

/// x = 0.5 x (1 + erf(x / sqrt 2)), the exact form.
void gelu(float* x, std::size_t n);

/// Rounds to bf16 and back where `compute` says so: the inputs of the large products.
void round_inputs(Compute compute, float* x, std::size_t n);

}  // namespace zaya
