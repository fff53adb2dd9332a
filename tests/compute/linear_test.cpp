// Products with stored weights, on every instruction set, against the plain definition of each
// format (copy_row) in double precision.
#include "compute/linear.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/dtype.h"
#include "base/random.h"

namespace zaya {
namespace {

/// A random matrix of one format, with its bytes.
struct StoredMatrix {
  std::vector<std::byte> codes;
  std::vector<std::byte> scales;
  WeightView view;
};

void put(std::vector<std::byte>& bytes, std::size_t at, const void* data, std::size_t n) {
  std::memcpy(bytes.data() + at, data, n);
}

void put_scale(StoredMatrix& m, std::size_t index, float value) {
  switch (m.view.scale_code) {
    case ScaleCode::bf16: {
      const bf16 v = to_bf16(value);
      return put(m.scales, index * 2, &v, 2);
    }
    case ScaleCode::e8m0: {
      const auto v = static_cast<std::uint8_t>(127 + std::ilogb(value));
      return put(m.scales, index, &v, 1);
    }
    case ScaleCode::e4m3: {
      const auto v = static_cast<std::uint8_t>(0x30 + index % 24);
      return put(m.scales, index, &v, 1);
    }
    default:
      return put(m.scales, index * 4, &value, 4);
  }
}

struct Format {
  std::string name;
  WeightCode code;
  ScaleCode scale = ScaleCode::none;
  std::size_t scale_cols = 0;  ///< 0: one a row
  bool stepped = false;
  std::size_t scale_rows = 1;
};

const std::vector<Format> kFormats{
    {"f32", WeightCode::f32},
    {"bf16", WeightCode::bf16},
    {"int8_row_f32", WeightCode::i8, ScaleCode::f32},
    {"int8_row_bf16", WeightCode::u8, ScaleCode::bf16},
    {"int8_group", WeightCode::u8, ScaleCode::bf16, 32},
    {"int4_stepped", WeightCode::u4, ScaleCode::bf16, 32, true},
    {"int4_stepped_f32", WeightCode::u4, ScaleCode::f32, 32, true},
    {"int4_group", WeightCode::u4, ScaleCode::bf16, 32},
    {"mxfp4", WeightCode::e2m1, ScaleCode::e8m0, 32},
    {"nvfp4", WeightCode::e2m1, ScaleCode::e4m3, 16},
    {"nf4", WeightCode::nf4, ScaleCode::f32, 64},
    {"fp8_row", WeightCode::e4m3, ScaleCode::f32},
    {"fp8_block", WeightCode::e4m3, ScaleCode::bf16, 128, false, 16},
    {"fp8_plain", WeightCode::e4m3},
};

StoredMatrix random_matrix(const Format& format, std::size_t rows, std::size_t cols) {
  Random random(5, cols);
  StoredMatrix m;
  m.view = {.code = format.code, .rows = rows, .cols = cols, .scale_code = format.scale};
  m.view.row_bytes = cols * code_bits(format.code) / 8;
  m.codes.resize(rows * m.view.row_bytes);
  for (std::byte& b : m.codes) {
    auto byte = static_cast<unsigned>(random.uniform() * 256);
    if (format.code == WeightCode::e4m3 && (byte & 127U) == 127U) byte = 0;  // NaN
    b = static_cast<std::byte>(byte);
  }
  for (std::size_t i = 0; i < rows * cols; ++i) {
    const auto value = static_cast<float>(random.normal());
    const bf16 rounded = to_bf16(value);
    if (format.code == WeightCode::f32) put(m.codes, i * 4, &value, 4);
    if (format.code == WeightCode::bf16) put(m.codes, i * 2, &rounded, 2);
  }
  m.view.scale_cols = format.scale_cols == 0 ? cols : format.scale_cols;
  m.view.scale_rows = format.scale_rows;
  m.view.stepped = format.stepped;
  m.view.global = format.code == WeightCode::e2m1 ? 0.375F : 1.0F;
  if (format.scale != ScaleCode::none) {
    const std::size_t groups = (cols + m.view.scale_cols - 1) / m.view.scale_cols;
    const std::size_t scale_rows = (rows + format.scale_rows - 1) / format.scale_rows;
    m.view.scale_row_bytes = groups * scale_bytes(format.scale);
    m.scales.resize(scale_rows * m.view.scale_row_bytes);
    for (std::size_t r = 0; r < scale_rows; ++r) {
      const std::size_t largest = r % groups;
      for (std::size_t g = 0; g < groups; ++g) {
        const float unit = std::ldexp(static_cast<float>(8 + r % 8), -9);
        const auto steps = static_cast<float>(g == largest ? 15 : 1 + (r * 7 + g * 5) % 15);
        const auto any = static_cast<float>(0.01 + random.uniform() * 0.1);
        put_scale(m, r * groups + g, format.stepped ? unit * steps : any);
      }
    }
  }
  m.view.data = m.codes.data();
  m.view.scales = m.scales.data();
  return m;
}

std::vector<float> random_inputs(std::size_t n) {
  Random random(6, n);
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>(random.normal());
  return x;
}

std::vector<float> product(const Kernels& kernels, const WeightView& w, InputKind kind,
                           const std::vector<float>& x, std::size_t rows, std::size_t first,
                           std::size_t last, std::size_t guard = 0) {
  PackedInput packed;
  packed.pack(kernels, kind, {x.data(), w.cols}, rows, w.cols);
  const std::size_t stride = last - first + guard;
  std::vector<float> y(rows * stride, -77);
  packed.multiply(kernels, w, first, last, {y.data(), stride});
  return y;
}

/// Largest relative error of an input of each kind.
double input_error(InputKind kind) {
  switch (kind) {
    case InputKind::bf16:
      return 1.0 / 256;
    case InputKind::wide:
      return 1.0 / 65536;
    case InputKind::int8:
      return 1.0 / 128;  // of a block's inputs, whose mean is a third of the largest or so
    case InputKind::int16:
      return 1.0 / 8192;  // of inputs within a factor of 4 of the largest, in the mean
    case InputKind::f32:
      break;
  }
  return 1e-6;
}

class EveryIsaLinear : public testing::TestWithParam<Isa> {
 protected:
  const Kernels& kernels = kernels_of(GetParam());
};

INSTANTIATE_TEST_SUITE_P(Kernels, EveryIsaLinear, testing::ValuesIn(host_isas()),
                         [](const auto& isa) { return std::string(isa_name(isa.param)); });

/// w x in double precision, and the sum of the magnitudes of its terms: [row][n].
struct Reference {
  Reference(const WeightView& w, const std::vector<float>& x, std::size_t rows) : cols(w.rows) {
    std::vector<float> row(w.cols);
    value.resize(rows * cols);
    size.resize(rows * cols);
    for (std::size_t n = 0; n < cols; ++n) {
      copy_row(w, n, row.data());
      for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t k = 0; k < w.cols; ++k) {
          const double term = static_cast<double>(row[k]) * x[r * w.cols + k];
          value[r * cols + n] += term;
          size[r * cols + n] += std::abs(term);
        }
      }
    }
  }

