#include "model/ops.h"

#include <algorithm>

namespace zaya {

void add_bias(const Linear& linear, std::size_t first, std::size_t last, std::size_t rows,
              Rows<float> y) {
  if (linear.bias.empty()) return;
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t n = first; n < last; ++n) y.row(r)[n - first] += linear.bias[n];
  }
}

void linear(const ComputeContext& context, std::initializer_list<LinearCall> calls,
            Rows<const float> x, std::size_t rows) {
  std::array<bool, kInputKinds> ready{};
  std::size_t total = 0;
  for (const LinearCall& call : calls) {
    const Matrix& w = call.linear.weight;
    total += w.rows();
    if (context.observer != nullptr) context.observer->inputs(w.view(), x, nullptr, rows);
    const auto kind = static_cast<std::size_t>(w.input());
    if (ready[kind]) continue;
    context.packed[kind].pack(context.kernels, context.pool, w.input(), x, rows, w.cols());
    ready[kind] = true;
  }
  // Below this many multiplications a second thread costs more than it brings. Whole panels of the
  // tile kernels.
  constexpr std::size_t kGrainWork = 1 << 15;
  const std::size_t depth = calls.begin()->linear.weight.cols();
  const std::size_t grain = (std::max<std::size_t>(1, kGrainWork / (depth * rows)) + 31) / 32 * 32;
  context.pool.run_ranges(total, grain, [&](std::size_t begin, std::size_t end) {
    std::size_t offset = 0;  // of the call's first column among all
    for (const LinearCall& call : calls) {
      const Matrix& w = call.linear.weight;
      const std::size_t first = std::clamp(begin, offset, offset + w.rows()) - offset;
      const std::size_t last = std::clamp(end, offset, offset + w.rows()) - offset;
      if (first < last) {
        const Rows<float> y{call.y.data + first, call.y.stride};
        context.packed[static_cast<std::size_t>(w.input())].multiply(context.kernels, w.view(),
                                                                     first, last, y);
        add_bias(call.linear, first, last, rows, y);
      }
      offset += w.rows();
    }
  });
}

void rms_norm(const Kernels& kernels, const float* x, const Vector& weight, double eps,
              float* out) {
  kernels.rms_norm(x, weight.data(), static_cast<float>(eps), out, weight.size());
}

void merge_residual(const Kernels& kernels, const ResidualScale& scale, const float* o, float* r) {
  kernels.merge_residual(o, scale.hidden_scale.data(), scale.hidden_bias.data(),
                         scale.residual_scale.data(), scale.residual_bias.data(), r,
                         scale.hidden_scale.size());
}

}  // namespace zaya
