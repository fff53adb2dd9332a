#include "train/attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace zaya::train {
namespace {

/// One document's rows for one kv head.
struct Task {
  std::size_t first;
  std::size_t length;
  std::size_t kv_head;
};

std::vector<Task> tasks_of(const PackedBatch& batch, std::size_t kv_heads) {
  std::vector<Task> tasks;
  for (std::size_t i = 0; i < batch.documents(); ++i) {
    for (std::size_t g = 0; g < kv_heads; ++g) {
      tasks.push_back({batch.starts[i], batch.starts[i + 1] - batch.starts[i], g});
    }
  }
  // Long ones first, so that no thread is left with one at the end.
  std::stable_sort(tasks.begin(), tasks.end(),
                   [](const Task& a, const Task& b) { return a.length > b.length; });
  return tasks;
}

/// Queries [begin, end) of a document, and the keys [first, end) that any of them sees.
struct Block {
  std::size_t begin;
  std::size_t end;
  std::size_t first;
  std::size_t window;

  std::size_t keys() const { return end - first; }
  /// Keys of query `row`, counted from `first`.
  std::size_t from(std::size_t row) const {
    return std::max(first, window != 0 && row + 1 > window ? row + 1 - window : 0) - first;
  }
  std::size_t to(std::size_t row) const { return row + 1 - first; }
};

template <class F>
void each_block(std::size_t length, std::size_t window, std::size_t group, F&& f) {
  const std::size_t step = std::max<std::size_t>(16, 128 / group);
  for (std::size_t begin = 0; begin < length; begin += step) {
    const std::size_t first = window != 0 && begin + 1 > window ? begin + 1 - window : 0;
    f(Block{begin, std::min(length, begin + step), first, window});
  }
}

template <class T>
T* scratch(std::size_t n) {
  thread_local std::vector<T> memory;
  if (memory.size() < n) memory.resize(n);
  return memory.data();
}

}  // namespace

template <class T>
void Attention<T>::forward(Context<T>& context, const PackedBatch& batch, const T* query,
                           const T* key, const T* value, T* output, T* log_sum) const {
  const std::vector<Task> tasks = tasks_of(batch, shape.kv_heads);
  const std::size_t d = shape.dim;
  const T scale = T(1) / std::sqrt(static_cast<T>(d));
  context.pool.run(tasks.size(), [&](std::size_t i) {
    const Task& task = tasks[i];
    const std::size_t row0 = task.kv_head * batch.rows() + task.first;
    each_block(task.length, window, shape.group, [&](const Block& b) {
      const std::size_t at = (row0 + b.begin) * shape.group;
      const std::size_t m = (b.end - b.begin) * shape.group;
      const std::size_t n = b.keys();
      const T* k = key + (row0 + b.first) * d;
      T* p = scratch<T>(m * n);
      context.multiply_alone({m, n, d, {query + at * d, d, 1}, {k, 1, d}, p, n, false});
      for (std::size_t j = 0; j < m; ++j) {
        const std::size_t row = b.begin + j / shape.group;
        log_sum[at + j] =
            context.ops.attention_weights(p + j * n, scale, b.from(row), b.to(row), n);
      }
      const T* v = value + (row0 + b.first) * d;
      context.multiply_alone({m, d, n, {p, n, 1}, {v, d, 1}, output + at * d, d, false});
    });
  });
}

template <class T>
void Attention<T>::backward(Context<T>& context, const PackedBatch& batch, const T* query,
                            const T* key, const T* value, const T* output, const T* log_sum,
                            const T* doutput, T* dquery, T* dkey, T* dvalue) const {
  const std::vector<Task> tasks = tasks_of(batch, shape.kv_heads);
  const std::size_t d = shape.dim;
  const T scale = T(1) / std::sqrt(static_cast<T>(d));
  context.pool.run(tasks.size(), [&](std::size_t i) {
    const Task& task = tasks[i];
    const std::size_t row0 = task.kv_head * batch.rows() + task.first;
    std::fill_n(dkey + row0 * d, task.length * d, T{0});
    std::fill_n(dvalue + row0 * d, task.length * d, T{0});
    each_block(task.length, window, shape.group, [&](const Block& b) {
      const std::size_t at = (row0 + b.begin) * shape.group;
      const std::size_t m = (b.end - b.begin) * shape.group;
      const std::size_t n = b.keys();
      const std::size_t k0 = (row0 + b.first) * d;
      const T* q = query + at * d;
      const T* dout = doutput + at * d;
      T* p = scratch<T>(2 * m * n);
      T* dp = p + m * n;
      context.multiply_alone({m, n, d, {q, d, 1}, {key + k0, 1, d}, p, n, false});
      context.multiply_alone({m, n, d, {dout, d, 1}, {value + k0, 1, d}, dp, n, false});
      for (std::size_t j = 0; j < m; ++j) {
        const std::size_t row = b.begin + j / shape.group;
        context.ops.attention_weights_again(p + j * n, scale, log_sum[at + j], b.from(row),
                                            b.to(row), n);
        const T delta = context.ops.dot(dout + j * d, output + (at + j) * d, d);
        context.ops.attention_scores_backward(p + j * n, dp + j * n, scale, delta, n);
      }
      context.multiply_alone({n, d, m, {p, 1, n}, {dout, d, 1}, dvalue + k0, d, true});
      context.multiply_alone({m, d, n, {dp, n, 1}, {key + k0, d, 1}, dquery + at * d, d, false});
      context.multiply_alone({n, d, m, {dp, 1, n}, {q, d, 1}, dkey + k0, d, true});
    });
  });
}

template struct Attention<float>;
template struct Attention<double>;

}  // namespace zaya::train