  std::size_t cols;
  std::vector<double> value;
  std::vector<double> size;
};

TEST_P(EveryIsaLinear, EveryFormatMatchesItsDefinitionAtAndOffTileBoundaries) {
  constexpr std::size_t kMatrixRows = 83;
  constexpr std::size_t kGuard = 3;
  for (const Format& format : kFormats) {
    for (const std::size_t cols : {64, 96, 128, 160, 320}) {
      const StoredMatrix m = random_matrix(format, kMatrixRows, cols);
      const auto x = random_inputs(33 * cols);
      const Reference want(m.view, x, 33);
      for (const InputKind kind :
           {fast_input(m.view, false), fast_input(m.view, true), InputKind::f32, InputKind::bf16}) {
        // Tiles round weights that are no bf16, too.
        const double error = kind == InputKind::wide && m.view.code != WeightCode::bf16
                                 ? input_error(InputKind::bf16)
                                 : 2 * input_error(kind);
        for (const std::size_t rows : {1, 2, 3, 4, 5, 15, 16, 17, 33}) {
          for (const auto& [first, last] :
               {std::pair<std::size_t, std::size_t>{0, 64}, {16, 83}, {7, 8}, {3, 40}}) {
            const auto y = product(kernels, m.view, kind, x, rows, first, last, kGuard);
            const std::size_t stride = last - first + kGuard;
            for (std::size_t r = 0; r < rows; ++r) {
              for (std::size_t n = first; n < last; ++n) {
                const std::size_t at = r * kMatrixRows + n;
                ASSERT_NEAR(y[r * stride + n - first], want.value[at], error * want.size[at] + 1e-6)
                    << format.name << " kind " << static_cast<int>(kind) << ", " << rows << " x "
                    << cols << " at " << r << "," << n;
              }
              for (std::size_t i = 0; i < kGuard; ++i) {
                ASSERT_EQ(y[r * stride + last - first + i], -77) << "written past the columns";
              }
            }
          }
        }
      }
    }
  }
}

