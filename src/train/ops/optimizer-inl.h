// Updates of parameters. `scale` is what clipping leaves of the gradient.

/// AdamW (arXiv:1711.05101): m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
/// p -= rate ((m c1) / (sqrt(v c2) + eps) + decay p), c the corrections of the moments' bias.
template <class T>
void adamw(T* p, const T* g, T* m, T* v, const AdamWStep<T>& s, std::size_t n) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) {
    const T gi = g[i] * s.scale;
    m[i] = s.beta1 * m[i] + (T(1) - s.beta1) * gi;
    v[i] = s.beta2 * v[i] + (T(1) - s.beta2) * gi * gi;
    p[i] -= s.rate *
            (m[i] * s.correction1 / (square_root(v[i] * s.correction2) + s.eps) + s.decay * p[i]);
  }
}

/// Nesterov momentum: m = mu m + g; out = g + mu m.
template <class T>
void momentum(const T* g, T scale, T mu, T* m, T* out, std::size_t n) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) {
    const T gi = g[i] * scale;
    m[i] = mu * m[i] + gi;
    out[i] = gi + mu * m[i];
  }
}

/// y = a x + b y
template <class T>
void combine(T a, const T* x, T b, T* y, std::size_t n) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) y[i] = a * x[i] + b * y[i];
}
