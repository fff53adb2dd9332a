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

plot::Plot accuracy_plot(const std::vector<Report>& reports) {
  plot::Plot out{.title = "",
                 .x = {.label = "generated tokens a problem", .logarithmic = true},
                 .y = {.label = "accuracy", .percent = true, .include = {0, 1}},
                 .series = {}};
  for (const Report& r : reports) {
    const Estimate& e = r.summary.chosen;
    out.series.push_back(
        {.name = r.name, .points = {{r.summary.tokens, e.mean, e.low, e.high}}, .line = false});
  }
  return out;
}

}  // namespace zaya::eval
