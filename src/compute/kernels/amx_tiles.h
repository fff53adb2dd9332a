#pragma once

// The AMX instructions this project uses. Not through the compiler's intrinsics: gcc 12 declares
// that they read less memory than they do, so that stores to an operand may be moved past them or
// dropped; and it takes tile numbers as literal tokens only, which no template can give.
namespace zaya::amx {

/// Eight tiles for products C += A B with B of `cols` columns of 4 bytes: 0 to 3 are C
/// [16, cols], 4 and 5 are A [16, 64 bytes], 6 and 7 are B [16, cols]. Clears all tiles.
inline void configure(int cols) {
  struct alignas(64) {
    unsigned char palette = 1;
    unsigned char start_row = 0;
    unsigned char reserved[14] = {};
    unsigned short column_bytes[16] = {};
    unsigned char rows[16] = {};
  } config;
  for (int tile = 0; tile < 8; ++tile) {
    config.rows[tile] = 16;
    config.column_bytes[tile] = static_cast<unsigned short>(tile == 4 || tile == 5 ? 64 : 4 * cols);
  }
  asm volatile("ldtilecfg %0" : : "m"(config) : "memory");
}

/// Gives the tiles back, so that the system need not save them when it switches threads.
inline void release() {
  asm volatile("tilerelease" : : : "memory");
}

template <int tile>
inline void zero() {
  asm volatile("tilezero %%tmm%c0" : : "i"(tile));
}

template <int tile>
inline void load(const void* data, long stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(data), "r"(stride), "i"(tile) : "memory");
}

template <int tile>
inline void store(void* data, long stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(data), "r"(stride), "i"(tile) : "memory");
}

// c += a b, for tiles by number.
template <int c, int a, int b>
inline void dot_bf16() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(c), "i"(a), "i"(b));
}
template <int c, int a, int b>
inline void dot_signed() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(c), "i"(a), "i"(b));
}
template <int c, int a, int b>
inline void dot_unsigned_signed() {
  asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(c), "i"(a), "i"(b));
}

}  // namespace zaya::amx
