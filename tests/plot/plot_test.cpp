#include "plot/plot.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include <gtest/gtest.h>

#include "base/file.h"
#include "zaya/error.h"

namespace zaya::plot {
namespace {

std::filesystem::path file(const char* name) {
  return std::filesystem::path(testing::TempDir()) / name;
}

TEST(Plot, TicksAreRound) {
  EXPECT_EQ(ticks(0, 10, false, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(ticks(-3, 8, false, 5), (std::vector<double>{0, 5}));
  EXPECT_EQ(ticks(5, 5000, true, 5), (std::vector<double>{10, 100, 1000}));
  EXPECT_EQ(ticks(15, 60, true, 5), (std::vector<double>{20, 50}));
  EXPECT_EQ(ticks(2, 2, false, 5), (std::vector<double>{2}));
  EXPECT_TRUE(ticks(0, std::numeric_limits<double>::infinity(), false, 5).empty());
}

TEST(Plot, WritesBothFormats) {
  const Plot plot{.title = "t",
                  .x = {.label = "x", .logarithmic = true},
                  .y = {.label = "y", .percent = true, .include = {0, 1}},
                  .series = {{.name = "<a> & b", .points = {{1, 0.5, 0.4, 0.6}, {100, 0.7}}},
                             {.name = "marks", .points = {{10, 0.2}}, .line = false}}};
  write(plot, file("plot.svg"));
  const std::string svg = read_file(file("plot.svg"));
  EXPECT_NE(svg.find("</svg>"), std::string::npos);
  write(plot, file("plot.png"));
  const std::string png = read_file(file("plot.png"));
  EXPECT_EQ(png.substr(1, 3), "PNG");
  // The points are drawn: without them the picture is another one.
  write({.title = "t", .x = plot.x, .y = plot.y, .series = {}}, file("empty.png"));
  EXPECT_NE(read_file(file("empty.png")), png);
}

TEST(Plot, ManyCurvesCanBeToldApart) {
  Plot plot{.title = "t", .x = {.label = "x"}, .y = {.label = "y"}, .series = {}};
  std::vector<std::string> pictures;
  for (int i = 0; i < 15; ++i) {
    plot.series.assign(static_cast<std::size_t>(i), Series{.name = "", .points = {}});
    plot.series.push_back(Series{.name = "", .points = {{0, 0}, {1, 1}}});
    write(plot, file("curve.svg"));
    const std::string svg = read_file(file("curve.svg"));
    const auto curve = svg.rfind("<path");  // of the legend: the colour and dashes of the last one
    pictures.push_back(svg.substr(curve, svg.find(" d=", curve) - curve));
  }
  std::sort(pictures.begin(), pictures.end());
  EXPECT_EQ(std::unique(pictures.begin(), pictures.end()), pictures.end());
}

TEST(Plot, TakesWhatIsThere) {
  const double nan = std::nan("");
  const double endless = std::numeric_limits<double>::infinity();
  for (const bool logarithmic : {false, true}) {
    const Axis axis{.label = "", .logarithmic = logarithmic};
    for (const std::vector<Point>& points : {std::vector<Point>{},
                                             {{nan, 1}},
                                             {{1, endless}},
                                             {{0, 0}},
                                             {{-1, -1}, {1, 1}},
                                             {{1e-300, 1e300}, {1e300, 1e-300}}}) {
      write({.title = "", .x = axis, .y = axis, .series = {{.name = "", .points = points}}},
            file("odd.svg"));
      EXPECT_EQ(read_file(file("odd.svg")).find("nan"), std::string::npos);
    }
  }
}

TEST(Plot, RefusesOtherFormats) {
  EXPECT_THROW(write({}, file("plot.jpg")), Error);
  EXPECT_THROW(write({}, file("no/folder/plot.svg")), Error);
}

}  // namespace
}  // namespace zaya::plot
