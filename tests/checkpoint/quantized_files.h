#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/tensor.h"

// Writes quantised matrices as the definitions of the formats have them, and says what they mean.
// Shares no code with the loader.
namespace zaya::test {

/// Tensors as bytes, by name.
struct RawTensor {
  DType dtype = DType::u8;
  std::vector<std::size_t> shape;
  std::string bytes;
};
using RawTensors = std::map<std::string, RawTensor>;

/// A stack of matrices [stack, rows, cols] and its tensors; names are what follows the stem.
struct Encoded {
  RawTensors tensors;
  std::vector<float> values;
};

struct Sizes {
  std::size_t stack = 0;  ///< 0: no leading dimension
  std::size_t rows = 0;
  std::size_t cols = 0;

  std::size_t all_rows() const { return (stack == 0 ? 1 : stack) * rows; }
  std::vector<std::size_t> shape(std::size_t a, std::size_t b) const {
    std::vector<std::size_t> out{a, b};
    if (stack != 0) out.insert(out.begin(), stack);
    return out;
  }
};

inline float e2m1(unsigned code) {
  const unsigned exponent = code >> 1 & 3;
  const float half = (code & 1) != 0 ? 0.5F : 0.0F;
  const float magnitude =
      exponent == 0 ? half : (1 + half) * std::exp2(static_cast<float>(exponent) - 1);
  return (code & 8) != 0 ? -magnitude : magnitude;
}

inline float e4m3(unsigned code) {
  const auto exponent = static_cast<int>(code >> 3 & 15);
  const float fraction = static_cast<float>(code & 7) / 8;
  const float magnitude = exponent == 0
                              ? fraction * std::exp2(-6.0F)
                              : (1 + fraction) * std::exp2(static_cast<float>(exponent - 7));
  return (code & 128) != 0 ? -magnitude : magnitude;
}

class Encoder {
 public:
  explicit Encoder(unsigned seed) : random_(seed) {}

  unsigned below(unsigned n) { return std::uniform_int_distribution<unsigned>(0, n - 1)(random_); }

  template <class T>
  static void put(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }

  /// A scale of a few bits, so that it is the same in every type.
  float put_scale(DType type, std::string& out) {
    const float value = static_cast<float>(1 + below(7)) * 0.0625F;
    switch (type) {
      case DType::bf16:
        put<std::uint16_t>(out, to_bf16(value).bits);
        return value;
      case DType::f16: {
        // 2^-4 has exponent field 11.
        const auto k = static_cast<unsigned>(value * 16);
        unsigned shift = 0;
        while ((k >> (shift + 1)) != 0) ++shift;
        put<std::uint16_t>(
            out, static_cast<std::uint16_t>((11 + shift) << 10 | (k << (10 - shift) & 1023)));
        return value;
      }
      case DType::f8_e4m3: {
        const unsigned code = 8 + below(112);
        put<std::uint8_t>(out, static_cast<std::uint8_t>(code));
        return e4m3(code);
      }
      case DType::u8:
      case DType::f8_e8m0: {
        const unsigned code = 117 + below(12);
        put<std::uint8_t>(out, static_cast<std::uint8_t>(code));
        return std::exp2(static_cast<float>(code) - 127);
      }
      default:
        put(out, value);
        return value;
    }
  }

  /// Scales [ceil(rows / a), ceil(cols / b)] of every matrix, 0 for all; returns scale(row, col).
  std::vector<float> scales(const Sizes& s, std::size_t a, std::size_t b, DType type,
                            RawTensor& out) {
    const std::size_t high = a == 0 ? 1 : (s.rows + a - 1) / a;
    const std::size_t wide = b == 0 ? 1 : (s.cols + b - 1) / b;
    out.dtype = type;
    out.shape = s.shape(high, wide);
    std::vector<float> each(s.all_rows() * s.cols);
    const std::size_t matrices = s.all_rows() / s.rows;
    for (std::size_t m = 0; m < matrices; ++m) {
      std::vector<float> grid;
      for (std::size_t i = 0; i < high * wide; ++i) grid.push_back(put_scale(type, out.bytes));
      for (std::size_t r = 0; r < s.rows; ++r) {
        for (std::size_t c = 0; c < s.cols; ++c) {
          each[(m * s.rows + r) * s.cols + c] =
              grid[(a == 0 ? 0 : r / a) * wide + (b == 0 ? 0 : c / b)];
        }
      }
    }
    return each;
  }

