#include <immintrin.h>

#include "compute/kernels/probes.h"

namespace zaya {
namespace {

struct R {
  using Vector = __m256i;
  static constexpr std::size_t bytes = sizeof(Vector);

  static Vector zero() { return _mm256_setzero_si256(); }
  static Vector load(const std::byte* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Vector add(Vector a, Vector b) { return _mm256_add_epi64(a, b); }
  static std::uint64_t sum(Vector v) {
    const __m128i two = _mm_add_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    return static_cast<std::uint64_t>(_mm_cvtsi128_si64(two)) +
           static_cast<std::uint64_t>(_mm_extract_epi64(two, 1));
  }
  static void prefetch(const std::byte* p) { _mm_prefetch(p, _MM_HINT_T0); }
};

#include "compute/kernels/probes-inl.h"

double f32(std::size_t rounds) {
  constexpr int kSums = 10;  // two a cycle with a latency of four or five cycles
  __m256 sum[kSums];
  for (auto& s : sum) {
    s = _mm256_setzero_ps();
    asm volatile("" : "+x"(s));  // no two sums are known to be equal
  }
  __m256 x = _mm256_set1_ps(0.5F);
  asm volatile("" : "+x"(x));
  for (std::size_t i = 0; i < rounds; ++i) {
    for (auto& s : sum) s = _mm256_fmadd_ps(s, x, x);
  }
  for (auto& s : sum) asm volatile("" : : "x"(s));
  return 2.0 * 8 * kSums * static_cast<double>(rounds);
}

/// Products of pairs by `multiply`, added up by `add`: the sums of `columns` columns a vector.
template <int columns, class Multiply, class Add>
double integers(std::size_t rounds, Multiply&& multiply, Add&& add) {
  constexpr int kSums = 8;
  __m256i sum[kSums];
  __m256i x = _mm256_set1_epi8(1);
  asm volatile("" : "+x"(x));
  for (auto& s : sum) {
    s = _mm256_setzero_si256();
    asm volatile("" : "+x"(s));  // no two sums are known to be equal
  }
  for (std::size_t i = 0; i < rounds; ++i) {
    for (auto& s : sum) {
      __m256i w = x;
      asm volatile("" : "+x"(w));  // nor two products
      s = add(s, multiply(w, x));
    }
  }
  for (auto& s : sum) asm volatile("" : : "x"(s));
  return 2.0 * columns * kSums * static_cast<double>(rounds);
}

double int8(std::size_t rounds) {
  return integers<32>(
      rounds, [](__m256i a, __m256i b) { return _mm256_maddubs_epi16(a, b); },
      [](__m256i a, __m256i b) { return _mm256_add_epi16(a, b); });
}

double int16(std::size_t rounds) {
  return integers<16>(
      rounds, [](__m256i a, __m256i b) { return _mm256_madd_epi16(a, b); },
      [](__m256i a, __m256i b) { return _mm256_add_epi32(a, b); });
}

}  // namespace

void add_avx2_probes(Probes& probes) {
  probes.read = read;
  probes.f32 = f32;
  probes.int8 = int8;
  probes.int16 = int16;
}

}  // namespace zaya
