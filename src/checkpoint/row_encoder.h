#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace zaya {

/// What `zaya quantize` can write.
enum class WeightFormat : std::uint8_t {
  keep,   ///< as stored
  bf16,   ///< plain
  int8,   ///< a bf16 scale a row
  int4,   ///< a bf16 scale every 32 columns, stepped (WeightView::stepped)
  mxfp4,  ///< e2m1, a power of two every 32 columns (OCP MX)
  nvfp4,  ///< e2m1, an e4m3 scale every 16 columns and one f32 for the matrix
  fp8,    ///< e4m3, a bf16 scale a row
};

/// "int4" and so on; false for a name that is none, "keep" included.
bool parse_weight_format(std::string_view name, WeightFormat& format);
std::string_view weight_format_name(WeightFormat format);

/// Turns rows of weights into codes and scales with little squared error.
///
/// Codes are laid out as compressed-tensors packs them: integers with an offset (value + 8, value +
/// 128) into int32 words, the first column lowest, rows padded to whole words; e2m1 two to a byte,
/// the first column low.
class RowEncoder {
 public:
  /// Throws Error when rows of `cols` cannot be in that format: 4-bit groups must divide them.
  RowEncoder(WeightFormat format, std::size_t cols);

  std::size_t code_bytes() const { return code_bytes_; }    ///< of a row
  std::size_t scale_bytes() const { return scale_bytes_; }  ///< of a row

  /// `importance`: weight of each column in the error, or nullptr. `global`: the matrix's own scale
  /// (nvfp4), by which all others are multiplied. Threads need an encoder each.
  void encode(const float* row, const float* importance, float global, std::byte* codes,
              std::byte* scales);

 private:
  void int8(const float* row, const float* importance, std::byte* codes, std::byte* scales) const;
  void int4(const float* row, const float* importance, std::byte* codes, std::byte* scales);
  void fp4(const float* row, const float* importance, float global, std::byte* codes,
           std::byte* scales) const;
  void fp8(const float* row, std::byte* codes, std::byte* scales) const;

  WeightFormat format_;
  std::size_t cols_;
  std::size_t code_bytes_ = 0;
  std::size_t scale_bytes_ = 0;
  std::vector<float> ones_;
  std::vector<float> magnitudes_;
};

/// The largest magnitude of n values; NaN or infinite when one of them is not finite.
float largest_magnitude(const float* values, std::size_t n);

}  // namespace zaya
