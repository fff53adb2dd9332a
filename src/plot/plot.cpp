#include "plot/plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include <cairo-svg.h>
#include <cairo.h>
#include <fmt/format.h>

#include "base/file.h"
#include "zaya/error.h"

namespace zaya::plot {
namespace {

constexpr double kWidth = 720;
constexpr double kHeight = 440;
constexpr double kLeft = 72;
constexpr double kRight = 20;
constexpr double kTop = 36;
constexpr double kBottom = 52;
constexpr double kSize = 12;  // of the text

struct Color {
  double r, g, b;
};
// Apart for most kinds of colour blindness: Okabe and Ito 2008.
constexpr std::array<Color, 7> kColors{{{0, .45, .70},
                                        {.84, .37, 0},
                                        {0, .62, .45},
                                        {.80, .47, .65},
                                        {.90, .62, 0},
                                        {.34, .71, .91},
                                        {0, 0, 0}}};

using Context = std::unique_ptr<cairo_t, decltype(&cairo_destroy)>;
using Surface = std::unique_ptr<cairo_surface_t, decltype(&cairo_surface_destroy)>;

/// Where values lie along one axis.
class Scale {
 public:
  Scale(const Axis& axis, double begin, double end)
      : axis_(axis), begin_(begin), end_(end), from_(0), to_(0) {}

  bool shows(double value) const {
    return std::isfinite(value) && (!axis_.logarithmic || value > 0);
  }
  void include(double value) {
    if (!shows(value)) return;
    from_ = empty_ ? value : std::min(from_, value);
    to_ = empty_ ? value : std::max(to_, value);
    empty_ = false;
  }
  /// After the last include(): makes room at both ends, to whole ticks.
  void close() {
    if (empty_) {
      from_ = axis_.logarithmic ? 1 : 0;
      to_ = axis_.logarithmic ? 10 : 1;
    }
    if (axis_.logarithmic) {
      if (from_ == to_) {
        from_ /= 2;
        to_ *= 2;
      }
      const double room = std::pow(to_ / from_, 0.03);
      from_ /= room;
      to_ *= room;
    } else {
      if (from_ == to_) to_ = from_ + std::max(1.0, std::abs(from_));
      const std::vector<double> marks = ticks(from_, to_, false, 6);
      const double step = marks.size() > 1 ? marks[1] - marks[0] : to_ - from_;
      from_ = std::floor(from_ / step + 1e-9) * step;
      to_ = std::ceil(to_ / step - 1e-9) * step;
    }
  }
  double at(double value) const {
    const double share = axis_.logarithmic ? std::log(value / from_) / std::log(to_ / from_)
                                           : (value - from_) / (to_ - from_);
    return begin_ + share * (end_ - begin_);
  }
  std::vector<double> marks() const { return ticks(from_, to_, axis_.logarithmic, 6); }
  std::string text(double value) const {
    if (axis_.percent) return fmt::format("{:.4g} %", 100 * value);
    if (std::abs(value) >= 1e6) return fmt::format("{:.4g}M", value / 1e6);
    if (std::abs(value) >= 1e4) return fmt::format("{:.4g}k", value / 1e3);
    return fmt::format("{:.4g}", std::abs(value) < 1e-12 ? 0.0 : value);
  }

