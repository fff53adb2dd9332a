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
    if (b.choice[r] < config.experts) b.order[next[b.choice[r]]++] = r;
  }
}

/// A block of output columns of one expert.
struct ExpertBlock {
  std::size_t expert;
  std::size_t first;
  std::size_t last;
};

/// Column blocks of every expert that has rows, small enough to share out evenly.
std::vector<ExpertBlock> expert_blocks(const MoeBuffers& b, std::size_t experts, std::size_t cols,
                                       int threads) {
  const auto busy = static_cast<std::size_t>(std::count_if(
      b.begin.begin() + 1, b.begin.end(), [&, last = std::size_t{0}](std::size_t end) mutable {
        return std::exchange(last, end) != end;
      }));
  const std::size_t parts = std::max<std::size_t>(
      1, 4 * static_cast<std::size_t>(threads) / std::max<std::size_t>(1, busy));
  const std::size_t step = (cols / parts / 16 + 1) * 16;
  std::vector<ExpertBlock> blocks;
  for (std::size_t e = 0; e < experts; ++e) {
    if (b.begin[e] == b.begin[e + 1]) continue;
    for (std::size_t c = 0; c < cols; c += step) blocks.push_back({e, c, std::min(cols, c + step)});
  }
  return blocks;
}

}  // namespace

void MoeBuffers::resize(const ModelConfig& config, std::size_t rows) {
  state.resize(rows * config.router_hidden);
  hidden.resize(rows * config.router_hidden * 2);
  scores.resize(rows * config.classes());
  choice.resize(rows);
  weight.resize(rows);
  order.resize(rows);
  input.resize(rows * config.hidden);
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
  linear(context, {{w.down, {b.hidden.data(), width}}}, normed, rows);

  // The router stays in fp32 in every compute mode: with top-1 experts a flipped choice is another
  // function, and its matrices are 2 % of a token's bytes.
  context.pool.run_ranges(rows, 4, [&](std::size_t first, std::size_t last) {
    const std::size_t n = last - first;
    const Rows<float> state{b.state.data() + first * width, width};
    const Rows<float> h0{b.hidden.data() + first * width, width};
    const Rows<float> h1{b.hidden.data() + (rows + first) * width, width};
    const Rows<float> scores{b.scores.data() + first * classes, classes};
    for (std::size_t r = 0; r < n; ++r) {
      for (std::size_t i = 0; i < width; ++i) {
        const float carried = w.eda_scale.empty() ? 0.0F : w.eda_scale[i] * state.row(r)[i];
        state.row(r)[i] = h0.row(r)[i] + carried;
      }
      rms_norm(kernels, state.row(r), w.norm, config.norm_eps, h0.row(r));
    }
    linear_columns(kernels, w.fc1, 0, width, {h0.data, width}, n, h1);
    gelu(h1.data, n * width);
    linear_columns(kernels, w.fc2, 0, width, {h1.data, width}, n, h0);
    gelu(h0.data, n * width);
    linear_columns(kernels, w.out, 0, classes, {h0.data, width}, n, scores);
  });
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
  const Kernels& kernels = context.kernels;
  const int threads = context.pool.threads();
  group_by_expert(config, rows, b);
  for (std::size_t i = 0; i < b.begin.back(); ++i) {
    std::copy_n(normed.row(b.order[i]), hidden, b.input.data() + i * hidden);
  }
  round_inputs(context.compute, b.input.data(), b.begin.back() * hidden);

  // activation = silu(gate) * up, gate and up columns of a block together.
  const std::vector<ExpertBlock> up = expert_blocks(b, config.experts, width, threads);
  context.pool.run(up.size(), [&](std::size_t task) {
    const auto [expert, first, last] = up[task];
    const Linear& w = experts[expert].gate_up;
    const std::size_t at = b.begin[expert];
    const std::size_t n = b.begin[expert + 1] - at;
    const Rows<const float> x{b.input.data() + at * hidden, hidden};
    const Rows<float> gate{b.gate_up.data() + at * 2 * width, 2 * width};
    linear_columns(kernels, w, first, last, x, n, {gate.data + first, gate.stride});
    linear_columns(kernels, w, width + first, width + last, x, n,
                   {gate.data + width + first, gate.stride});
    for (std::size_t r = 0; r < n; ++r) {
      float* a = b.activation.data() + (at + r) * width + first;
      kernels.swiglu(gate.row(r) + first, gate.row(r) + width + first, a, last - first);
      round_inputs(context.compute, a, last - first);
    }
  });

  for (std::size_t r = 0; r < rows; ++r) {
    if (b.choice[r] < config.experts) continue;
    for (std::size_t i = 0; i < hidden; ++i) out.row(r)[i] = b.weight[r] * normed.row(r)[i];
  }
  const std::vector<ExpertBlock> down = expert_blocks(b, config.experts, hidden, threads);
  context.pool.run(down.size(), [&](std::size_t task) {
    const auto [expert, first, last] = down[task];
    const std::size_t at = b.begin[expert];
    const std::size_t n = b.begin[expert + 1] - at;
    const Rows<float> y{b.output.data() + at * hidden + first, hidden};
    linear_columns(kernels, experts[expert].down, first, last,
                   {b.activation.data() + at * width, width}, n, y);
    for (std::size_t r = 0; r < n; ++r) {
      const std::size_t row = b.order[at + r];
      for (std::size_t i = 0; i < last - first; ++i) {
        out.row(row)[first + i] = b.weight[row] * y.row(r)[i];
      }
    }
  });
}

}  // namespace zaya
