#pragma once

#include <cstddef>
#include <cstdint>

namespace zaya {

/// What becomes of the operands of a product. Sums are fp32 always.
enum class GemmKind : std::uint8_t { f32, bf16 };

/// A matrix that is read: element (i, j) is data[i * row + j * col]. One of the strides is 1.
template <class T>
struct Strided {
  const T* data;
  std::size_t row;
  std::size_t col;

  Strided transposed() const { return {data, col, row}; }
  Strided from(std::size_t i, std::size_t j) const { return {data + i * row + j * col, row, col}; }
};

/// c[i][j] = (add ? c[i][j] : 0) + sum over l < k of a[i][l] b[l][j], for i < m and j < n.
template <class T>
struct Gemm {
  std::size_t m;
  std::size_t n;
  std::size_t k;
  Strided<T> a;
  Strided<T> b;
  T* c;
  std::size_t c_stride;
  bool add = false;
};

/// Packed panels of both operands and the part of c that they make.
struct GemmBlock {
  const std::byte* a;  ///< panels of GemmKernels::rows rows
  const std::byte* b;  ///< panels of GemmKernels::cols columns
  std::size_t m;
  std::size_t n;
  std::size_t k;
  float* c;
  std::size_t c_stride;
  bool add;
};

/// Products of matrices that both change from call to call, as in training. Both operands are first
/// packed into panels, of which a panel holds all of k. An element of c is summed in an order that
/// follows from k alone.
struct GemmKernels {
  std::size_t rows = 0;   ///< of a panel of a
  std::size_t cols = 0;   ///< of a panel of b
  std::size_t depth = 1;  ///< k is filled up with zeros to a multiple of this
  std::size_t item = 0;   ///< bytes of a packed element

  std::size_t padded(std::size_t k) const { return (k + depth - 1) / depth * depth; }
  std::size_t a_panel_bytes(std::size_t k) const { return rows * padded(k) * item; }
  std::size_t b_panel_bytes(std::size_t k) const { return cols * padded(k) * item; }

  /// Packs one panel: the first `count` (at most `rows`) rows of a, zeros below them.
  void (*pack_a)(Strided<float> a, std::size_t count, std::size_t k, std::byte* out) = nullptr;
  /// Packs one panel: the first `count` (at most `cols`) columns of b, zeros beside them.
  void (*pack_b)(Strided<float> b, std::size_t count, std::size_t k, std::byte* out) = nullptr;
  void (*multiply)(const GemmBlock& block) = nullptr;
};

}  // namespace zaya
