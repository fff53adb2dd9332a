#include "train/head.h"

#include <algorithm>

namespace zaya::train {

template <class T>
std::size_t Head<T>::chunk_rows() const {
  constexpr std::size_t kMostLogits = std::size_t{1} << 22;  // 16 MB of fp32
  return std::clamp<std::size_t>(kMostLogits / vocab_ / 32 * 32, 32, 1024);
}

template <class T>
double Head<T>::loss(Context<T>& context, const T* norm, const T* head, const PackedBatch& batch,
                     const T* x, T scale, T* dx, T* dnorm, T* dhead) {
  wanted_.clear();
  for (std::size_t r = 0; r < batch.rows(); ++r) {
    if (batch.targets[r] != PackedBatch::kNoTarget) wanted_.push_back(r);
  }
  const std::size_t n = wanted_.size();
  const std::size_t chunk = chunk_rows();
  gathered_.resize(n * hidden_);
  normed_.resize(n * hidden_);
  inverse_.resize(n);
  losses_.resize(n);
  logits_.resize(std::min(n, chunk) * vocab_);
  dnormed_.resize(dx != nullptr ? n * hidden_ : 0);
  context.each_rows(n, [&](std::size_t i, std::size_t end) {
    for (std::size_t j = i; j < end; ++j) {
      std::copy_n(x + wanted_[j] * hidden_, hidden_, gathered_.data() + j * hidden_);
    }
    context.ops.rms_norm(gathered_.data() + i * hidden_, norm, eps_, normed_.data() + i * hidden_,
                         inverse_.data() + i, end - i, hidden_);
  });
  for (std::size_t first = 0; first < n; first += chunk) {
    const std::size_t rows = std::min(chunk, n - first);
    const Rows<const T> y{normed_.data() + first * hidden_, hidden_};
    const Gemm<T> forward = linear<T>(y, head, {logits_.data(), vocab_}, rows, hidden_, vocab_);
    context.multiply({&forward, 1});
    context.pool.run(rows, [&](std::size_t i) {
      const auto target = static_cast<std::size_t>(batch.targets[wanted_[first + i]]);
      losses_[first + i] =
          context.ops.cross_entropy(logits_.data() + i * vocab_, target, scale, vocab_);
    });
    if (dx == nullptr) continue;
    const Rows<const T> dlogits{logits_.data(), vocab_};
    const Gemm<T> backward[] = {
        linear_input<T>(dlogits, head, {dnormed_.data() + first * hidden_, hidden_}, rows, hidden_,
                        vocab_, false),
        linear_weight<T>(y, dlogits, dhead, rows, hidden_, vocab_)};
    context.multiply(backward);
  }
  double sum = 0;
  for (const T loss : losses_) sum += static_cast<double>(loss);
  if (dx == nullptr) return sum;

  dgathered_.assign(n * hidden_, T{0});
  context.sum_rows(n, hidden_, dnorm, [&](std::size_t i, std::size_t end, T* sums) {
    context.ops.rms_norm_backward(gathered_.data() + i * hidden_, norm, inverse_.data() + i,
                                  dnormed_.data() + i * hidden_, dgathered_.data() + i * hidden_,
                                  sums, end - i, hidden_);
  });
  std::fill_n(dx, batch.rows() * hidden_, T{0});
  for (std::size_t i = 0; i < n; ++i) {
    std::copy_n(dgathered_.data() + i * hidden_, hidden_, dx + wanted_[i] * hidden_);
  }
  return sum;
}

template class Head<float>;
template class Head<double>;

}  // namespace zaya::train
