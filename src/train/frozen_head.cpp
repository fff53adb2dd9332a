#include "train/frozen_head.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace zaya::train {

template <class T>
double FrozenHead<T>::loss(Context<T>& context, FrozenBase<T>& base, const PackedBatch& batch,
                           const T* x, T scale, T* dx) {
  std::vector<std::size_t> wanted;
  for (std::size_t r = 0; r < batch.rows(); ++r) {
    if (batch.targets[r] != PackedBatch::kNoTarget) wanted.push_back(r);
  }
  const std::size_t n = wanted.size();
  const T* norm = base.vectors().final_norm;
  gathered_.resize(n * hidden_);
  normed_.resize(n * hidden_);
  inverse_.resize(n);
  logits_.resize(n * std::min(vocab_, kBlock));
  context.each_rows(n, [&](std::size_t i, std::size_t end) {
    for (std::size_t j = i; j < end; ++j) {
      std::copy_n(x + wanted[j] * hidden_, hidden_, gathered_.data() + j * hidden_);
    }
    context.ops.rms_norm(gathered_.data() + i * hidden_, norm, eps_, normed_.data() + i * hidden_,
                         inverse_.data() + i, end - i, hidden_);
  });

  // f(first token of the vocabulary, tokens, their rows of the head), with logits_ computed.
  const auto each_block = [&](auto&& f) {
    for (std::size_t first = 0; first < vocab_; first += kBlock) {
      const std::size_t count = std::min(kBlock, vocab_ - first);
      const T* head = base.head_rows(first, count);
      const Gemm<T> product =
          linear<T>({normed_.data(), hidden_}, head, {logits_.data(), count}, n, hidden_, count);
      context.multiply({&product, 1});
      f(first, count, head);
    }
  };
  std::vector<T> wanted_logit(n);
  log_sum_.assign(n, -std::numeric_limits<T>::infinity());
  each_block([&](std::size_t first, std::size_t count, const T*) {
    context.pool.run(n, [&](std::size_t i) {
      T* logits = logits_.data() + i * count;
      const auto target = static_cast<std::size_t>(batch.targets[wanted[i]]);
      if (target - first < count) wanted_logit[i] = logits[target - first];
      const T other = context.ops.softmax(logits, count);
      const T top = std::max(log_sum_[i], other);
      log_sum_[i] = top + std::log(std::exp(log_sum_[i] - top) + std::exp(other - top));
    });
  });
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += static_cast<double>(log_sum_[i] - wanted_logit[i]);
  if (dx == nullptr) return sum;

  dnormed_.resize(n * hidden_);
  each_block([&](std::size_t first, std::size_t count, const T* head) {
    context.pool.run(n, [&](std::size_t i) {
      T* p = logits_.data() + i * count;
      context.ops.attention_weights_again(p, T{1}, log_sum_[i], 0, count, count);
      context.ops.scale_row(p, scale, p, count);
      const auto target = static_cast<std::size_t>(batch.targets[wanted[i]]);
      if (target - first < count) p[target - first] -= scale;
    });
    const Gemm<T> product = linear_input<T>(
        {logits_.data(), count}, head, {dnormed_.data(), hidden_}, n, hidden_, count, first > 0);
    context.multiply({&product, 1});
  });
  dgathered_.assign(n * hidden_, T{0});
  context.sum_rows(
      n, hidden_, static_cast<T*>(nullptr), [&](std::size_t i, std::size_t end, T* sums) {
        context.ops.rms_norm_backward(gathered_.data() + i * hidden_, norm, inverse_.data() + i,
                                      dnormed_.data() + i * hidden_,
                                      dgathered_.data() + i * hidden_, sums, end - i, hidden_);
      });
  std::fill_n(dx, batch.rows() * hidden_, T{0});
  for (std::size_t i = 0; i < n; ++i) {
    std::copy_n(dgathered_.data() + i * hidden_, hidden_, dx + wanted[i] * hidden_);
  }
  return sum;
}

template class FrozenHead<float>;
template class FrozenHead<double>;

}  // namespace zaya::train
