// Rounding a row to stepped 4-bit codes, in plain loops that a compiler turns into vectors: it may
// not reorder sums or maxima of floats, so that maxima are of their bits, and sums go lane by lane.
// To be included in the anonymous namespace of an instruction set's file.

inline float bits_to_float(std::uint32_t bits) {
  float value = 0;
  __builtin_memcpy(&value, &bits, sizeof(value));
  return value;
}

/// The largest magnitude. Positive floats are ordered as their bits are.
float largest_of(const float* x, std::size_t n) {
  std::uint32_t most = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::uint32_t bits = 0;
    __builtin_memcpy(&bits, x + i, sizeof(bits));
    bits &= 0x7fffffffU;
    most = bits > most ? bits : most;
  }
  return bits_to_float(most);
}

float round_to_int4(const float* x, std::size_t n, std::uint8_t* codes, std::uint16_t* scales) {
  constexpr std::size_t kGroup = 32;
  const float most = largest_of(x, n);
  // The unit has 4 significant bits, rounded up, so that 1 to 15 units are bf16 exactly.
  std::uint32_t bits = 0;
  const float wanted = most / (7.5F * 15.0F);
  __builtin_memcpy(&bits, &wanted, sizeof(bits));
  const float unit = bits_to_float((bits + 0xfffffU) & 0xfff00000U);
  if (!(unit > 1e-30F)) {
    for (std::size_t i = 0; i < n / 2; ++i) codes[i] = 0x88;
    for (std::size_t g = 0; g < n / kGroup; ++g) scales[g] = 0;
    float sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += x[i] * x[i];
    return sum;
  }
  float error[kGroup] = {};
  for (std::size_t g = 0; g < n / kGroup; ++g) {
    const float* from = x + g * kGroup;
    const float largest = largest_of(from, kGroup);
    int multiple = static_cast<int>(largest * 15.0F / most + 0.999F);
    multiple = multiple < 1 ? 1 : multiple > 15 ? 15 : multiple;
    const float scale = unit * static_cast<float>(multiple);
    __builtin_memcpy(&bits, &scale, sizeof(bits));
    scales[g] = static_cast<std::uint16_t>(bits >> 16U);
    const float inverse = 1.0F / scale;
    int q[kGroup];
    for (std::size_t i = 0; i < kGroup; ++i) {
      // Shifted to be positive, so that the conversion, which truncates, rounds.
      const int v = static_cast<int>(from[i] * inverse + 8.5F);
      q[i] = v < 0 ? 0 : v > 15 ? 15 : v;
      const float rest = from[i] - static_cast<float>(q[i] - 8) * scale;
      error[i] += rest * rest;
    }
    for (std::size_t i = 0; i < kGroup / 2; ++i) {
      codes[g * kGroup / 2 + i] = static_cast<std::uint8_t>(q[2 * i] | q[2 * i + 1] << 4);
    }
  }
  float sum = 0;
  for (const float e : error) sum += e;
  return sum;
}
