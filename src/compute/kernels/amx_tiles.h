#pragma once

#include <immintrin.h>

// AMX intrinsics as gcc 12 declares them read less memory than the instructions do, so stores to an
// operand may be moved past them or dropped. Every use goes through these wrappers.
namespace zaya::amx {

inline void memory_barrier() {
  asm volatile("" ::: "memory");
}

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
  memory_barrier();
  _tile_loadconfig(&config);
  memory_barrier();
}

inline void release() {
  _tile_release();
}

template <int tile>
inline void load(const void* data, long stride) {
  memory_barrier();
  _tile_loadd(tile, data, stride);
}

template <int tile>
inline void store(void* data, long stride) {
  _tile_stored(tile, data, stride);
  memory_barrier();
}

}  // namespace zaya::amx
