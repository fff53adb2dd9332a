#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace zaya {

/// How the codes of a weight matrix are stored. 4-bit codes lie two to a byte, the first column in
/// the low nibble.
enum class WeightCode : std::uint8_t {
  f32,
  bf16,
  i8,    ///< two's complement
  u8,    ///< value + 128
  e4m3,  ///< 8-bit float of OCP OFP8
  u4,    ///< value + 8
  e2m1,  ///< 4-bit float of OCP MX
  nf4,   ///< one of the 16 NormalFloat levels of QLoRA (arXiv:2305.14314)
};

enum class ScaleCode : std::uint8_t { none, f32, bf16, f16, e8m0, e4m3 };

/// A weight matrix [rows, cols] as its file stores it, borrowed:
///   w[r][c] = value(code[r][c]) * value(scale[r / scale_rows][c / scale_cols]) * global.
struct WeightView {
  WeightCode code = WeightCode::f32;
  std::size_t rows = 0;
  std::size_t cols = 0;
  const std::byte* data = nullptr;  ///< row-major
  std::size_t row_bytes = 0;        ///< from one row of codes to the next

  ScaleCode scale_code = ScaleCode::none;
  const std::byte* scales = nullptr;  ///< [ceil(rows / scale_rows), ceil(cols / scale_cols)]
  std::size_t scale_row_bytes = 0;    ///< from one row of scales to the next; 0: all rows share one
  std::size_t scale_rows = 1;
  std::size_t scale_cols = 1;
  float global = 1;

  /// For u4 with a scale each 32 columns: every scale of a row is a whole multiple, 1 to 15, of a
  /// fifteenth of the row's largest. Then value * multiple is an 8-bit integer, exactly, and a
  /// whole row is integers times one scale.
  bool stepped = false;

  /// Rows from `first` on. `first` must be a multiple of scale_rows.
  WeightView from_row(std::size_t first) const;
};

/// Bits of one code.
std::size_t code_bits(WeightCode code);
std::string_view code_name(WeightCode code);
/// Bytes of one scale; 0 for none.
std::size_t scale_bytes(ScaleCode code);

/// Bytes of the codes and scales of `rows` rows: what a product with them has to read.
std::size_t stored_bytes(const WeightView& view, std::size_t rows);

/// Value of a 4-bit code.
float e2m1_to_float(unsigned code);
float nf4_to_float(unsigned code);
float e4m3_to_float(std::uint8_t code);  ///< NaN for 0x7f and 0xff
/// The nearest code, ties to even; beyond 448 that of 448.
std::uint8_t to_e4m3(float value);
float e8m0_to_float(std::uint8_t code);  ///< 2^(code - 127); NaN for 0xff

/// The values, without scales, of the codes in each of the 256 bytes: [256] for codes of 8 bits,
/// [256][2] for codes of 4. Null for wider codes.
const float* byte_values(WeightCode code);

/// What the code at row r, column c is multiplied by: its scale times the global one.
float scale_of(const WeightView& view, std::size_t r, std::size_t c);

/// Columns [first, first + n) of row r as fp32: the definition every kernel is tested against.
void copy_row(const WeightView& view, std::size_t r, std::size_t first, std::size_t n, float* out);
inline void copy_row(const WeightView& view, std::size_t r, float* out) {
  copy_row(view, r, 0, view.cols, out);
}

}  // namespace zaya
