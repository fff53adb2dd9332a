#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "cli/command.h"
#include "plot/plot.h"
#include "zaya/error.h"

namespace zaya::cli {
namespace {

struct Options {
  std::vector<std::string> files;
  std::vector<std::string> names;
  std::string x = "step";
  std::string y = "loss";
  bool log_x = false;
  bool log_y = false;
  std::size_t smooth = 1;
  std::string title;
  std::string out;
};

/// A number, or the mean of a list of numbers; none where the line lacks it.
std::optional<double> value_of(const Json& line, const std::string& field,
                               const std::string& where) {
  if (!line.is_object() || !line.contains(field)) return std::nullopt;
  const Json& value = line.at(field);
  if (value.is_number()) return value.get<double>();
  double sum = 0;
  for (const Json& item : value.is_array() ? value : Json::array({nullptr})) {
    if (!item.is_number()) {
      throw Error({.where = where,
                   .what = "cannot draw " + field,
                   .expected = "a number or a list of numbers"});
    }
    sum += item.get<double>();
  }
  return value.empty() ? 0 : sum / static_cast<double>(value.size());
}

/// Means of `n` points that lie side by side.
void smooth(std::vector<plot::Point>& points, std::size_t n) {
  std::vector<plot::Point> out;
  for (std::size_t i = 0; i < points.size(); i += n) {
    const std::size_t end = std::min(points.size(), i + n);
    plot::Point mean;
    for (std::size_t j = i; j < end; ++j) {
      mean.x += points[j].x / static_cast<double>(end - i);
      mean.y += points[j].y / static_cast<double>(end - i);
    }
    out.push_back(mean);
  }
  points = std::move(out);
}

plot::Series read_series(const std::string& file, const std::string& name, const Options& options) {
  plot::Series series{.name = name, .points = {}};
  const std::string text = read_file(file);
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    const std::string where = file + ":" + std::to_string(++number);
    if (line.empty()) continue;
    const Json json = parse_json(line, where);
    const auto x = value_of(json, options.x, where);
    const auto y = value_of(json, options.y, where);
    if (x && y) series.points.push_back({*x, *y});
  }
  if (series.points.empty()) {
    throw Error({.where = file, .what = "no line has both " + options.x + " and " + options.y});
  }
  smooth(series.points, options.smooth);
  series.marks = series.points.size() <= 30;
  return series;
}

void run(const Options& options) {
  plot::Plot plot{.title = options.title,
                  .x = {.label = options.x, .logarithmic = options.log_x},
                  .y = {.label = options.y, .logarithmic = options.log_y},
                  .series = {}};
  for (std::size_t i = 0; i < options.files.size(); ++i) {
    const std::filesystem::path file = std::filesystem::absolute(options.files[i]);
    const std::string name =
        i < options.names.size() ? options.names[i] : file.parent_path().filename().string();
    plot.series.push_back(read_series(options.files[i], name, options));
  }
  plot::write(plot, options.out);
}

}  // namespace

void add_plot(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "plot", "Draw one field of JSON lines over another: the log of a training run, for one");
  command
      ->add_option("files", options->files, "JSON lines, a curve each: OUT/log.jsonl of zaya train")
      ->required()
      ->type_name("FILE");
  command->add_option("--x", options->x, "Field that goes to the right")->capture_default_str();
  command
      ->add_option("--y", options->y,
                   "Field that goes up; of a list (load_entropy) its mean is drawn")
      ->capture_default_str();
  command->add_flag("--log-x", options->log_x, "Logarithmic axis to the right");
  command->add_flag("--log-y", options->log_y, "Logarithmic axis upwards");
  command->add_option("--smooth", options->smooth, "Draw the means of so many lines")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command->add_option("--name", options->names,
                      "Name of the next curve (default: its folder's). May be repeated");
  command->add_option("--title", options->title, "Above the picture");
  command->add_option("-o,--out", options->out, "Picture to write: .svg or .png")->required();
  command->callback([options] { run(*options); });
}

}  // namespace zaya::cli
