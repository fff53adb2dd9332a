#include <immintrin.h>

#include "compute/kernels/probes.h"

namespace zaya {
namespace {

struct R {
  using Vector = __m512i;
  static constexpr std::size_t bytes = sizeof(Vector);

  static Vector zero() { return _mm512_setzero_si512(); }
  static Vector load(const std::byte* p) { return _mm512_loadu_si512(p); }
  static Vector add(Vector a, Vector b) { return _mm512_add_epi64(a, b); }
  static std::uint64_t sum(Vector v) {
    std::uint64_t lanes[8];
    _mm512_storeu_si512(lanes, v);
    std::uint64_t total = 0;
    for (const std::uint64_t lane : lanes) total += lane;
    return total;
  }
  static void prefetch(const std::byte* p) { _mm_prefetch(p, _MM_HINT_T0); }
};

#include "compute/kernels/probes-inl.h"

// Two products a cycle with a latency of four or five cycles.
constexpr int kSums = 12;

double f32(std::size_t rounds) {
  __m512 sum[kSums];
  for (auto& s : sum) {
    s = _mm512_setzero_ps();
    asm volatile("" : "+v"(s));  // no two sums are known to be equal
  }
  __m512 x = _mm512_set1_ps(0.5F);
  asm volatile("" : "+v"(x));
  for (std::size_t i = 0; i < rounds; ++i) {
    for (auto& s : sum) s = _mm512_fmadd_ps(s, x, x);
  }
  for (auto& s : sum) asm volatile("" : : "v"(s));
  return 2.0 * 16 * kSums * static_cast<double>(rounds);
}

double int8(std::size_t rounds) {
  __m512i sum[kSums];
  for (auto& s : sum) {
    s = _mm512_setzero_si512();
    asm volatile("" : "+v"(s));  // no two sums are known to be equal
  }
  __m512i x = _mm512_set1_epi8(3);
  asm volatile("" : "+v"(x));
  for (std::size_t i = 0; i < rounds; ++i) {
    for (auto& s : sum) s = _mm512_dpbusd_epi32(s, x, x);
  }
  for (auto& s : sum) asm volatile("" : : "v"(s));
  return 2.0 * 64 * kSums * static_cast<double>(rounds);
}

}  // namespace

void add_avx512_probes(Probes& probes) {
  probes.read = read;
  probes.f32 = f32;
  probes.int8 = int8;
  probes.int16 = nullptr;  // two products of int8
}

}  // namespace zaya