  /// compressed-tensors: 32 / bits codes to an int32, the first lowest, value + 2^(bits - 1).
  Encoded packed(const Sizes& s, unsigned bits, std::size_t group, DType scale_type) {
    Encoded e;
    e.values = scales(s, 1, group, scale_type, e.tensors["_scale"]);
    const unsigned per = 32 / bits;
    const std::size_t words = (s.cols + per - 1) / per;
    RawTensor& codes = e.tensors["_packed"];
    codes.dtype = DType::i32;
    codes.shape = s.shape(s.rows, words);
    for (std::size_t r = 0; r < s.all_rows(); ++r) {
      for (std::size_t w = 0; w < words; ++w) {
        std::uint32_t word = 0;
        for (unsigned i = 0; i < per && w * per + i < s.cols; ++i) {
          const unsigned code = below(1U << bits);
          word |= code << (bits * i);
          e.values[r * s.cols + w * per + i] *=
              static_cast<float>(static_cast<int>(code) - (1 << (bits - 1)));
        }
        put(codes.bytes, word);
      }
    }
    RawTensor& shape = e.tensors["_shape"];
    shape = {DType::i64, {2}, {}};
    put(shape.bytes, static_cast<std::int64_t>(s.rows));
    put(shape.bytes, static_cast<std::int64_t>(s.cols));
    return e;
  }

  /// One byte a weight: int8 or e4m3.
  Encoded bytes(const Sizes& s, DType type, std::size_t a, std::size_t b, DType scale_type,
                const std::string& scale_name = "_scale") {
    Encoded e;
    e.values = scales(s, a, b, scale_type, e.tensors[scale_name]);
    RawTensor& codes = e.tensors[""];
    codes = {type, s.shape(s.rows, s.cols), {}};
    for (float& value : e.values) {
      unsigned code = below(256);
      if (type == DType::f8_e4m3 && (code & 127) == 127) code -= 1;  // not NaN
      put(codes.bytes, static_cast<std::uint8_t>(code));
      value *= type == DType::i8 ? static_cast<float>(static_cast<std::int8_t>(code)) : e4m3(code);
    }
    return e;
  }

  /// Two e2m1 to a byte, the first low.
  Encoded fp4(const Sizes& s, std::size_t group, DType scale_type, const std::string& codes_name) {
    Encoded e;
    e.values = scales(s, 1, group, scale_type, e.tensors["_scale"]);
    RawTensor& codes = e.tensors[codes_name];
    codes = {DType::u8, s.shape(s.rows, s.cols / 2), {}};
    for (std::size_t i = 0; i < e.values.size(); i += 2) {
      const unsigned code = below(256);
      put(codes.bytes, static_cast<std::uint8_t>(code));
      e.values[i] *= e2m1(code & 15);
      e.values[i + 1] *= e2m1(code >> 4);
    }
    return e;
  }

  /// One more scale a matrix, stored as it multiplies or as it divides.
  void add_global(Encoded& e, const Sizes& s, bool divides) {
    RawTensor& global = e.tensors[divides ? "_global_scale" : "_scale_2"];
    const std::size_t matrices = s.all_rows() / s.rows;
    global = {DType::f32, {matrices}, {}};
    const std::size_t each = s.rows * s.cols;
    for (std::size_t m = 0; m < matrices; ++m) {
      const float factor = std::exp2(-static_cast<float>(below(10)));
      put(global.bytes, divides ? 1 / factor : factor);
      for (std::size_t i = 0; i < each; ++i) e.values[m * each + i] *= factor;
    }
  }