TEST_P(EveryIsaLinear, IntegerProductsAreTheSameToTheBitOnEveryIsa) {
  const Kernels& plain = kernels_of(Isa::scalar);
  for (const Format& format : kFormats) {
    for (const std::size_t cols : {96, 2048, 8320}) {
      const StoredMatrix m = random_matrix(format, 40, cols);
      const InputKind kind = fast_input(m.view, false);
      if (kind != InputKind::int16 && kind != InputKind::int8) continue;
      for (const std::size_t rows : {1, 2, 4, 7, 20}) {
        auto x = random_inputs(rows * cols);
        x[cols / 2] = 300;  // an outlier
        if (rows > 1) std::fill_n(x.data() + cols, cols, 0.0F);
        ASSERT_EQ(product(kernels, m.view, kind, x, rows, 0, 40),
                  product(plain, m.view, kind, x, rows, 0, 40))
            << format.name << " " << rows << " x " << cols;
      }
    }
  }
}

TEST_P(EveryIsaLinear, LargestIntegersDoNotOverflow) {
  for (const Format& format : {kFormats[3], kFormats[5]}) {
    const std::size_t cols = 65536;
    StoredMatrix m = random_matrix(format, 36, cols);
    const auto extreme = format.code == WeightCode::u8 ? std::byte{255} : std::byte{0};
    std::fill(m.codes.begin(), m.codes.end(), extreme);
    for (std::size_t i = 0; i < m.scales.size() / 2; ++i) put_scale(m, i, 1);
    const std::vector<float> x(cols * 5, -1.0F);
    for (const float y : product(kernels, m.view, fast_input(m.view, false), x, 5, 0, 36)) {
      ASSERT_FLOAT_EQ(y, format.code == WeightCode::u8 ? -127.0F * cols : 8.0F * cols);
    }
  }
}

TEST_P(EveryIsaLinear, BitsDoNotDependOnCompanyOrOnTheColumnsAskedFor) {
  const Kernels& fixed = kernels_of(GetParam(), true);
  for (const Format& format : kFormats) {
    const std::size_t cols = 160;
    const StoredMatrix m = random_matrix(format, 70, cols);
    for (const InputKind kind : {fast_input(m.view, false), InputKind::f32}) {
      const auto x = random_inputs(37 * cols);
      const auto all = product(fixed, m.view, kind, x, 37, 0, 70);
      for (const std::size_t r : {0, 15, 16, 36}) {
        const std::vector<float> one(x.begin() + static_cast<long>(r * cols),
                                     x.begin() + static_cast<long>((r + 1) * cols));
        const auto alone = product(fixed, m.view, kind, one, 1, 5, 70);
        for (std::size_t n = 5; n < 70; ++n) {
          ASSERT_EQ(alone[n - 5], all[r * 70 + n]) << format.name << " row " << r;
        }
      }
    }
  }
}

TEST_P(EveryIsaLinear, RowsCanBeGatheredAndPackedApart) {
  const std::size_t cols = 96;
  const StoredMatrix m = random_matrix(kFormats[3], 20, cols);
  const auto x = random_inputs(40 * cols);
  std::vector<std::uint32_t> index(33);
  for (std::size_t i = 0; i < index.size(); ++i) index[i] = static_cast<std::uint32_t>(39 - i);
  for (const InputKind kind : {InputKind::int16, InputKind::bf16, InputKind::f32}) {
    const LinearKernels& linear = kernels.linear(kind);
    AlignedBuffer packed;
    std::byte* out = packed.resize(linear.packed_bytes(kind, index.size(), cols));
    linear.pack(kind, {x.data(), cols}, index.data(), index.size(), 16, 33, cols, out);
    linear.pack(kind, {x.data(), cols}, index.data(), index.size(), 0, 16, cols, out);
    std::vector<float> y(index.size() * 20);
    multiply_packed(kernels, m.view, 0, 20, kind, out, index.size(), {y.data(), 20});
    const auto want = product(kernels, m.view, kind, x, 40, 0, 20);
    for (std::size_t i = 0; i < index.size(); ++i) {
      for (std::size_t n = 0; n < 20; ++n) ASSERT_EQ(y[i * 20 + n], want[index[i] * 20 + n]);
    }
  }
}

