#include "model/ops.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace zaya {

void linear_columns(const Kernels& kernels, const Linear& linear, std::size_t first,
                    std::size_t last, Rows<const float> x, std::size_t rows, Rows<float> y) {
  linear.weight.multiply(kernels, first, last, x, rows, y);
  if (linear.bias.empty()) return;
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t n = first; n < last; ++n) y.row(r)[n - first] += linear.bias[n];
  }
}

void linear(const ComputeContext& context, std::initializer_list<LinearCall> calls,
            Rows<const float> x, std::size_t rows) {
  std::size_t total = 0;
  for (const LinearCall& call : calls) total += call.linear.weight.rows();
  // Below this many multiplications a second thread costs more than it brings.
  constexpr std::size_t kGrainWork = 1 << 15;
  const std::size_t depth = calls.begin()->linear.weight.cols();
  const std::size_t grain = (std::max<std::size_t>(1, kGrainWork / (depth * rows)) + 7) / 8 * 8;
  context.pool.run_ranges(total, grain, [&](std::size_t begin, std::size_t end) {
    std::size_t offset = 0;  // of the call's first column among all
    for (const LinearCall& call : calls) {
      const std::size_t cols = call.linear.weight.rows();
      const std::size_t first = std::clamp(begin, offset, offset + cols) - offset;
      const std::size_t last = std::clamp(end, offset, offset + cols) - offset;
      if (first < last) {
        linear_columns(context.kernels, call.linear, first, last, x, rows,
                       {call.y.data + first, call.y.stride});
      }
      offset += cols;
    }
  });
}

void rms_norm(const Kernels& kernels, const float* x, const Vector& weight, double eps,
              float* out) {
  const std::size_t n = weight.size();
  const float mean = kernels.sum_of_squares(x, n) / static_cast<float>(n);
  const float scale = 1.0F / std::sqrt(mean + static_cast<float>(eps));
  for (std::size_t i = 0; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

void merge_residual(const ResidualScale& scale, const float* o, const float* r, float* out) {
  for (std::size_t i = 0; i < scale.hidden_scale.size(); ++i) {
    out[i] = (o[i] + scale.hidden_bias[i]) * scale.hidden_scale[i] +
             (r[i] + scale.residual_bias[i]) * scale.residual_scale[i];
  }
}

void gelu(float* x, std::size_t n) {
  constexpr auto kInverseSqrt2 = static_cast<float>(1.0 / std::numbers::sqrt2);
  for (std::size_t i = 0; i < n; ++i) x[i] = 0.5F * x[i] * (1.0F + std::erf(x[i] * kInverseSqrt2));
}

void round_inputs(Compute compute, float* x, std::size_t n) {
  if (compute != Compute::bf16) return;
  for (std::size_t i = 0; i < n; ++i) x[i] = to_float(to_bf16(x[i]));
}

}  // namespace zaya
