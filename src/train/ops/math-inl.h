// Functions of one number that compilers turn into vectors, for the loops beside this file. To be
// included in the anonymous namespace of an instruction set, as are all files of this folder that
// end in -inl.h: no include guard, and no function of a standard header, which would then be
// compiled for that instruction set and could be linked in place of the baseline one.

inline double square_root(double x) {
  return __builtin_sqrt(x);
}
inline float square_root(float x) {
  return __builtin_sqrtf(x);
}

inline double log_of(double x) {
  return __builtin_log(x);
}
inline float log_of(float x) {
  return __builtin_logf(x);
}

inline double exp_of(double x) {
  return __builtin_exp(x);
}
/// To 2 ulp: exp(x) = 2^n exp(r) with |r| <= ln 2 / 2, a polynomial in r (Cephes). What would be
/// denormal or too large is cut.
inline float exp_of(float x) {
  x = x < -87.0F ? -87.0F : x > 88.0F ? 88.0F : x;
  const float t = x * 1.44269504F;
  const int n = static_cast<int>(t + (t < 0.0F ? -0.5F : 0.5F));
  const auto whole = static_cast<float>(n);
  const float r = (x - whole * 0.693359375F) + whole * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * (r * r) + r + 1.0F;
  return p * __builtin_bit_cast(float, (n + 127) << 23);
}

/// The normal distribution's cumulative function.
inline double normal_cdf(double x) {
  return 0.5 * __builtin_erfc(-x * 0.70710678118654752440);
}
/// erfc(z) = t exp(-z^2 + P(t)), t = 1 / (1 + z / 2), z >= 0: the Chebyshev fit of Press et al.,
/// Numerical Recipes, section 6.2, fractional error below 1.2e-7.
inline float normal_cdf(float x) {
  const float z = (x < 0.0F ? -x : x) * 0.70710678F;
  const float t = 1.0F / (1.0F + 0.5F * z);
  float p = 0.17087277F;
  p = p * t - 0.82215223F;
  p = p * t + 1.48851587F;
  p = p * t - 1.13520398F;
  p = p * t + 0.27886807F;
  p = p * t - 0.18628806F;
  p = p * t + 0.09678418F;
  p = p * t + 0.37409196F;
  p = p * t + 1.00002368F;
  p = p * t - 1.26551223F;
  const float tail = 0.5F * t * exp_of(p - z * z);
  return x < 0.0F ? tail : 1.0F - tail;
}
