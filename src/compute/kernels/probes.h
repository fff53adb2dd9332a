#pragma once

#include <cstddef>
#include <cstdint>

#include "compute/cpu.h"

namespace zaya {

/// Loops that keep one part of the machine busy and compute nothing of use: what they reach is what
/// a kernel could reach at most.
struct Probes {
  /// Reads `bytes` bytes, a multiple of kReadGrain, once: as `streams` (1, 4 or 8) equal parts side
  /// by side, asking for the line `ahead` bytes further of each (0: not). Returns a digest.
  static constexpr std::size_t kReadGrain = 4096;
  std::uint64_t (*read)(const std::byte* data, std::size_t bytes, int streams,
                        std::size_t ahead) = nullptr;

  // Products in registers or tiles, `rounds` times a fixed number of them. They return the number
  // of operations, two a multiply-add. Null where the instruction set has no such unit.
  double (*f32)(std::size_t rounds) = nullptr;    ///< fp32 inputs and sums
  double (*bf16)(std::size_t rounds) = nullptr;   ///< bf16 inputs, fp32 sums
  double (*int8)(std::size_t rounds) = nullptr;   ///< 8-bit inputs and weights
  double (*int16)(std::size_t rounds) = nullptr;  ///< 16-bit inputs; null: two products of 8 bits
};

/// The probes of one instruction set; the host must have it.
Probes probes_of(Isa isa);

// What the translation unit of each instruction set replaces.
void add_avx2_probes(Probes& probes);
void add_avx512_probes(Probes& probes);
void add_amx_probes(Probes& probes);

}  // namespace zaya
