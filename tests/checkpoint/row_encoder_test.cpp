#include "checkpoint/row_encoder.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/dtype.h"
#include "checkpoint/stored_matrix.h"
#include "tests/checkpoint/helpers.h"

namespace zaya {
namespace {

/// One row, encoded; the view is over its own codes and scales.
struct EncodedRow {
  std::vector<std::byte> codes;
  std::vector<std::byte> scales;
  WeightView view;

  EncodedRow(WeightFormat format, const std::vector<float>& row,
             const std::vector<float>& importance = {}, float global = 1) {
    RowEncoder encoder(format, row.size());
    codes.resize(encoder.code_bytes());
    scales.resize(encoder.scale_bytes());
    encoder.encode(row.data(), importance.empty() ? nullptr : importance.data(), global,
                   codes.data(), scales.data());
    view.rows = 1;
    view.cols = row.size();
    view.data = codes.data();
    view.row_bytes = codes.size();
    view.scale_code = ScaleCode::bf16;
    view.scales = scales.data();
    view.scale_row_bytes = scales.size();
    view.scale_cols = row.size();
    view.global = global;
    switch (format) {
      case WeightFormat::int8:
        view.code = WeightCode::u8;
        break;
      case WeightFormat::int4:
        view.code = WeightCode::u4;
        view.scale_cols = 32;
        view.stepped = true;
        break;
      case WeightFormat::fp8:
        view.code = WeightCode::e4m3;
        break;
      default:
        view.code = WeightCode::e2m1;
        view.scale_cols = format == WeightFormat::nvfp4 ? 16 : 32;
        view.scale_code = format == WeightFormat::nvfp4 ? ScaleCode::e4m3 : ScaleCode::e8m0;
        break;
    }
  }

  std::vector<float> values() const {
    std::vector<float> out(view.cols);
    copy_row(view, 0, out.data());
    return out;
  }
};

double squared_error(const std::vector<float>& a, const std::vector<float>& b,
                     const std::vector<float>& weight = {}) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += d * d * (weight.empty() ? 1.0 : static_cast<double>(weight[i]));
  }
  return sum;
}

/// What a plain quantiser does: the largest weight of a group gets the largest code.
std::vector<float> nearest(const std::vector<float>& row, std::size_t group, float top) {
  std::vector<float> out(row.size());
  for (std::size_t g = 0; g < row.size(); g += group) {
    float largest = 0;
    for (std::size_t i = g; i < g + group; ++i) largest = std::max(largest, std::fabs(row[i]));
    const float scale = to_float(to_bf16(largest / top));
    for (std::size_t i = g; i < g + group; ++i) {
      out[i] = std::clamp(std::nearbyint(row[i] / scale), -top - 1, top) * scale;
    }
  }
  return out;
}

std::vector<float> gaussian(std::mt19937& random, std::size_t n) {
  std::normal_distribution<float> draw(0, 0.02F);
  std::vector<float> row(n);
  for (float& x : row) x = draw(random);
  return row;
}

std::vector<float> heavy(std::mt19937& random, std::size_t n) {
  std::student_t_distribution<float> draw(3);
  std::vector<float> row(n);
  for (float& x : row) x = 0.02F * draw(random);
  return row;
}

TEST(RowEncoder, BeatsRoundingToNearest) {
  std::mt19937 random(5);
  for (const auto& draw : {gaussian, heavy}) {
    double ours[2] = {};
    double plain[2] = {};
    for (int i = 0; i < 40; ++i) {
      const std::vector<float> row = draw(random, 1024);
      ours[0] += squared_error(row, EncodedRow(WeightFormat::int4, row).values());
      plain[0] += squared_error(row, nearest(row, 32, 7));
      ours[1] += squared_error(row, EncodedRow(WeightFormat::int8, row).values());
      plain[1] += squared_error(row, nearest(row, row.size(), 127));
    }
    EXPECT_LT(ours[0], 0.93 * plain[0]);
    EXPECT_LT(ours[1], 0.99 * plain[1]);
  }
}

TEST(RowEncoder, Int4ScalesAreStepped) {
  std::mt19937 random(6);
  for (int i = 0; i < 50; ++i) {
    std::vector<float> row = heavy(random, 256);
    for (float& x : row) x *= std::exp2(static_cast<float>(i - 25));
    const EncodedRow encoded(WeightFormat::int4, row);
    EXPECT_NO_THROW(check_scales(encoded.view, "row"));
    float largest = 0;
    std::vector<float> scales(8);
    for (std::size_t g = 0; g < 8; ++g) {
      std::uint16_t bits = 0;
      std::memcpy(&bits, encoded.scales.data() + 2 * g, 2);
      scales[g] = to_float(bf16{bits});
      largest = std::max(largest, scales[g]);
    }
    for (const float scale : scales) {
      const float multiple = scale / (largest / 15);
      EXPECT_EQ(multiple, std::nearbyint(multiple));
      EXPECT_TRUE(multiple >= 1 && multiple <= 15) << multiple;
    }
  }
}