TEST_P(EveryIsaLinear, SomeOfThePackedRowsGiveTheSameAsAll) {
  const std::size_t cols = 288;
  for (const Format& format : kFormats) {
    const StoredMatrix m = random_matrix(format, 70, cols);
    for (const InputKind kind : {fast_input(m.view, false), fast_input(m.view, true)}) {
      const LinearKernels& linear = kernels.linear(kind);
      const auto x = random_inputs(53 * cols);
      AlignedBuffer packed;
      AlignedBuffer scratch;
      std::byte* out = packed.resize(linear.packed_bytes(kind, 53, cols));
      linear.pack(kind, {x.data(), cols}, nullptr, 53, 0, 53, cols, out);
      const auto want = product(kernels, m.view, kind, x, 53, 0, 70);
      std::vector<float> y(53 * 70, -77);
      for (const auto& [begin, end] : {std::pair<std::size_t, std::size_t>{0, 16}, {16, 53}}) {
        linear.multiply(m.view, 0, 70, kind, {out, 53, begin, end}, {y.data(), 70},
                        scratch.resize(linear.scratch_bytes(m.view, kind, end - begin)));
        ASSERT_EQ(y.back() == -77, end != 53) << "only the rows asked for";
      }
      ASSERT_EQ(y, want) << format.name;
    }
  }
}

TEST_P(EveryIsaLinear, NotANumberComesThrough) {
  for (const Format& format : {kFormats[1], kFormats[3], kFormats[5], kFormats[8]}) {
    const StoredMatrix m = random_matrix(format, 8, 64);
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      for (const std::size_t rows : {1, 9}) {
        auto x = random_inputs(rows * 64);
        x[3] = bad;
        const auto y = product(kernels, m.view, fast_input(m.view, false), x, rows, 0, 8);
        for (std::size_t n = 0; n < 8; ++n) {
          EXPECT_FALSE(std::isfinite(y[n])) << format.name;
          if (rows > 1) {
            EXPECT_TRUE(std::isfinite(y[8 + n])) << "only its own row";
          }
        }
      }
    }
  }
}

TEST_P(EveryIsaLinear, GeluNormAndMergeMatchDoublePrecision) {
  for (const std::size_t n : {1, 7, 16, 31, 96, 257}) {
    auto x = random_inputs(n);
    for (float& v : x) v *= 4;
    const auto weight = random_inputs(n + 1);
    auto g = x;
    kernels.gelu(g.data(), n);
    std::vector<float> normed(n);
    kernels.rms_norm(x.data(), weight.data(), 1e-5F, normed.data(), n);
    auto merged = x;
    kernels.merge_residual(weight.data(), x.data(), normed.data(), weight.data(), x.data(),
                           merged.data(), n);
    double squares = 0;
    for (const double v : x) squares += v * v;
    const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
    for (std::size_t i = 0; i < n; ++i) {
      const double v = x[i];
      ASSERT_NEAR(g[i], 0.5 * v * std::erfc(-v / std::sqrt(2.0)), 2e-6 * std::abs(v)) << v;
      ASSERT_NEAR(normed[i], v * scale * weight[i], 1e-5);
      const double w = weight[i];
      ASSERT_NEAR(merged[i], (w + normed[i]) * v + (v + v) * w, 2e-5);
    }
  }
}

TEST(WeightView, CodesHaveTheirPublishedValues) {
  EXPECT_EQ(e2m1_to_float(7), 6);
  EXPECT_EQ(e2m1_to_float(9), -0.5F);
  EXPECT_EQ(e4m3_to_float(0x7e), 448);
  EXPECT_EQ(e4m3_to_float(0x01), std::ldexp(1.0F, -9));
  EXPECT_EQ(e4m3_to_float(0xb8), -1);
  EXPECT_TRUE(std::isnan(e4m3_to_float(0xff)));
  EXPECT_EQ(e8m0_to_float(127), 1);
  EXPECT_EQ(e8m0_to_float(0), std::ldexp(1.0F, -127));
  EXPECT_TRUE(std::isnan(e8m0_to_float(255)));
  EXPECT_EQ(nf4_to_float(0), -1);
  EXPECT_EQ(nf4_to_float(7), 0);
}

}  // namespace
}  // namespace zaya
