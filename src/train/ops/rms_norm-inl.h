// RMSNorm: y = x w r, r = 1 / sqrt(mean(x^2) + eps).

template <class T>
void rms_norm(const T* x, const T* w, T eps, T* y, T* inverse, std::size_t rows, std::size_t n) {
  for (std::size_t i = 0; i < rows; ++i, x += n, y += n) {
    T squares = 0;
#pragma omp simd reduction(+ : squares)
    for (std::size_t j = 0; j < n; ++j) squares += x[j] * x[j];
    const T r = T(1) / square_root(squares / static_cast<T>(n) + eps);
    inverse[i] = r;
    for (std::size_t j = 0; j < n; ++j) y[j] = x[j] * r * w[j];
  }
}

/// With g = dy w: dx += r g - x r^3 sum(g x) / n; dw += dy x r.
template <class T>
void rms_norm_backward(const T* x, const T* w, const T* inverse, const T* dy, T* dx, T* dw,
                       std::size_t rows, std::size_t n) {
  for (std::size_t i = 0; i < rows; ++i, x += n, dy += n, dx += n) {
    const T r = inverse[i];
    T dot = 0;
#pragma omp simd reduction(+ : dot)
    for (std::size_t j = 0; j < n; ++j) dot += dy[j] * w[j] * x[j];
    const T scale = dot * r * r * r / static_cast<T>(n);
#pragma omp simd
    for (std::size_t j = 0; j < n; ++j) {
      dx[j] += r * dy[j] * w[j] - x[j] * scale;
      dw[j] += dy[j] * x[j] * r;
    }
  }
}
