#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include <gtest/gtest.h>

#include "base/dtype.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "zaya/error.h"

namespace zaya {
namespace {

std::string message_of(const auto& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Error, IsOneLineWithPlaceExpectedAndFound) {
  const Error e({.where = "a.json", .what = "bad", .expected = "1", .found = "2"});
  EXPECT_STREQ(e.what(), "a.json: bad: expected 1, found 2");
  EXPECT_STREQ(Error({.where = "", .what = "bad", .found = "2"}).what(), "bad: found 2");
}

TEST(DType, Bf16RoundsToNearestEven) {
  EXPECT_EQ(to_bf16(1.0F).bits, 0x3f80);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3f808000U)).bits, 0x3f80);  // tie to even, down
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3f818000U)).bits, 0x3f82);  // tie to even, up
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3f808001U)).bits, 0x3f81);
  EXPECT_TRUE(std::isnan(to_float(to_bf16(std::nanf("")))));
  EXPECT_TRUE(std::isinf(to_float(to_bf16(std::numeric_limits<float>::max()))));
}

TEST(DType, HalfPrecisionValues) {
  EXPECT_EQ(f16_to_float(0x3c00), 1.0F);
  EXPECT_EQ(f16_to_float(0xc000), -2.0F);
  EXPECT_EQ(f16_to_float(0x0001), std::ldexp(1.0F, -24));
  EXPECT_EQ(f16_to_float(0x7bff), 65504.0F);
  EXPECT_TRUE(std::isinf(f16_to_float(0x7c00)));
  EXPECT_TRUE(std::isnan(f16_to_float(0x7e00)));
}

TEST(DType, NamesRoundTrip) {
  for (int i = 0; i <= static_cast<int>(DType::f8_e8m0); ++i) {
    DType back{};
    ASSERT_TRUE(parse_dtype(dtype_name(static_cast<DType>(i)), back));
    EXPECT_EQ(static_cast<int>(back), i);
  }
  DType unused{};
  EXPECT_FALSE(parse_dtype("F128", unused));
}

TEST(Json, ErrorsNamePlaceAndByte) {
  EXPECT_NE(message_of([] { parse_json("{\"a\": 1,}", "c.json"); }).find("c.json: byte 9"),
            std::string::npos);
  const std::string deep(100000, '[');
  EXPECT_NE(message_of([&] { parse_json(deep, "c.json"); }).find("nested too deeply"),
            std::string::npos);
}

TEST(Json, AZeroByteIsNoEnd) {
  EXPECT_NE(message_of([] { parse_json(std::string("{}\0{", 4), "c.json"); }).find("byte 3"),
            std::string::npos);
}

TEST(Json, ViewChecksTypesAndRanges) {
  const Json json = parse_json(
      R"({"n": 5, "big": 18446744073709551615, "s": "x", "f": 1.5, "none": null, "l": [1, 2]})",
      "c");
  const JsonView view(json, "c.json");
  EXPECT_EQ(view.integer("n", 0, 10), 5);
  EXPECT_EQ(view.integer("absent", 0, 10, 7), 7);
  EXPECT_EQ(view.integer("none", 0, 10, 7), 7);
  EXPECT_EQ(view.integers("l", 0, 5), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(message_of([&] { view.integer("n", 6, 10); }),
            "c.json: bad value for 'n': expected an integer from 6 to 10, found 5");
  EXPECT_NE(message_of([&] { view.integer("big", 0, INT64_MAX); }), "no error");
  EXPECT_NE(message_of([&] { view.integer("f", 0, 10); }), "no error");
  EXPECT_NE(message_of([&] { view.integer("s", 0, 10); }), "no error");
  EXPECT_EQ(message_of([&] { view.integer("gone", 0, 1); }), "c.json: key 'gone' is missing");
}

TEST(File, OutputIsAtomic) {
  const auto path = std::filesystem::temp_directory_path() / "zaya-output-test";
  write_file(path, "old");
  {
    OutputFile file(path);
    file.write("new");
    EXPECT_EQ(read_file(path), "old");
  }
  EXPECT_EQ(read_file(path), "old");  // never committed
  write_file(path, "new");
  EXPECT_EQ(read_file(path), "new");
  const MappedFile map(path);
  EXPECT_EQ(map.bytes().size(), 3U);
  std::filesystem::remove(path);
  EXPECT_NE(message_of([&] { read_file(path); }).find("cannot open"), std::string::npos);
}

TEST(Random, IsAFunctionOfSeedStreamAndCounter) {
  Random a(7, 3);
  a.next();
  const auto second = a.next();
  EXPECT_EQ(Random(7, 3, 1).next(), second);
  EXPECT_NE(Random(7, 4, 1).next(), second);
  EXPECT_NE(Random(8, 3, 1).next(), second);
  Random n(1);
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < 100000; ++i) {
    const double x = n.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / 1e5, 0, 0.02);
  EXPECT_NEAR(squares / 1e5, 1, 0.02);
}

}  // namespace
}  // namespace zaya
