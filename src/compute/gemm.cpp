#include "compute/gemm.h"

#include <algorithm>
#include <vector>

namespace zaya {
namespace {

constexpr std::size_t kBlock = 192;  // rows and columns of a task: whole panels of every set

std::size_t panels(std::size_t count, std::size_t width) {
  return (count + width - 1) / width;
}

/// A panel to pack, or a block of c to compute.
struct Task {
  std::size_t product;
  std::size_t i;
  std::size_t j;
  bool of_a;
};

}  // namespace

void GemmRunner::run(ThreadPool& pool, std::span<const Gemm<float>> products) {
  std::vector<Plan> plans;
  std::vector<Task> packs;
  std::vector<Task> blocks;
  std::size_t bytes = 0;
  constexpr std::size_t kPanelsATask = 4;
  const auto reserve = [&](std::size_t panel_bytes, std::size_t count) {
    const std::size_t at = bytes;
    bytes += (panel_bytes * count + 63) / 64 * 64;
    return at;
  };
  for (std::size_t p = 0; p < products.size(); ++p) {
    const Gemm<float>& g = products[p];
    if (g.m == 0 || g.n == 0) {
      plans.push_back({0, 0});
      continue;
    }
    const std::size_t a = panels(g.m, kernels_.rows);
    const std::size_t b = panels(g.n, kernels_.cols);
    // One after another: the order of evaluation in a braced list is fixed.
    plans.push_back(
        {reserve(kernels_.a_panel_bytes(g.k), a), reserve(kernels_.b_panel_bytes(g.k), b)});
    for (std::size_t i = 0; i < a; i += kPanelsATask) packs.push_back({p, i, 0, true});
    for (std::size_t i = 0; i < b; i += kPanelsATask) packs.push_back({p, i, 0, false});
    for (std::size_t i = 0; i < g.m; i += kBlock) {
      for (std::size_t j = 0; j < g.n; j += kBlock) blocks.push_back({p, i, j, false});
    }
  }
  std::byte* memory = memory_.resize(bytes);
  pool.run(packs.size(), [&](std::size_t task) {
    const Task& t = packs[task];
    const Gemm<float>& g = products[t.product];
    const std::size_t width = t.of_a ? kernels_.rows : kernels_.cols;
    const std::size_t count = t.of_a ? g.m : g.n;
    const std::size_t panel = t.of_a ? kernels_.a_panel_bytes(g.k) : kernels_.b_panel_bytes(g.k);
    std::byte* out = memory + (t.of_a ? plans[t.product].a : plans[t.product].b);
    for (std::size_t i = t.i; i < std::min(panels(count, width), t.i + kPanelsATask); ++i) {
      const std::size_t rows = std::min(width, count - i * width);
      if (t.of_a) {
        kernels_.pack_a(g.a.from(i * width, 0), rows, g.k, out + i * panel);
      } else {
        kernels_.pack_b(g.b.from(0, i * width), rows, g.k, out + i * panel);
      }
    }
  });
  pool.run(blocks.size(), [&](std::size_t task) {
    const Task& t = blocks[task];
    const Gemm<float>& g = products[t.product];
    kernels_.multiply(
        {.a = memory + plans[t.product].a + t.i / kernels_.rows * kernels_.a_panel_bytes(g.k),
         .b = memory + plans[t.product].b + t.j / kernels_.cols * kernels_.b_panel_bytes(g.k),
         .m = std::min(kBlock, g.m - t.i),
         .n = std::min(kBlock, g.n - t.j),
         .k = g.k,
         .c = g.c + t.i * g.c_stride + t.j,
         .c_stride = g.c_stride,
         .add = g.add});
  });
}

void GemmRunner::run(const Gemm<float>& g) const {
  static thread_local AlignedBuffer buffer;
  if (g.m == 0 || g.n == 0) return;
  const std::size_t a = panels(g.m, kernels_.rows) * kernels_.a_panel_bytes(g.k);
  const std::size_t b = panels(g.n, kernels_.cols) * kernels_.b_panel_bytes(g.k);
  std::byte* memory = buffer.resize((a + 63) / 64 * 64 + b);
  std::byte* right = memory + (a + 63) / 64 * 64;
  for (std::size_t i = 0; i < g.m; i += kernels_.rows) {
    kernels_.pack_a(g.a.from(i, 0), std::min(kernels_.rows, g.m - i), g.k,
                    memory + i / kernels_.rows * kernels_.a_panel_bytes(g.k));
  }
  for (std::size_t j = 0; j < g.n; j += kernels_.cols) {
    kernels_.pack_b(g.b.from(0, j), std::min(kernels_.cols, g.n - j), g.k,
                    right + j / kernels_.cols * kernels_.b_panel_bytes(g.k));
  }
  kernels_.multiply({memory, right, g.m, g.n, g.k, g.c, g.c_stride, g.add});
}

}  // namespace zaya
