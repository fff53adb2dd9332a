// Softmax, and the cross-entropy on top of it.

template <class T>
T row_max(const T* x, std::size_t n) {
  T top = x[0];
#pragma omp simd reduction(max : top)
  for (std::size_t j = 0; j < n; ++j) top = top < x[j] ? x[j] : top;
  return top;
}

/// x = exp(x - shift); returns the sum.
template <class T>
T exp_shifted(T* x, T shift, std::size_t n) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t j = 0; j < n; ++j) {
    x[j] = exp_of(x[j] - shift);
    sum += x[j];
  }
  return sum;
}

/// In place; returns log sum exp.
template <class T>
T softmax(T* x, std::size_t n) {
  const T top = row_max(x, n);
  const T sum = exp_shifted(x, top, n);
  const T scale = T(1) / sum;
  for (std::size_t j = 0; j < n; ++j) x[j] *= scale;
  return top + log_of(sum);
}

/// Loss -log p[target] of one row of logits, which become their gradient (p - [target]) scale.
template <class T>
T cross_entropy(T* x, std::size_t target, T scale, std::size_t n) {
  const T wanted = x[target];
  const T top = row_max(x, n);
  const T sum = exp_shifted(x, top, n);
  const T each = scale / sum;
  for (std::size_t j = 0; j < n; ++j) x[j] *= each;
  x[target] -= scale;
  return top + log_of(sum) - wanted;
}

/// Causal attention's weights of one row of scores, of which [from, to) are seen: p = softmax(scale
/// x) there and 0 elsewhere. Returns log sum exp.
template <class T>
T attention_weights(T* x, T scale, std::size_t from, std::size_t to, std::size_t n) {
  for (std::size_t j = 0; j < from; ++j) x[j] = 0;
  for (std::size_t j = from; j < to; ++j) x[j] *= scale;
  for (std::size_t j = to; j < n; ++j) x[j] = 0;
  return softmax(x + from, to - from);
}

/// The same weights again, from the log sum exp.
template <class T>
void attention_weights_again(T* x, T scale, T log_sum, std::size_t from, std::size_t to,
                             std::size_t n) {
  for (std::size_t j = 0; j < from; ++j) x[j] = 0;
#pragma omp simd
  for (std::size_t j = from; j < to; ++j) x[j] = exp_of(x[j] * scale - log_sum);
  for (std::size_t j = to; j < n; ++j) x[j] = 0;
}

/// Of weights p and their gradients dp that of the scores: ds = scale p (dp - sum p dp), where the
/// sum is `delta`; in place of dp.
template <class T>
void attention_scores_backward(const T* p, T* dp, T scale, T delta, std::size_t n) {
#pragma omp simd
  for (std::size_t j = 0; j < n; ++j) dp[j] = scale * p[j] * (dp[j] - delta);
}

template <class T>
T dot(const T* a, const T* b, std::size_t n) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t j = 0; j < n; ++j) sum += a[j] * b[j];
  return sum;
}
