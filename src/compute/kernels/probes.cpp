#include "compute/kernels/probes.h"

#include <cstring>

namespace zaya {
namespace {

struct R {
  using Vector = std::uint64_t;
  static constexpr std::size_t bytes = sizeof(Vector);

  static Vector zero() { return 0; }
  static Vector load(const std::byte* p) {
    Vector v = 0;
    std::memcpy(&v, p, bytes);
    return v;
  }
  static Vector add(Vector a, Vector b) { return a + b; }
  static std::uint64_t sum(Vector v) { return v; }
  static void prefetch(const std::byte* p) { __builtin_prefetch(p); }
};

#include "compute/kernels/probes-inl.h"

/// Sums that the compiler must take for used and unknown.
void keep(float& value) {
  asm volatile("" : "+m"(value));
}

double f32(std::size_t rounds) {
  constexpr int kSums = 8;
  float sum[kSums] = {};
  for (float& s : sum) keep(s);
  float x = 0.5F;
  keep(x);
  for (std::size_t i = 0; i < rounds; ++i) {
    for (float& s : sum) s = s * x + x;
  }
  for (float& s : sum) keep(s);
  return 2.0 * kSums * static_cast<double>(rounds);
}

}  // namespace

Probes probes_of(Isa isa) {
  Probes probes{.read = read, .f32 = f32};
#if defined(__x86_64__)
  if (isa >= Isa::avx2) add_avx2_probes(probes);
  if (isa >= Isa::avx512) add_avx512_probes(probes);
  if (isa >= Isa::amx) add_amx_probes(probes);
#endif
  (void)isa;
  return probes;
}

}  // namespace zaya
