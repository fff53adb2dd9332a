#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace zaya::plot {

struct Point {
  double x = 0;
  double y = 0;
  /// Ends of the error bar; equal: none.
  double low = 0;
  double high = 0;
};

struct Series {
  std::string name;  ///< in the legend
  std::vector<Point> points;
  bool line = true;  ///< joins the points in their order
  bool marks = false;
};

struct Axis {
  std::string label;
  bool logarithmic = false;  ///< what is not above 0 is left out
  bool percent = false;      ///< 1 is 100 %
  /// Values that must be in the picture, beside those of the points.
  std::vector<double> include = {};
};

struct Plot {
  std::string title;
  Axis x;
  Axis y;
  std::vector<Series> series;
};

/// Writes a picture of 720 x 440 to a file, by its extension .svg or .png (there with twice as many
/// pixels a side). Points that are no finite numbers are left out. Throws Error for another
/// extension, and when the file cannot be written.
void write(const Plot& plot, const std::filesystem::path& file);

/// Round values in [from, to] to mark an axis with: about `count`, or whole powers of ten (and 2
/// and 5 times such, where there are few) on a logarithmic axis.
std::vector<double> ticks(double from, double to, bool logarithmic, std::size_t count);

}  // namespace zaya::plot