  /// bitsandbytes: two levels to a byte, the first high; blocks over the flattened matrix.
  Encoded nf4(const Sizes& s, std::size_t block, bool nested) {
    static const float kLevels[16] = {-1.0F,        -0.69619280F, -0.52507305F, -0.39491749F,
                                      -0.28444138F, -0.18477343F, -0.09105004F, 0.0F,
                                      0.07958030F,  0.16093020F,  0.24611230F,  0.33791524F,
                                      0.44070983F,  0.56261700F,  0.72295684F,  1.0F};
    Encoded e;
    const std::size_t n = s.rows * s.cols;
    RawTensor& codes = e.tensors[""];
    codes = {DType::u8, {n / 2, 1}, {}};
    for (std::size_t i = 0; i < n / 2; ++i) {
      const unsigned code = below(256);
      put(codes.bytes, static_cast<std::uint8_t>(code));
      e.values.push_back(kLevels[code >> 4]);
      e.values.push_back(kLevels[code & 15]);
    }
    RawTensor& map = e.tensors[".quant_map"];
    map = {DType::f32, {16}, {}};
    for (const float level : kLevels) put(map.bytes, level);
    const std::size_t blocks = n / block;
    std::vector<float> absmax(blocks);
    std::string state = R"({"quant_type": "nf4", "dtype": "bfloat16", "blocksize": )" +
                        std::to_string(block) + R"(, "shape": [)" + std::to_string(s.rows) + ", " +
                        std::to_string(s.cols) + "]";
    RawTensor& scale = e.tensors[".absmax"];
    scale = {nested ? DType::u8 : DType::f32, {blocks}, {}};
    if (nested) {
      const std::size_t per = 4;
      RawTensor& nested_map = e.tensors[".nested_quant_map"];
      nested_map = {DType::f32, {256}, {}};
      for (int i = 0; i < 256; ++i) put(nested_map.bytes, static_cast<float>(i - 128) / 256);
      RawTensor& outer = e.tensors[".nested_absmax"];
      outer = {DType::f32, {(blocks + per - 1) / per}, {}};
      float outer_value = 0;
      for (std::size_t i = 0; i < blocks; ++i) {
        if (i % per == 0) outer_value = put_scale(DType::f32, outer.bytes);
        const unsigned code = below(256);
        put(scale.bytes, static_cast<std::uint8_t>(code));
        absmax[i] = static_cast<float>(static_cast<int>(code) - 128) / 256 * outer_value + 0.75F;
      }
      state += R"(, "nested_blocksize": 4, "nested_dtype": "float32", "nested_offset": 0.75)";
    } else {
      for (float& value : absmax) value = put_scale(DType::f32, scale.bytes);
    }
    state += "}";
    e.tensors[".quant_state.bitsandbytes__nf4"] = {DType::u8, {state.size()}, state};
    for (std::size_t i = 0; i < n; ++i) e.values[i] *= absmax[i / block];
    return e;
  }

 private:
  std::mt19937 random_;
};

inline void write_tensors(const std::filesystem::path& file, const RawTensors& tensors) {
  std::vector<TensorSpec> specs;
  specs.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) specs.push_back({name, tensor.dtype, tensor.shape});
  SafetensorsWriter writer(file, specs);
  for (const TensorSpec& spec : writer.tensors()) {
    writer.append(std::as_bytes(std::span(tensors.at(spec.name).bytes)));
  }
  writer.commit();
}

inline RawTensors read_tensors(const std::filesystem::path& file) {
  RawTensors tensors;
  const SafetensorsFile in(file);
  for (const std::string& name : in.names()) {
    const TensorView& view = in.tensor(name);
    tensors[name] = {
        view.dtype, view.shape, {reinterpret_cast<const char*>(view.data), view.bytes()}};
  }
  return tensors;
}

}  // namespace zaya::test
