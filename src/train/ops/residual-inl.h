// Residual scaling: out = (o + ob) os + (x + xb) xs, and the embedding's x = (e + b) s.

template <class T>
void merge(const T* o, const ResidualTensors<const T>& w, const T* x, T* out, std::size_t rows,
           std::size_t n) {
  for (std::size_t i = 0; i < rows; ++i, o += n, x += n, out += n) {
#pragma omp simd
    for (std::size_t j = 0; j < n; ++j) {
      out[j] = (o[j] + w.hidden_bias[j]) * w.hidden_scale[j] +
               (x[j] + w.residual_bias[j]) * w.residual_scale[j];
    }
  }
}

/// do = dy os, dx = dy xs (may be dy's own place), and into sums [3][n] the sums over rows of dy,
/// dy o and dy x, of which merge_backward_vectors makes the gradients of the four vectors.
template <class T>
void merge_backward(const T* o, const ResidualTensors<const T>& w, const T* x, const T* dy, T* d_o,
                    T* dx, T* sums, std::size_t rows, std::size_t n) {
  for (std::size_t i = 0; i < rows; ++i, o += n, x += n, dy += n, d_o += n, dx += n) {
#pragma omp simd
    for (std::size_t j = 0; j < n; ++j) {
      const T g = dy[j];
      sums[j] += g;
      sums[n + j] += g * o[j];
      sums[2 * n + j] += g * x[j];
      d_o[j] = g * w.hidden_scale[j];
      dx[j] = g * w.residual_scale[j];
    }
  }
}

/// d os = sum dy (o + ob), d ob = sum dy os; the same for x.
template <class T>
void merge_backward_vectors(const T* sums, const ResidualTensors<const T>& w,
                            const ResidualTensors<T>& d, std::size_t n) {
  for (std::size_t j = 0; j < n; ++j) {
    d.hidden_scale[j] += sums[n + j] + w.hidden_bias[j] * sums[j];
    d.hidden_bias[j] += w.hidden_scale[j] * sums[j];
    d.residual_scale[j] += sums[2 * n + j] + w.residual_bias[j] * sums[j];
    d.residual_bias[j] += w.residual_scale[j] * sums[j];
  }
}

template <class T>
void scale_input(const T* e, const T* scale, const T* bias, T* x, std::size_t n) {
  for (std::size_t j = 0; j < n; ++j) x[j] = (e[j] + bias[j]) * scale[j];
}

/// de += dx s; ds += dx (e + b); db += dx s.
template <class T>
void scale_input_backward(const T* e, const T* scale, const T* bias, const T* dx, T* de, T* dscale,
                          T* dbias, std::size_t n) {
#pragma omp simd
  for (std::size_t j = 0; j < n; ++j) {
    const T g = dx[j] * scale[j];
    dscale[j] += dx[j] * (e[j] + bias[j]);
    dbias[j] += g;
    de[j] += g;
  }
}