 private:
  const Axis& axis_;
  double begin_;  // of the picture
  double end_;
  double from_;  // of the values
  double to_;
  bool empty_ = true;
};

/// The pen of curve i. Colours come again after the last, in dashes.
void set_pen(cairo_t* c, std::size_t i) {
  const Color& color = kColors[i % kColors.size()];
  const double dash = 4.0 * static_cast<double>(i / kColors.size());
  cairo_set_source_rgb(c, color.r, color.g, color.b);
  cairo_set_line_width(c, 1.6);
  cairo_set_dash(c, &dash, dash > 0 ? 1 : 0, 0);
}

void draw_line(cairo_t* c, double x1, double y1, double x2, double y2) {
  cairo_move_to(c, x1, y1);
  cairo_line_to(c, x2, y2);
  cairo_stroke(c);
}

/// `align`: 0 begins at x, 0.5 is centred, 1 ends there.
double draw_text(cairo_t* c, const std::string& text, double x, double y, double align) {
  cairo_text_extents_t size;
  cairo_text_extents(c, text.c_str(), &size);
  cairo_move_to(c, x - align * size.x_advance, y);
  cairo_show_text(c, text.c_str());
  return size.x_advance;
}

void draw_axes(cairo_t* c, const Plot& plot, const Scale& x, const Scale& y) {
  constexpr Color kGrid{.88, .88, .88};
  cairo_set_line_width(c, 1);
  for (const double value : x.marks()) {
    cairo_set_source_rgb(c, kGrid.r, kGrid.g, kGrid.b);
    draw_line(c, x.at(value), kTop, x.at(value), kHeight - kBottom);
    cairo_set_source_rgb(c, 0, 0, 0);
    draw_text(c, x.text(value), x.at(value), kHeight - kBottom + 17, 0.5);
  }
  for (const double value : y.marks()) {
    cairo_set_source_rgb(c, kGrid.r, kGrid.g, kGrid.b);
    draw_line(c, kLeft, y.at(value), kWidth - kRight, y.at(value));
    cairo_set_source_rgb(c, 0, 0, 0);
    draw_text(c, y.text(value), kLeft - 7, y.at(value) + 4, 1);
  }
  draw_line(c, kLeft, kHeight - kBottom, kWidth - kRight, kHeight - kBottom);
  draw_line(c, kLeft, kTop, kLeft, kHeight - kBottom);
  draw_text(c, plot.x.label, (kLeft + kWidth - kRight) / 2, kHeight - 12, 0.5);
  cairo_save(c);
  cairo_translate(c, 16, (kTop + kHeight - kBottom) / 2);
  cairo_rotate(c, -M_PI / 2);
  draw_text(c, plot.y.label, 0, 0, 0.5);
  cairo_restore(c);
  cairo_set_font_size(c, kSize + 2);
  draw_text(c, plot.title, (kLeft + kWidth - kRight) / 2, 22, 0.5);
  cairo_set_font_size(c, kSize);
}

void draw_series(cairo_t* c, const Series& series, const Scale& x, const Scale& y) {
  bool pen_down = false;
  for (const Point& p : series.points) {
    if (!x.shows(p.x) || !y.shows(p.y)) continue;
    (series.line && pen_down ? cairo_line_to : cairo_move_to)(c, x.at(p.x), y.at(p.y));
    pen_down = true;
  }
  cairo_stroke(c);
  for (const Point& p : series.points) {
    if (!x.shows(p.x) || !y.shows(p.y)) continue;
    if (p.low != p.high && y.shows(p.low) && y.shows(p.high)) {
      draw_line(c, x.at(p.x), y.at(p.low), x.at(p.x), y.at(p.high));
    }
    if (series.marks || !series.line) {
      cairo_arc(c, x.at(p.x), y.at(p.y), 3.5, 0, 2 * M_PI);
      cairo_fill(c);
    }
  }
}

/// Where fewest points are: one of the four corners.
void draw_legend(cairo_t* c, const Plot& plot, const Scale& x, const Scale& y) {
  constexpr double kRow = 16;
  double width = 0;
  for (const Series& s : plot.series) {
    cairo_text_extents_t size;
    cairo_text_extents(c, s.name.c_str(), &size);
    width = std::max(width, size.x_advance + 38);
  }
  const double height = kRow * static_cast<double>(plot.series.size()) + 8;
  struct Place {
    double x, y;
    std::size_t hidden;
  };
  const double right = kWidth - kRight - width - 8;
  const double left = kLeft + 8;
  const double top = kTop + 6;
  const double bottom = kHeight - kBottom - height - 6;
  const double middle = (top + bottom) / 2;
  std::array<Place, 6> places{{{right, top, 0},
                               {left, top, 0},
                               {right, bottom, 0},
                               {left, bottom, 0},
                               {right, middle, 0},
                               {left, middle, 0}}};
  for (Place& place : places) {
    for (const Series& s : plot.series) {
      for (const Point& p : s.points) {
        if (!x.shows(p.x) || !y.shows(p.y)) continue;
        const double px = x.at(p.x);
        const double py = y.at(p.y);
        place.hidden += px > place.x - 4 && px < place.x + width + 4 && py > place.y - 4 &&
                        py < place.y + height + 4;
      }
    }
  }
  const Place best =
      *std::min_element(places.begin(), places.end(),
                        [](const Place& a, const Place& b) { return a.hidden < b.hidden; });
  cairo_set_source_rgba(c, 1, 1, 1, 0.85);
  cairo_rectangle(c, best.x, best.y, width, height);
  cairo_fill(c);
  double row = best.y + kRow;
  for (std::size_t i = 0; i < plot.series.size(); ++i) {
    set_pen(c, i);
    if (plot.series[i].line) draw_line(c, best.x + 6, row - 4, best.x + 26, row - 4);
    if (plot.series[i].marks || !plot.series[i].line) {
      cairo_arc(c, best.x + 16, row - 4, 3.5, 0, 2 * M_PI);
      cairo_fill(c);
    }
    cairo_set_source_rgb(c, 0, 0, 0);
    draw_text(c, plot.series[i].name, best.x + 32, row, 0);
    row += kRow;
  }
}

void draw(cairo_t* c, const Plot& plot) {
  Scale x(plot.x, kLeft, kWidth - kRight);
  Scale y(plot.y, kHeight - kBottom, kTop);
  for (const double value : plot.x.include) x.include(value);
  for (const double value : plot.y.include) y.include(value);
  for (const Series& s : plot.series) {
    for (const Point& p : s.points) {
      if (!x.shows(p.x) || !y.shows(p.y)) continue;
      x.include(p.x);
      y.include(p.y);
      if (p.low == p.high) continue;
      y.include(p.low);
      y.include(p.high);
    }
  }
  x.close();
  y.close();
  cairo_set_source_rgb(c, 1, 1, 1);
  cairo_paint(c);
  cairo_select_font_face(c, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size(c, kSize);
  draw_axes(c, plot, x, y);
  for (std::size_t i = 0; i < plot.series.size(); ++i) {
    set_pen(c, i);
    draw_series(c, plot.series[i], x, y);
  }
  if (!plot.series.empty()) draw_legend(c, plot, x, y);
}

cairo_status_t append(void* out, const unsigned char* data, unsigned int size) {
  static_cast<std::string*>(out)->append(reinterpret_cast<const char*>(data), size);
  return CAIRO_STATUS_SUCCESS;
}

}  // namespace

std::vector<double> ticks(double from, double to, bool logarithmic, std::size_t count) {
  std::vector<double> out;
  if (!(from <= to) || !std::isfinite(from) || !std::isfinite(to)) return out;
  if (logarithmic) {
    const auto add = [&](std::initializer_list<double> multiples) {
      out.clear();
      for (double d = std::floor(std::log10(from)); d <= std::ceil(std::log10(to)); ++d) {
        for (const double m : multiples) {
          const double value = m * std::pow(10.0, d);
          if (value >= from * (1 - 1e-9) && value <= to * (1 + 1e-9)) out.push_back(value);
        }
      }
    };
    add({1});
    if (out.size() < 3) add({1, 2, 5});
    return out;
  }
  const double raw = (to - from) / static_cast<double>(std::max<std::size_t>(1, count));
  if (raw <= 0) return {from};
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  const double m = raw / power * (1 - 1e-9);  // a whole step stays one
  const double step = power * (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10);
  for (double i = std::ceil(from / step - 1e-9); i * step <= to + 1e-9 * step; ++i) {
    out.push_back(i * step);
  }
  return out;
}

void write(const Plot& plot, const std::filesystem::path& file) {
  std::string bytes;
  cairo_status_t status = CAIRO_STATUS_SUCCESS;
  if (file.extension() == ".svg") {
    const Surface surface(cairo_svg_surface_create_for_stream(append, &bytes, kWidth, kHeight),
                          cairo_surface_destroy);
    const Context context(cairo_create(surface.get()), cairo_destroy);
    draw(context.get(), plot);
    cairo_surface_finish(surface.get());
    status = cairo_surface_status(surface.get());
  } else if (file.extension() == ".png") {
    constexpr double kScale = 2;
    const Surface surface(
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(kScale * kWidth),
                                   static_cast<int>(kScale * kHeight)),
        cairo_surface_destroy);
    const Context context(cairo_create(surface.get()), cairo_destroy);
    cairo_scale(context.get(), kScale, kScale);
    draw(context.get(), plot);
    status = cairo_surface_write_to_png_stream(surface.get(), append, &bytes);
  } else {
    throw Error({.where = file.string(),
                 .what = "is no picture that can be written",
                 .expected = "a name that ends in .svg or .png"});
  }
  if (status != CAIRO_STATUS_SUCCESS) {
    throw Error({.where = file.string(), .what = cairo_status_to_string(status)});
  }
  write_file(file, bytes);
}

}  // namespace zaya::plot