TEST(RowEncoder, RowsOfExtremes) {
  for (const WeightFormat format :
       {WeightFormat::int8, WeightFormat::int4, WeightFormat::mxfp4, WeightFormat::fp8}) {
    SCOPED_TRACE(weight_format_name(format));
    const EncodedRow zero(format, std::vector<float>(64, 0.0F));
    EXPECT_EQ(zero.values(), std::vector<float>(64, 0.0F));
    EXPECT_NO_THROW(check_scales(zero.view, "zero"));
    const EncodedRow same(format, std::vector<float>(64, -3.0F));
    for (const float x : same.values()) EXPECT_NEAR(x, -3, 0.25F);
    for (const float size : {1e-38F, 1e-44F, 1e37F}) {
      std::vector<float> row(64, size);
      row[5] = -size;
      const EncodedRow encoded(format, row);
      EXPECT_NO_THROW(check_scales(encoded.view, "extreme"));
      for (const float x : encoded.values()) EXPECT_LE(std::fabs(x), 1.2F * size);
    }
  }
}

TEST(RowEncoder, OddLengthsOfInt8) {
  std::mt19937 random(7);
  for (const std::size_t n : {1U, 3U, 15U, 17U, 33U, 50U}) {
    const std::vector<float> row = gaussian(random, n);
    const EncodedRow encoded(WeightFormat::int8, row);
    EXPECT_EQ(encoded.codes.size(), (n + 3) / 4 * 4);
    const float largest = largest_magnitude(row.data(), n);
    const std::vector<float> values = encoded.values();
    for (std::size_t i = 0; i < n; ++i) EXPECT_NEAR(values[i], row[i], largest / 100);
  }
}

TEST(RowEncoder, ImportantColumnsAreNearer) {
  std::mt19937 random(8);
  for (const WeightFormat format : {WeightFormat::int8, WeightFormat::int4, WeightFormat::mxfp4}) {
    double with = 0;
    double without = 0;
    for (int i = 0; i < 20; ++i) {
      const std::vector<float> row = heavy(random, 512);
      std::vector<float> importance = gaussian(random, 512);
      for (float& x : importance) x = std::exp(100 * x);
      with += squared_error(row, EncodedRow(format, row, importance).values(), importance);
      without += squared_error(row, EncodedRow(format, row).values(), importance);
    }
    EXPECT_LT(with, 0.97 * without) << weight_format_name(format);
  }
}

TEST(RowEncoder, FloatFormatsAreAsGoodAsTheirBits) {
  std::mt19937 random(9);
  double energy = 0;
  double mx = 0;
  double nv = 0;
  double e4m3 = 0;
  for (int i = 0; i < 20; ++i) {
    const std::vector<float> row = gaussian(random, 512);
    energy += squared_error(row, std::vector<float>(row.size(), 0.0F));
    mx += squared_error(row, EncodedRow(WeightFormat::mxfp4, row).values());
    const float global = largest_magnitude(row.data(), row.size()) / (448 * 6);
    nv += squared_error(row, EncodedRow(WeightFormat::nvfp4, row, {}, global).values());
    e4m3 += squared_error(row, EncodedRow(WeightFormat::fp8, row).values());
  }
  EXPECT_LT(mx, 0.014 * energy);
  EXPECT_LT(nv, 0.009 * energy);
  EXPECT_LT(e4m3, 0.0008 * energy);
}

TEST(RowEncoder, E4m3IsRoundedToNearest) {
  for (int code = 0; code < 256; ++code) {
    if ((code & 127) == 127) continue;
    const auto byte = static_cast<std::uint8_t>(code);
    const float value = e4m3_to_float(byte);
    EXPECT_EQ(to_e4m3(value), byte);
    if ((code & 127) == 126) continue;
    const float middle = (value + e4m3_to_float(static_cast<std::uint8_t>(code + 1))) / 2;
    EXPECT_EQ(to_e4m3(middle), code % 2 == 0 ? code : code + 1) << code;
  }
  EXPECT_EQ(to_e4m3(1e9F), 0x7e);
  EXPECT_EQ(to_e4m3(-449.0F), 0xfe);
}

TEST(RowEncoder, GroupsMustDivideRows) {
  EXPECT_TRUE(contains(message_of([] { const RowEncoder e(WeightFormat::int4, 24); }),
                       "int4: has a scale every 32 columns: expected rows that are a multiple of "
                       "32 long, found 24"));
  EXPECT_TRUE(contains(message_of([] { const RowEncoder e(WeightFormat::nvfp4, 24); }), "nvfp4"));
  EXPECT_EQ(message_of([] { const RowEncoder e(WeightFormat::int8, 24); }), "no error");
}

}  // namespace
}  // namespace zaya
