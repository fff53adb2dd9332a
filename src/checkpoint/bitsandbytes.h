#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/tensor.h"

namespace zaya {

/// The JSON that bitsandbytes stores as bytes beside each 4-bit weight, as far as it concerns NF4.
struct Nf4State {
  std::size_t block = 0;           ///< weights that share a scale, over the flattened matrix
  std::vector<std::size_t> shape;  ///< of the matrix
  bool nested = false;             ///< the scales are quantised too (double quantisation)
  std::size_t nested_block = 0;    ///< scales that share a second-level scale
  float nested_offset = 0;
};

/// Throws Error naming `where` for what is malformed or not NF4.
Nf4State parse_nf4_state(std::string_view json, const std::string& where);

/// The scales of a matrix in NF4. Nested ones are
///   nested_map[absmax[i]] * nested_absmax[i / nested_block] + nested_offset.
struct Nf4Blocks {
  Nf4State state;
  TensorView absmax;         ///< f32, or u8 when nested
  TensorView nested_map;     ///< f32 [256]
  TensorView nested_absmax;  ///< f32
};

/// Whether the 16 levels a file lists are those of NF4.
bool is_nf4_map(std::span<const float> levels);

/// The scales [first, first + out.size()) of a matrix.
void nf4_scales(const Nf4Blocks& blocks, std::size_t first, std::span<float> out);

/// Exchanges the nibbles of each byte: bitsandbytes keeps the first of two weights in the high one.
void swap_nibbles(std::span<const std::byte> in, std::byte* out);

}  // namespace zaya
