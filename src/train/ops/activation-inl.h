// Biases, GELU (the exact form), SwiGLU.

template <class T>
void add_bias(const T* bias, T* x, std::size_t rows, std::size_t n) {
  for (std::size_t i = 0; i < rows; ++i, x += n) {
    for (std::size_t j = 0; j < n; ++j) x[j] += bias[j];
  }
}

template <class T>
void add_bias_backward(const T* dy, T* dbias, std::size_t rows, std::size_t n) {
  for (std::size_t i = 0; i < rows; ++i, dy += n) {
    for (std::size_t j = 0; j < n; ++j) dbias[j] += dy[j];
  }
}

template <class T>
void gelu(const T* x, T* y, std::size_t n) {
#pragma omp simd
  for (std::size_t j = 0; j < n; ++j) y[j] = x[j] * normal_cdf(x[j]);
}

/// (x Phi(x))' = Phi(x) + x phi(x); in place of dy.
template <class T>
void gelu_backward(const T* x, T* dy, std::size_t n) {
  constexpr T kPeak = T(0.39894228040143267794);  // 1 / sqrt(2 pi)
#pragma omp simd
  for (std::size_t j = 0; j < n; ++j) {
    dy[j] *= normal_cdf(x[j]) + x[j] * kPeak * exp_of(T(-0.5) * x[j] * x[j]);
  }
}

/// y = silu(gate) up, of rows [gate ; up] of 2 n.
template <class T>
void swiglu(const T* gate_up, T* y, std::size_t rows, std::size_t n) {
  for (std::size_t i = 0; i < rows; ++i, gate_up += 2 * n, y += n) {
#pragma omp simd
    for (std::size_t j = 0; j < n; ++j) {
      y[j] = gate_up[j] / (T(1) + exp_of(-gate_up[j])) * gate_up[n + j];
    }
  }
}

/// With s = sigmoid(gate): dgate = dy up s (1 + gate (1 - s)), dup = dy gate s.
template <class T>
void swiglu_backward(const T* gate_up, const T* dy, T* d, std::size_t rows, std::size_t n) {
  for (std::size_t i = 0; i < rows; ++i, gate_up += 2 * n, dy += n, d += 2 * n) {
#pragma omp simd
    for (std::size_t j = 0; j < n; ++j) {
      const T gate = gate_up[j];
      const T s = T(1) / (T(1) + exp_of(-gate));
      const T up = gate_up[n + j];
      d[j] = dy[j] * up * s * (T(1) + gate * (T(1) - s));
      d[n + j] = dy[j] * gate * s;
    }
  }
}
