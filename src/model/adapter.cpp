#include "model/adapter.h"

#include <algorithm>

namespace zaya {
namespace {

bool all_zero(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return v == 0; });
}

/// Rows of one adapter for one projection, few enough to be packed together.
struct Task {
  const LowRank* weights;
  std::span<const std::uint32_t> rows;
  Rows<float> y;
};

void run(const Kernels& kernels, const Task& task, Rows<const float> x) {
  static thread_local PackedInput packed;
  static thread_local std::vector<float> memory;
  const auto& [w, rows, y] = task;
  const std::size_t rank = w->a.rows();
  const std::size_t out = w->b.rows();
  memory.resize(std::max(memory.size(), rows.size() * (rank + out)));
  const Rows<float> inner{memory.data(), rank};
  const Rows<float> delta{inner.row(rows.size()), out};

  packed.pack(kernels, w->a.input(), x, rows.size(), w->a.cols(), rows.data());
  packed.multiply(kernels, w->a.view(), 0, rank, inner);
  for (std::size_t i = 0; i < rows.size() * rank; ++i) inner.data[i] *= w->scale;
  packed.pack(kernels, w->b.input(), {inner.data, rank}, rows.size(), rank);
  packed.multiply(kernels, w->b.view(), 0, out, delta);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    float* to = y.row(rows[r]);
    for (std::size_t i = 0; i < out; ++i) to[i] += delta.row(r)[i];
  }
}

}  // namespace

Adapter::Adapter(const AdapterFile& file, const ModelConfig& config, Compute compute)
    : layers_(config.layers) {
  const DType type = compute == Compute::f32 ? DType::f32 : DType::bf16;
  for (const AdapterPair& pair : file.pairs()) {
    const std::vector<float> a = to_floats(pair.a);
    const std::vector<float> b = to_floats(pair.b);
    const auto scale = static_cast<float>(pair.scale);
    if (all_zero(a) || all_zero(b) || scale == 0) continue;
    const std::size_t rank = pair.a.shape[0];
    // x is what the model's own projection rounds too; the r numbers in between cost nothing to
    // keep.
    layers_[pair.layer][static_cast<std::size_t>(pair.projection)] = {
        .a = Matrix(a, rank, pair.a.shape[1], type, compute),
        .b = Matrix(b, pair.b.shape[0], rank, type, compute, /*wide=*/true),
        .scale = scale};
  }
}

std::size_t Adapter::first_changed_kv() const {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const auto& o = layers_[i].back();
    if (std::any_of(layers_[i].begin(), layers_[i].end() - 1,
                    [](const LowRank& w) { return !w.empty(); })) {
      return i;
    }
    if (!o.empty()) return i + 1;
  }
  return layers_.size();
}

void adapt(const ComputeContext& context, std::span<const AdaptedRows> adapted, std::size_t layer,
           std::initializer_list<AdaptCall> calls, Rows<const float> x) {
  constexpr std::size_t kRows = LinearKernels::kPackRows;
  std::vector<Task> tasks;
  for (const auto& [adapter, rows] : adapted) {
    for (const AdaptCall& call : calls) {
      const LowRank& weights = adapter->at(layer, call.projection);
      if (weights.empty()) continue;
      for (std::size_t first = 0; first < rows.size(); first += kRows) {
        const std::size_t count = std::min(kRows, rows.size() - first);
        tasks.push_back({&weights, std::span(rows).subspan(first, count), call.y});
      }
    }
  }
  if (tasks.empty()) return;
  context.pool.run(tasks.size(), [&](std::size_t i) { run(context.kernels, tasks[i], x); });
}

}  // namespace zaya
