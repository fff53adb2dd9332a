// The vector type V of AVX2, as vector-inl.h asks for it. To be included after immintrin.h in the
// anonymous namespace of the kernels.

struct V {
  using Float = __m256;
  static constexpr std::size_t lanes = 8;
  static constexpr int tile_rows = 2;  // 2 x 4 sums, 4 weights and an input fill 13 of 16 registers
  static constexpr std::size_t gemm_rows = 6;  // 6 x 2 sums, 2 of b and one of a fill 15 of 16 registers

  static __m256i first(std::size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static Float widen(__m128i v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
  }

  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
  /// values[byte] of `lanes` bytes.
  static Float lookup(const float* values, const std::byte* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_i32gather_ps(values, _mm256_cvtepu8_epi32(bytes), 4);
  }
  /// values[byte][0], values[byte][1] of lanes / 2 bytes.
  static Float lookup_pairs(const float* values, const std::byte* p) {
    const __m128i bytes = _mm_loadu_si32(p);
    return _mm256_castpd_ps(
        _mm256_i32gather_pd(reinterpret_cast<const double*>(values), _mm_cvtepu8_epi32(bytes), 8));
  }

  static Float zero() { return _mm256_setzero_ps(); }
  static Float set(float v) { return _mm256_set1_ps(v); }
  static Float load(const float* p) { return _mm256_loadu_ps(p); }
  static Float load(const bf16* p) {
    return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Float load_some(const float* p, std::size_t n) { return _mm256_maskload_ps(p, first(n)); }
  static Float load_some(const bf16* p, std::size_t n) {
    alignas(16) bf16 some[lanes] = {};
    for (std::size_t i = 0; i < n && i < lanes; ++i) some[i] = p[i];
    return load(some);
  }
  static void store(float* p, Float v) { _mm256_storeu_ps(p, v); }
  static void store_some(float* p, Float v, std::size_t n) { _mm256_maskstore_ps(p, first(n), v); }
  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float div(Float a, Float b) { return _mm256_div_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  static Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  static Float round(Float v) {
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  /// v * 2^n for whole n from -126 to 128, in two steps so that 2^128 need not be a float.
  static Float scale(Float v, Float n) {
    const __m256i whole = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    const auto power = [](__m256i e) {
      return _mm256_castsi256_ps(
          _mm256_slli_epi32(_mm256_add_epi32(e, _mm256_set1_epi32(127)), 23));
    };
    return mul(mul(v, power(half)), power(_mm256_sub_epi32(whole, half)));
  }
  static Float zero_where_less(Float a, Float b, Float v) {
    return _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_NLT_UQ), v);
  }
  static float sum(Float v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }

  // For attention: rows of scores at a time, and words of two bf16 (see attention-inl.h).
  static constexpr int attend_rows = 4;
  static float top(Float v) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  static Float sqrt(Float v) { return _mm256_sqrt_ps(v); }
  static void load_pairs(const std::byte* p, Float& even, Float& odd) {
    const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    even = _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
    odd = _mm256_castsi256_ps(_mm256_and_si256(words, _mm256_set1_epi32(-0x10000)));
  }
  /// The nearest bf16 in the lower half of each lane, ties to even; NaN stays NaN.
  static __m256i rounded(const float* p) {
    const __m256 v = _mm256_loadu_ps(p);
    const __m256i u = _mm256_castps_si256(v);
    const __m256i even = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), even);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    return _mm256_srli_epi32(_mm256_blendv_epi8(up, quiet, nan), 16);
  }
  /// Words of the rounded p[2 i] and p[2 i + 1].
  static void round_pairs(const float* p, std::uint32_t* words) {
    const __m256i packed = _mm256_packus_epi32(rounded(p), rounded(p + 8));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words),
                        _mm256_permute4x64_epi64(packed, _MM_SHUFFLE(3, 1, 2, 0)));
  }
  /// Puts the rounded p[i] in one half of each word.
  static void round_half(const float* p, std::uint32_t* words, bool upper) {
    auto* to = reinterpret_cast<__m256i*>(words);
    const __m256i old = _mm256_loadu_si256(to);
    const __m256i bits = upper ? _mm256_slli_epi32(rounded(p), 16) : rounded(p);
    _mm256_storeu_si256(
        to, upper ? _mm256_blend_epi16(old, bits, 0xaa) : _mm256_blend_epi16(old, bits, 0x55));
  }

  // For narrow keys and values: `lanes` words of two 16-bit halves.
  using Words = __m256i;
  static void store_words(std::byte* p, Words v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
  }
  static Words int16_of_bytes(const std::byte* p) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  /// Each nibble less 8, the lower one first.
  static Words int16_of_nibbles(const std::byte* p) {
    const __m256i bytes =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    const __m256i both = _mm256_or_si256(bytes, _mm256_slli_epi32(bytes, 12));
    return _mm256_sub_epi16(_mm256_and_si256(both, _mm256_set1_epi32(0x000f000f)),
                            _mm256_set1_epi16(8));
  }
  static Words mul16(Words a, Words b) { return _mm256_mullo_epi16(a, b); }
  /// Each of `lanes` numbers in both halves of a word.
  static Words twins(const std::int8_t* p) {
    const __m256i wide = _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    return _mm256_blend_epi16(wide, _mm256_slli_epi32(wide, 16), 0xaa);
  }
  static Words both(std::int8_t lower, std::int8_t upper) {
    return _mm256_set1_epi32((lower & 0xffff) |
                             static_cast<int>(static_cast<unsigned>(upper) << 16));
  }
  /// Whole numbers that are exact in bf16.
  static Words bf16_of_int16(Words v) {
    const __m256 lower = _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(v, 16), 16));
    const __m256 upper = _mm256_cvtepi32_ps(_mm256_srai_epi32(v, 16));
    return _mm256_blend_epi16(_mm256_srli_epi32(_mm256_castps_si256(lower), 16),
                              _mm256_castps_si256(upper), 0xaa);
  }
  /// 8-bit floats: the bits in place, and the exponent's offset added. Those below 2^-6 have no
  /// leading one; there are 8 of them.
  static Words bf16_of_e4m3(const std::byte* p) {
    const __m256i v = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    const __m256i size = _mm256_and_si256(v, _mm256_set1_epi16(0x7f));
    const __m256i sign = _mm256_slli_epi16(_mm256_sub_epi16(v, size), 8);
    const __m256i normal =
        _mm256_add_epi16(_mm256_slli_epi16(size, 4), _mm256_set1_epi16(120 << 7));
    const __m256i small = _mm256_shuffle_epi8(
        _mm256_broadcastsi128_si256(
            _mm_setr_epi16(0, 0x3b00, 0x3b80, 0x3bc0, 0x3c00, 0x3c20, 0x3c40, 0x3c60)),
        _mm256_add_epi16(_mm256_mullo_epi16(_mm256_and_si256(v, _mm256_set1_epi16(7)),
                                            _mm256_set1_epi16(0x0202)),
                         _mm256_set1_epi16(0x0100)));
    const __m256i is_small = _mm256_cmpgt_epi16(_mm256_set1_epi16(8), size);
    return _mm256_or_si256(_mm256_blendv_epi8(normal, small, is_small), sign);
  }
};
