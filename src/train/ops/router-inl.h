// The router's state, and the gate.

/// r = (Wd m) + bd + gamma carried; gamma is null where nothing is carried.
template <class T>
void router_state(const T* bias, const T* gamma, const T* carried, T* r, std::size_t rows,
                  std::size_t n) {
  for (std::size_t i = 0; i < rows; ++i, r += n) {
    for (std::size_t j = 0; j < n; ++j) r[j] += bias[j];
    if (gamma == nullptr) continue;
    for (std::size_t j = 0; j < n; ++j) r[j] += gamma[j] * carried[j];
    carried += n;
  }
}

/// dcarried = dr gamma; dgamma += dr carried.
template <class T>
void router_state_backward(const T* gamma, const T* carried, const T* dr, T* dcarried, T* dgamma,
                           std::size_t rows, std::size_t n) {
  for (std::size_t i = 0; i < rows; ++i, carried += n, dr += n, dcarried += n) {
#pragma omp simd
    for (std::size_t j = 0; j < n; ++j) {
      dgamma[j] += dr[j] * carried[j];
      dcarried[j] = dr[j] * gamma[j];
    }
  }
}

/// Softmax backward of the chosen probability's gradient and of `dp`, one for all rows, may be
/// null: dlogits_j = p_j (g_j - sum_i p_i g_i) with g = dp + dweight [chosen].
template <class T>
void gate_backward(const T* p, std::size_t chosen, T dweight, const T* dp, T* dlogits,
                   std::size_t n) {
  T mean = p[chosen] * dweight;
  if (dp != nullptr) {
    for (std::size_t j = 0; j < n; ++j) mean += p[j] * dp[j];
  }
  for (std::size_t j = 0; j < n; ++j) {
    const T g = (dp != nullptr ? dp[j] : T(0)) + (j == chosen ? dweight : T(0));
    dlogits[j] = p[j] * (g - mean);
  }
}

template <class T>
void scale_row(const T* x, T scale, T* y, std::size_t n) {
#pragma omp simd
  for (std::size_t j = 0; j < n; ++j) y[j] = scale * x[j];
}

template <class T>
void add_row(const T* x, T* y, std::size_t n) {
#pragma omp simd
  for (std::size_t j = 0; j < n; ++j) y[j] += x[j];
}
