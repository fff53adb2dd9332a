// Between the projections and attention (arXiv:2510.04476, equations 7 to 11). z = [q ; k] is a row
// of the projections.

/// Depthwise convolution u_t = a0 z_{t-1} + a1 z_t + b of rows [begin, end) of a document whose
/// first row is z; out [row][channel][2] = u_{t-1}, u_t: what the grouped convolution takes, in the
/// order of its weights. Rows before the document are 0, once for both convolutions, so u_{-1} = b.
template <class T>
void depthwise(const T* z, std::size_t stride, const T* a, const T* b, T* out, std::size_t begin,
               std::size_t end, std::size_t channels) {
  for (std::size_t t = begin; t < end; ++t) {
    T* u = out + t * 2 * channels;
    const T* now = z + t * stride;
    if (t == 0) {
      for (std::size_t c = 0; c < channels; ++c) {
        u[2 * c] = b[c];
        u[2 * c + 1] = a[2 * c + 1] * now[c] + b[c];
      }
      continue;
    }
    const T* before = now - stride;
    if (t == 1) {
      for (std::size_t c = 0; c < channels; ++c) {
        u[2 * c] = a[2 * c + 1] * before[c] + b[c];
        u[2 * c + 1] = a[2 * c] * before[c] + a[2 * c + 1] * now[c] + b[c];
      }
      continue;
    }
    const T* earlier = before - stride;
#pragma omp simd
    for (std::size_t c = 0; c < channels; ++c) {
      u[2 * c] = a[2 * c] * earlier[c] + a[2 * c + 1] * before[c] + b[c];
      u[2 * c + 1] = a[2 * c] * before[c] + a[2 * c + 1] * now[c] + b[c];
    }
  }
}

/// From d [row][channel][2], the gradients of depthwise's output: dz += a1 du_t + a0 du_{t+1}, and
/// sums [3][channels] of the gradients of a0, a1 and b. du_t = d[t][1] + d[t+1][0].
template <class T>
void depthwise_backward(const T* z, std::size_t stride, const T* a, const T* d, T* dz, T* sums,
                        std::size_t begin, std::size_t end, std::size_t length,
                        std::size_t channels) {
  const std::size_t row = 2 * channels;
  for (std::size_t t = begin; t < end; ++t) {
    const T* zt = z + t * stride;
    T* dzt = dz + t * stride;
    const T* d0 = d + t * row;
    if (t == 0) {  // u_{-1} = b
      for (std::size_t c = 0; c < channels; ++c) sums[2 * channels + c] += d0[2 * c];
    }
    // Rows past the end give nothing: the own row stands in, times 0.
    const T next = t + 1 < length ? T(1) : T(0);
    const T after = t + 2 < length ? T(1) : T(0);
    const T* d1 = t + 1 < length ? d0 + row : d0;
    const T* d2 = t + 2 < length ? d1 + row : d0;
    const T before = t > 0 ? T(1) : T(0);
    const T* zb = t > 0 ? zt - stride : zt;
#pragma omp simd
    for (std::size_t c = 0; c < channels; ++c) {
      const T du = d0[2 * c + 1] + next * d1[2 * c];
      const T du_next = next * d1[2 * c + 1] + after * d2[2 * c];
      sums[c] += before * du * zb[c];
      sums[channels + c] += du * zt[c];
      sums[2 * channels + c] += du;
      dzt[c] += a[2 * c + 1] * du + a[2 * c] * du_next;
    }
  }
}

/// s becomes the mixed heads: Q_h = s_h + (q_h + k_g) / 2, K_g = s_g + k_g / 2 + mean_h(q_h) / 2,
/// where s is the grouped convolution without its bias.
template <class T>
void mix_heads(const T* z, std::size_t stride, const T* bias, T* s, std::size_t rows,
               const CcaShape& shape) {
  const std::size_t d = shape.dim;
  const std::size_t group = shape.group;
  const T share = T(0.5) / static_cast<T>(group);
  for (std::size_t i = 0; i < rows; ++i, z += stride, s += shape.channels) {
    for (std::size_t c = 0; c < shape.channels; ++c) s[c] += bias[c];
    for (std::size_t g = 0; g < shape.kv_heads; ++g) {
      const T* k = z + (shape.heads + g) * d;
      T* key = s + (shape.heads + g) * d;
      for (std::size_t c = 0; c < d; ++c) key[c] += T(0.5) * k[c];
      for (std::size_t h = g * group; h < (g + 1) * group; ++h) {
        const T* q = z + h * d;
        T* query = s + h * d;
        for (std::size_t c = 0; c < d; ++c) {
          query[c] += T(0.5) * (q[c] + k[c]);
          key[c] += share * q[c];
        }
      }
    }
  }
}

/// dz = what the means give; the convolution's own gradient is ds itself.
template <class T>
void mix_heads_backward(const T* ds, T* dz, std::size_t stride, std::size_t rows,
                        const CcaShape& shape) {
  const std::size_t d = shape.dim;
  const std::size_t group = shape.group;
  const T share = T(0.5) / static_cast<T>(group);
  for (std::size_t i = 0; i < rows; ++i, dz += stride, ds += shape.channels) {
    for (std::size_t g = 0; g < shape.kv_heads; ++g) {
      const T* dkey = ds + (shape.heads + g) * d;
      T* dk = dz + (shape.heads + g) * d;
      for (std::size_t c = 0; c < d; ++c) dk[c] = T(0.5) * dkey[c];
      for (std::size_t h = g * group; h < (g + 1) * group; ++h) {
        for (std::size_t c = 0; c < d; ++c) {
          dz[h * d + c] = T(0.5) * ds[h * d + c] + share * dkey[c];
          dk[c] += T(0.5) * ds[h * d + c];
        }
      }
    }
  }
}

/// One head's vector: y = rotate(length x / sqrt(sum x^2 + 1e-12)). The first 2 `half` dimensions
/// are rotated, i with half + i.
template <class T>
void norm_rotate(const T* x, T length, const T* cosine, const T* sine, std::size_t half, T* y,
                 std::size_t d) {
  const T scale = length / square_root(dot(x, x, d) + T(1e-12));
  for (std::size_t i = 0; i < half; ++i) {
    const T a = x[i] * scale;
    const T b = x[half + i] * scale;
    y[i] = a * cosine[i] - b * sine[i];
    y[half + i] = b * cosine[i] + a * sine[i];
  }
  for (std::size_t i = 2 * half; i < d; ++i) y[i] = x[i] * scale;
}

/// dy becomes rotated back; dx = length (dy r - x r^3 <x, dy>), r the inverse norm. Returns the
/// gradient of `length`: <dy, x r>.
template <class T>
T norm_rotate_backward(const T* x, T length, const T* cosine, const T* sine, std::size_t half,
                       T* dy, T* dx, std::size_t d) {
  for (std::size_t i = 0; i < half; ++i) {
    const T a = dy[i];
    const T b = dy[half + i];
    dy[i] = a * cosine[i] + b * sine[i];
    dy[half + i] = b * cosine[i] - a * sine[i];
  }
  const T r = T(1) / square_root(dot(x, x, d) + T(1e-12));
  const T along = dot(x, dy, d) * r;
  for (std::size_t i = 0; i < d; ++i) dx[i] = length * r * (dy[i] - x[i] * r * along);
  return along;
}
