// The vector type V of AVX-512, as vector-inl.h asks for it. To be included after immintrin.h in the
// anonymous namespace of the kernels.

struct V {
  using Float = __m512;
  static constexpr std::size_t lanes = 16;
  static constexpr int tile_rows = 6;  // 6 x 4 sums, 4 weights and an input fill 29 of 32 registers

  static __mmask16 first(std::size_t n) {
    return static_cast<__mmask16>(n >= lanes ? 0xffffU : (1U << n) - 1U);
  }
  static Float widen(__m256i v) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
  }

  static Float zero() { return _mm512_setzero_ps(); }
  static Float set(float v) { return _mm512_set1_ps(v); }
  static Float load(const float* p) { return _mm512_loadu_ps(p); }
  static Float load(const bf16* p) {
    return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Float load_some(const float* p, std::size_t n) {
    return _mm512_maskz_loadu_ps(first(n), p);
  }
  static Float load_some(const bf16* p, std::size_t n) {
    return widen(_mm256_maskz_loadu_epi16(first(n), p));
  }
  static void store(float* p, Float v) { _mm512_storeu_ps(p, v); }
  static void store_some(float* p, Float v, std::size_t n) {
    _mm512_mask_storeu_ps(p, first(n), v);
  }
  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float div(Float a, Float b) { return _mm512_div_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
  static Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
  static Float round(Float v) {
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Float scale(Float v, Float n) { return _mm512_scalef_ps(v, n); }
  static Float zero_where_less(Float a, Float b, Float v) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ), v);
  }
  static float sum(Float v) { return _mm512_reduce_add_ps(v); }
};
