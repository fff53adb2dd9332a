// The vector type V of AVX-512, as vector-inl.h asks for it. To be included after immintrin.h in
// the anonymous namespace of the kernels.

struct V {
  using Float = __m512;
  static constexpr std::size_t lanes = 16;
  static constexpr int tile_rows = 6;  // 6 x 4 sums, 4 weights and an input fill 29 of 32 registers
  static constexpr std::size_t gemm_rows = 12;  // 12 x 2 sums, 2 of b and one of a fill 27 of 32 registers

  static __mmask16 first(std::size_t n) {
    return static_cast<__mmask16>(n >= lanes ? 0xffffU : (1U << n) - 1U);
  }
  static Float widen(__m256i v) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
  }

  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
  /// values[byte] of `lanes` bytes.
  static Float lookup(const float* values, const std::byte* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_i32gather_ps(_mm512_cvtepu8_epi32(bytes), values, 4);
  }
  /// values[byte][0], values[byte][1] of lanes / 2 bytes.
  static Float lookup_pairs(const float* values, const std::byte* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm512_castpd_ps(_mm512_i32gather_pd(_mm256_cvtepu8_epi32(bytes), values, 8));
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

  // For attention: rows of scores at a time, and words of two bf16 (see attention-inl.h).
  static constexpr int attend_rows = 8;
  static float top(Float v) { return _mm512_reduce_max_ps(v); }
  static Float sqrt(Float v) { return _mm512_sqrt_ps(v); }
  static void load_pairs(const std::byte* p, Float& even, Float& odd) {
    const __m512i words = _mm512_loadu_si512(p);
    even = _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
    odd = _mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32(-0x10000)));
  }
  /// The nearest bf16 in the upper half of each lane, ties to even; NaN stays NaN.
  static __m512i rounded(const float* p) {
    const __m512 v = _mm512_loadu_ps(p);
    const __m512i u = _mm512_castps_si512(v);
    const __m512i even = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), even);
    const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return _mm512_mask_or_epi32(up, nan, u, _mm512_set1_epi32(0x400000));
  }
  /// Words of the rounded p[2 i] and p[2 i + 1].
  static void round_pairs(const float* p, std::uint32_t* words) {
    for (int i = 0; i < 2; ++i) {
      const __m512i bits = _mm512_srli_epi32(rounded(p + 16 * i), 16);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + 8 * i), _mm512_cvtepi32_epi16(bits));
    }
  }
  /// Puts the rounded p[i] in one half of each word.
  static void round_half(const float* p, std::uint32_t* words, bool upper) {
    const __m512i bits = upper ? rounded(p) : _mm512_srli_epi32(rounded(p), 16);
    _mm512_mask_storeu_epi16(words, upper ? 0xaaaaaaaaU : 0x55555555U, bits);
  }

  // For narrow keys and values: `lanes` words of two 16-bit halves.
  using Words = __m512i;
  static void store_words(std::byte* p, Words v) { _mm512_storeu_si512(p, v); }
  static Words int16_of_bytes(const std::byte* p) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  /// Each nibble less 8, the lower one first.
  static Words int16_of_nibbles(const std::byte* p) {
    const __m512i bytes =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    const __m512i both = _mm512_or_si512(bytes, _mm512_slli_epi32(bytes, 12));
    return _mm512_sub_epi16(_mm512_and_si512(both, _mm512_set1_epi32(0x000f000f)),
                            _mm512_set1_epi16(8));
  }
  static Words mul16(Words a, Words b) { return _mm512_mullo_epi16(a, b); }
  /// Each of `lanes` numbers in both halves of a word.
  static Words twins(const std::int8_t* p) {
    const __m512i wide = _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm512_mask_blend_epi16(0xaaaaaaaaU, wide, _mm512_slli_epi32(wide, 16));
  }
  static Words both(std::int8_t lower, std::int8_t upper) {
    return _mm512_set1_epi32((lower & 0xffff) |
                             static_cast<int>(static_cast<unsigned>(upper) << 16));
  }
  /// Whole numbers that are exact in bf16.
  static Words bf16_of_int16(Words v) {
    const __m512 lower = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(v, 16), 16));
    const __m512 upper = _mm512_cvtepi32_ps(_mm512_srai_epi32(v, 16));
    return _mm512_mask_blend_epi16(0xaaaaaaaaU, _mm512_srli_epi32(_mm512_castps_si512(lower), 16),
                                   _mm512_castps_si512(upper));
  }
  /// 8-bit floats: the bits in place, and the exponent's offset added. Those below 2^-6 have no
  /// leading one; there are 8 of them.
  static Words bf16_of_e4m3(const std::byte* p) {
    const __m512i v = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    const __m512i size = _mm512_and_si512(v, _mm512_set1_epi16(0x7f));
    const __m512i sign = _mm512_slli_epi16(_mm512_sub_epi16(v, size), 8);
    const __m512i normal =
        _mm512_add_epi16(_mm512_slli_epi16(size, 4), _mm512_set1_epi16(120 << 7));
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_setr_epi16(0, 0x3b00, 0x3b80, 0x3bc0, 0x3c00, 0x3c20, 0x3c40, 0x3c60));
    const __mmask32 is_small = _mm512_cmplt_epi16_mask(size, _mm512_set1_epi16(8));
    return _mm512_or_si512(_mm512_mask_permutexvar_epi16(normal, is_small, size, table), sign);
  }
};
