#include "eval/report.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace zaya::eval {
namespace {

Json estimate_json(const Estimate& e) {
  return {{"mean", e.mean}, {"low", e.low}, {"high", e.high}};
}

Estimate estimate_from(const JsonView& view) {
  return {view.number("mean"), view.number("low"), view.number("high")};
}

std::string percent(const Estimate& e) {
  return fmt::format("{:.1f} ({:.1f} to {:.1f})", 100 * e.mean, 100 * e.low, 100 * e.high);
}

std::string escaped(const std::string& text, bool table) {
  std::string out;
  for (const char c : text) {
    if (table && (c == '|' || c == '\n')) {
      out += c == '|' ? "\\|" : " ";
    } else if (!table && c == '<') {
      out += "&lt;";
    } else if (!table && c == '&') {
      out += "&amp;";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

Json to_json(const Summary& s) {
  Json json = {{"problems", s.problems},
               {"candidates", s.candidates},
               {"average", estimate_json(s.average)},
               {"majority", estimate_json(s.majority)},
               {"chosen", estimate_json(s.chosen)},
               {"pass", Json::array()},
               {"tokens_per_problem", s.tokens}};
  for (const auto& [k, value] : s.pass) {
    Json one = {{"k", k}};
    one.update(estimate_json(value));
    json["pass"].push_back(std::move(one));
  }
  return json;
}

Summary summary_from_json(const Json& json, const std::string& where) {
  const JsonView view(json, where);
  Summary s;
  s.problems = static_cast<std::size_t>(view.integer("problems", 0, std::int64_t{1} << 40));
  s.candidates = static_cast<std::size_t>(view.integer("candidates", 0, std::int64_t{1} << 40));
  s.average = estimate_from(view.object("average"));
  s.majority = estimate_from(view.object("majority"));
  s.chosen = estimate_from(view.object("chosen"));
  for (const Json& one : view.at("pass")) {
    const JsonView pass(one, where + ": pass");
    s.pass.emplace_back(pass.integer("k", 1, 1 << 30), estimate_from(pass));
  }
  s.tokens = view.number("tokens_per_problem");
  return s;
}

std::string markdown(const std::vector<Report>& reports) {
  std::string out =
      "| run | problems | k | avg@k | maj@k | chosen | pass@k | tokens a problem |\n"
      "|---|---|---|---|---|---|---|---|\n";
  for (const Report& r : reports) {
    const Summary& s = r.summary;
    out += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {:.0f} |\n", escaped(r.name, true),
                       s.problems, s.candidates, percent(s.average), percent(s.majority),
                       percent(s.chosen), s.pass.empty() ? "" : percent(s.pass.back().second),
                       s.tokens);
  }
  return out + "\nPercent, with 95 % confidence intervals over problems.\n";
}

std::string svg(const std::vector<Report>& reports) {
  constexpr double kWidth = 640, kHeight = 400, kLeft = 60, kRight = 20, kTop = 20, kBottom = 50;
  double least = 1e300;
  double most = 0;
  for (const Report& r : reports) {
    least = std::min(least, std::max(1.0, r.summary.tokens));
    most = std::max(most, std::max(1.0, r.summary.tokens));
  }
  // Whole decades around them.
  const double from = reports.empty() ? 0 : std::floor(std::log10(least));
  const double to = reports.empty() ? 1 : std::max(from + 1, std::ceil(std::log10(most)));
  const auto x = [&](double tokens) {
    return kLeft +
           (kWidth - kLeft - kRight) * (std::log10(std::max(1.0, tokens)) - from) / (to - from);
  };
  const auto y = [&](double accuracy) {
    return kTop + (kHeight - kTop - kBottom) * (1 - accuracy);
  };
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
      kWidth, kHeight);
  for (int i = 0; i <= 5; ++i) {
    out += fmt::format(
        "<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/>"
        "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{} %</text>\n",
        kLeft, kWidth - kRight, y(i / 5.0), y(i / 5.0), kLeft - 6, y(i / 5.0) + 4, 20 * i);
  }
  for (double d = from; d <= to; ++d) {
    const double at = x(std::pow(10.0, d));
    out += fmt::format(
        "<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\" stroke=\"#ddd\"/>"
        "<text x=\"{0:.1f}\" y=\"{3:.1f}\" text-anchor=\"middle\">10<tspan dy=\"-5\" "
        "font-size=\"9\">{4:.0f}</tspan></text>\n",
        at, kTop, kHeight - kBottom, kHeight - kBottom + 18, d);
  }
  out += fmt::format(
      "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">generated tokens a problem</text>\n",
      (kLeft + kWidth - kRight) / 2, kHeight - 10);
  static const char* colors[] = {"#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf"};
  std::size_t number = 0;
  for (const Report& r : reports) {
    const char* color = colors[number++ % std::size(colors)];
    const Estimate& e = r.summary.average;
    const double at = x(r.summary.tokens);
    const bool left = at > kWidth * 0.7;
    out += fmt::format(
        "<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\" stroke=\"{3}\"/>"
        "<circle cx=\"{0:.1f}\" cy=\"{4:.1f}\" r=\"4\" fill=\"{3}\"/>"
        "<text x=\"{5:.1f}\" y=\"{6:.1f}\" fill=\"{3}\" text-anchor=\"{7}\">{8}</text>\n",
        at, y(e.low), y(e.high), color, y(e.mean), left ? at - 8 : at + 8, y(e.mean) + 4,
        left ? "end" : "start", escaped(r.name, false));
  }
  return out + "</svg>\n";
}

}  // namespace zaya::eval
