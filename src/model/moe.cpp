#include "model/moe.h"

#include <algorithm>
#include <numeric>

namespace zaya {
namespace {

/// The class with the highest probability plus balancing bias; the lowest index among equals.
std::size_t choose(const float* probability, const Vector& balancing) {
  std::size_t best = 0;
  for (std::size_t c = 1; c < balancing.size(); ++c) {
    if (probability[c] + balancing[c] > probability[best] + balancing[best]) best = c;
  }
  return best;
}

/// Sorts the rows by expert (stable); skipped rows are left out.
void group_by_expert(const ModelConfig& config, std::size_t rows, MoeBuffers& b) {
  b.begin.assign(config.experts + 1, 0);
  for (std::size_t r = 0; r < rows; ++r) {
    if (b.choice[r] < config.experts) ++b.begin[b.choice[r] + 1];
  }
  std::partial_sum(b.begin.begin(), b.begin.end(), b.begin.begin());
  std::vector<std::size_t> next(b.begin.begin(), b.begin.end() - 1);
  for (std::size_t r = 0; r < rows; ++r) {
    if (b.choice[r] < config.experts) {
      b.order[next[b.choice[r]]++] = static_cast<std::uint32_t>(r);
    }
  }
}

/// Part of an expert's work: some of its output columns, or some of its rows.
struct ExpertBlock {
  std::size_t expert;
  std::size_t first;
  std::size_t last;
};

/// Column blocks of every expert that has rows, small enough to share out evenly: four blocks a
/// thread, or two an expert where that is not many more. Those with the most rows come first, as
/// the last ones decide how long threads wait for one another.
std::vector<ExpertBlock> expert_blocks(const MoeBuffers& b, std::size_t cols, int threads) {
  constexpr std::size_t kPanel = 32;  // of the tile kernels
  const auto rows_of = [&](std::size_t e) { return b.begin[e + 1] - b.begin[e]; };
  std::vector<std::size_t> busy;
  for (std::size_t e = 0; e + 1 < b.begin.size(); ++e) {
    if (rows_of(e) != 0) busy.push_back(e);
  }
  std::stable_sort(busy.begin(), busy.end(),
                   [&](std::size_t x, std::size_t y) { return rows_of(x) > rows_of(y); });
  const std::size_t wanted = 4 * static_cast<std::size_t>(threads);
  const std::size_t least = busy.size() < 2 * wanted ? 2 : 1;
  const std::size_t parts =
      std::max(least, (wanted + busy.size() - 1) / std::max<std::size_t>(1, busy.size()));
  const std::size_t step = (cols + parts * kPanel - 1) / (parts * kPanel) * kPanel;
  std::vector<ExpertBlock> blocks;
  for (const std::size_t e : busy) {
    for (std::size_t c = 0; c < cols; c += step) blocks.push_back({e, c, std::min(cols, c + step)});
  }
  return blocks;
}

/// Packs each expert's rows of x for its matrix: row b.order[i] of x for place i when `gather`,
/// else row i.
template <class MatrixOf>
void pack_experts(const ComputeContext& context, const MoeBuffers& b, MatrixOf&& matrix_of,
                  Rows<const float> x, bool gather, PackedExperts& out) {
  constexpr std::size_t kRows = LinearKernels::kPackRows;
  const std::size_t experts = b.begin.size() - 1;
  std::vector<ExpertBlock> blocks;
  out.offset.resize(experts);
  std::size_t bytes = 0;
  for (std::size_t e = 0; e < experts; ++e) {
    const Matrix& w = matrix_of(e);
    const std::size_t rows = b.begin[e + 1] - b.begin[e];
    if (context.observer != nullptr && rows != 0) {
      const std::uint32_t* index = gather ? b.order.data() + b.begin[e] : nullptr;
      context.observer->inputs(
          w.view(), gather ? x : Rows<const float>{x.row(b.begin[e]), x.stride}, index, rows);
    }
    out.offset[e] = bytes;
    bytes +=
        (context.kernels.linear(w.input()).packed_bytes(w.input(), rows, w.cols()) + 63) / 64 * 64;
    for (std::size_t r = 0; r < rows; r += kRows)
      blocks.push_back({e, r, std::min(rows, r + kRows)});
  }
  std::byte* data = out.buffer.resize(bytes);
  context.pool.run(blocks.size(), [&](std::size_t task) {
    const auto [e, first, last] = blocks[task];
    const Matrix& w = matrix_of(e);
    const std::size_t at = b.begin[e];
    const Rows<const float> from = gather ? x : Rows<const float>{x.row(at), x.stride};
    context.kernels.linear(w.input()).pack(w.input(), from, gather ? b.order.data() + at : nullptr,
                                           b.begin[e + 1] - at, first, last, w.cols(),
                                           data + out.offset[e]);
  });
}

/// Columns [first, last) of one expert's matrix for all of its rows, by the calling thread.
void multiply_expert(const ComputeContext& context, const MoeBuffers& b, const Linear& linear,
                     std::size_t expert, std::size_t first, std::size_t last,
                     const PackedExperts& x, Rows<float> y) {
  const std::size_t rows = b.begin[expert + 1] - b.begin[expert];
  multiply_packed(context.kernels, linear.weight.view(), first, last, linear.weight.input(),
                  x.buffer.data() + x.offset[expert], rows, y);
  add_bias(linear, first, last, rows, y);
}

}  // namespace

void MoeBuffers::resize(const ModelConfig& config, std::size_t rows) {
  state.resize(rows * config.router_hidden);
  hidden.resize(rows * config.router_hidden * 2);
  scores.resize(rows * config.classes());
  choice.resize(rows);
  weight.resize(rows);
  order.resize(rows);
  gate_up.resize(rows * config.expert_width * 2);
  activation.resize(rows * config.expert_width);
  output.resize(rows * config.hidden);
}

void route(const ComputeContext& context, const ModelConfig& config, const RouterWeights& w,
           std::size_t layer, Rows<const float> normed, std::size_t rows, MoeBuffers& b,
           Trace* trace) {
  const std::size_t width = config.router_hidden;
  const std::size_t classes = config.classes();
  const Kernels& kernels = context.kernels;
  const Rows<float> state{b.state.data(), width};
  const Rows<float> h0{b.hidden.data(), width};
  const Rows<float> h1{b.hidden.data() + rows * width, width};
  const auto each_row = [&](auto&& f) {
    context.pool.run_ranges(rows, 16, [&](std::size_t first, std::size_t last) {
      for (std::size_t r = first; r < last; ++r) f(r);
    });
  };
  linear(context, {{w.down, h0}}, normed, rows);
  each_row([&](std::size_t r) {
    for (std::size_t i = 0; i < width; ++i) {
      const float carried = w.eda_scale.empty() ? 0.0F : w.eda_scale[i] * state.row(r)[i];
      state.row(r)[i] = h0.row(r)[i] + carried;
    }
    rms_norm(kernels, state.row(r), w.norm, config.norm_eps, h0.row(r));
  });
  linear(context, {{w.fc1, h1}}, {h0.data, width}, rows);
  each_row([&](std::size_t r) { kernels.gelu(h1.row(r), width); });
  linear(context, {{w.fc2, h0}}, {h1.data, width}, rows);
  each_row([&](std::size_t r) { kernels.gelu(h0.row(r), width); });
  linear(context, {{w.out, {b.scores.data(), classes}}}, {h0.data, width}, rows);
  if (trace != nullptr) {
    trace->values("mlp.gate.0", layer, {b.scores.data(), classes}, rows, classes);
    trace->values("mlp.gate.3", layer, {b.state.data(), width}, rows, width);
  }
  for (std::size_t r = 0; r < rows; ++r) {
    float* p = b.scores.data() + r * classes;
    const float sum = kernels.exp_shifted(p, classes, *std::max_element(p, p + classes));
    for (std::size_t c = 0; c < classes; ++c) p[c] /= sum;
    b.choice[r] = choose(p, w.balancing);
    const bool skipped = b.choice[r] == config.experts;
    b.weight[r] = skipped && !config.skip_adds_input ? 0.0F : p[b.choice[r]];
  }
  if (trace != nullptr) {
    trace->values("mlp.gate.1", layer, {b.weight.data(), 1}, rows, 1);
    const std::vector<float> choice(b.choice.begin(), b.choice.begin() + static_cast<long>(rows));
    trace->values("mlp.gate.2", layer, {choice.data(), 1}, rows, 1);
  }
}

void run_experts(const ComputeContext& context, const ModelConfig& config,
                 const std::vector<ExpertWeights>& experts, Rows<const float> normed,
                 std::size_t rows, MoeBuffers& b, Rows<float> out) {
  const std::size_t hidden = config.hidden;
  const std::size_t width = config.expert_width;
  const int threads = context.pool.threads();
  group_by_expert(config, rows, b);
  pack_experts(
      context, b, [&](std::size_t e) -> const Matrix& { return experts[e].gate_up.weight; }, normed,
      true, b.input);

  // activation = silu(gate) * up, gate and up columns of a block together.
  const std::vector<ExpertBlock> up = expert_blocks(b, width, threads);
  context.pool.run(up.size(), [&](std::size_t task) {
    const auto [expert, first, last] = up[task];
    const Linear& w = experts[expert].gate_up;
    const std::size_t at = b.begin[expert];
    const Rows<float> gate{b.gate_up.data() + at * 2 * width, 2 * width};
    multiply_expert(context, b, w, expert, first, last, b.input, {gate.data + first, gate.stride});
    multiply_expert(context, b, w, expert, width + first, width + last, b.input,
                    {gate.data + width + first, gate.stride});
    for (std::size_t r = 0; r < b.begin[expert + 1] - at; ++r) {
      context.kernels.swiglu(gate.row(r) + first, gate.row(r) + width + first,
                             b.activation.data() + (at + r) * width + first, last - first);
    }
  });
  pack_experts(
      context, b, [&](std::size_t e) -> const Matrix& { return experts[e].down.weight; },
      {b.activation.data(), width}, false, b.packed_activation);

  for (std::size_t r = 0; r < rows; ++r) {
    if (b.choice[r] < config.experts) continue;
    for (std::size_t i = 0; i < hidden; ++i) out.row(r)[i] = b.weight[r] * normed.row(r)[i];
  }
  const std::vector<ExpertBlock> down = expert_blocks(b, hidden, threads);
  context.pool.run(down.size(), [&](std::size_t task) {
    const auto [expert, first, last] = down[task];
    const std::size_t at = b.begin[expert];
    const std::size_t n = b.begin[expert + 1] - at;
    const Rows<float> y{b.output.data() + at * hidden + first, hidden};
    multiply_expert(context, b, experts[expert].down, expert, first, last, b.packed_activation, y);
    for (std::size_t r = 0; r < n; ++r) {
      const std::size_t row = b.order[at + r];
      for (std::size_t i = 0; i < last - first; ++i) {
        out.row(row)[first + i] = b.weight[row] * y.row(r)[i];
      }
    }
  });
}

}  // namespace zaya
