#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"

namespace zaya {

/// The bytes of one tensor inside a mapped file: row-major, last dimension fastest. `data` is
/// aligned to the element size, so it may be read through a typed pointer.
struct TensorView {
  DType dtype = DType::f32;
  std::vector<std::size_t> shape;
  const std::byte* data = nullptr;

  std::size_t elements() const;
  std::size_t bytes() const { return elements() * dtype_size(dtype); }
};

/// The values as fp32. Throws Error for a type other than f32, bf16 and f16.
std::vector<float> to_floats(const TensorView& view);

/// "[2, 3]"
std::string shape_text(std::span<const std::size_t> shape);

/// A name from outside, fit for a one-line message: in quotes, escaped, cut when very long.
std::string shown_name(std::string_view name);

}  // namespace zaya
