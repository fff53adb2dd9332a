#include "cli/bench_report.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include <fmt/format.h>

#include "base/json.h"
#include "cli/long_job.h"

namespace zaya::cli {
namespace {

constexpr const char* kLegend = R"(
Figures right of the median are of the best repeat. "at most": tokens/s if every weight and the
KV cache were read once a step (once a prompt) at "read GB/s", or if every product ran at the peak
of its unit, whichever is slower ("bound"): 4-bit weights meet inputs of 8 bits, 8-bit weights
inputs of 16. "stolen": processor time that the hypervisor gave to others meanwhile.
)";

bool is_prompt(const BenchLine& line) {
  return line.kind == BenchLine::Kind::prompt;
}

double rate(const BenchLine& line, double seconds) {
  return static_cast<double>(line.tokens) / seconds;
}

/// A few digits, however large.
std::string number(double value) {
  const int digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}", value, digits);
}

using Row = std::vector<std::string>;

Row header(bool busy) {
  Row row{"test",    "threads", "batch",   "tok/s median", "best",      "GB/s",
          "TFLOP/s", "bound",   "at most", "reached",      "read GB/s", "stolen"};
  if (busy) row.insert(row.end(), {"beside busy", "slower"});
  return row;
}

Row row_of(const BenchLine& line, int threads, bool busy) {
  const double best = line.best_seconds;
  Row row{fmt::format("{} {}", is_prompt(line) ? "prompt" : "decode at", line.context),
          std::to_string(threads),
          std::to_string(line.batch),
          number(rate(line, line.median_seconds)),
          number(rate(line, best)),
          number(line.cost.bytes() / best / 1e9),
          number(line.cost.operations() / best / 1e12),
          line.cost.memory_bound(line.roofline) ? "memory" : "compute",
          number(rate(line, line.least_seconds())),
          fmt::format("{:.1f} %", 100 * line.least_seconds() / best),
          number(line.roofline.read / 1e9),
          fmt::format("{:.1f} %", 100 * line.stolen)};
  if (busy && line.busy_seconds) {
    row.push_back(number(rate(line, *line.busy_seconds)));
    row.push_back(fmt::format("{:.2f} x", *line.busy_seconds / line.median_seconds));
  } else if (busy) {
    row.insert(row.end(), {"", ""});
  }
  return row;
}

/// The first column to the left, the others to the right, two spaces apart.
std::string aligned(const std::vector<Row>& rows) {
  std::vector<std::size_t> width(rows.front().size());
  for (const Row& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], row[c].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string out = fmt::format("{:<{}}", row[0], width[0]);
    for (std::size_t c = 1; c < row.size(); ++c) out += fmt::format("  {:>{}}", row[c], width[c]);
    out.erase(out.find_last_not_of(' ') + 1);
    text += out + "\n";
  }
  return text;
}

Json json_of(const Roofline& r) {
  return {{"read_bytes_per_second", r.read},
          {"f32_operations_per_second", r.f32},
          {"bf16_operations_per_second", r.bf16},
          {"int8_operations_per_second", r.int8},
          {"int16_operations_per_second", r.int16}};
}

Json json_of(const BenchLine& line, int threads) {
  Json json{{"test", is_prompt(line) ? "prompt" : "decode"},
            {"threads", threads},
            {"batch", line.batch},
            {"context", line.context},
            {"tokens", line.tokens},
            {"tokens_per_second_median", rate(line, line.median_seconds)},
            {"tokens_per_second_best", rate(line, line.best_seconds)},
            {"weight_bytes", line.cost.weight_bytes},
            {"state_bytes", line.cost.state_bytes},
            {"operations", line.cost.operations()},
            {"bytes_per_second", line.cost.bytes() / line.best_seconds},
            {"operations_per_second", line.cost.operations() / line.best_seconds},
            {"bound", line.cost.memory_bound(line.roofline) ? "memory" : "compute"},
            {"tokens_per_second_at_most", rate(line, line.least_seconds())},
            {"share_of_roofline_median", line.least_seconds() / line.median_seconds},
            {"share_of_roofline_best", line.least_seconds() / line.best_seconds},
            {"roofline", json_of(line.roofline)},
            {"stolen_share", line.stolen}};
  if (line.busy_seconds) {
    json["tokens_per_second_beside_busy"] = rate(line, *line.busy_seconds);
    json["times_slower_beside_busy"] = *line.busy_seconds / line.median_seconds;
  }
  return json;
}

}  // namespace

std::string bench_table(const BenchReport& report) {
  std::string text =
      fmt::format("model        {}: {} of weights, compute {}\n", report.model,
                  bytes_text(static_cast<double>(report.file_bytes)), report.compute);
  std::vector<Row> rows;
  bool busy = false;
  for (const BenchRun& run : report.runs) {
    for (const BenchLine& line : run.lines) busy = busy || line.busy_seconds;
  }
  rows.push_back(header(busy));
  for (const BenchRun& run : report.runs) {
    Roofline best;
    for (const BenchLine& line : run.lines) {
      best = higher(best, line.roofline);
      rows.push_back(row_of(line, run.threads, busy));
    }
    text += fmt::format("{:<13}read {} GB/s; fp32 {}, bf16 {}, int8 {}, int16 {} TFLOP/s ({})\n",
                        fmt::format("{} thread{}", run.threads, run.threads == 1 ? "" : "s"),
                        number(best.read / 1e9), number(best.f32 / 1e12), number(best.bf16 / 1e12),
                        number(best.int8 / 1e12), number(best.int16 / 1e12), report.isa);
    text += fmt::format("             ready after {:.2f} s, {} tokens read after {:.2f} s\n",
                        run.load_seconds, BenchRun::kFirstPrompt, run.first_token_seconds);
  }
  text +=
      fmt::format("peak memory  {}\n", bytes_text(static_cast<double>(report.peak_memory_bytes)));
  text +=
      fmt::format("stolen       {:.1f} % of processor time over the run\n\n", 100 * report.stolen);
  return text + aligned(rows) + kLegend;
}

std::string bench_json(const BenchReport& report) {
  Json json{{"model", report.model},
            {"compute", report.compute},
            {"isa", report.isa},
            {"file_bytes", report.file_bytes},
            {"peak_memory_bytes", report.peak_memory_bytes},
            {"stolen_share", report.stolen},
            {"loads", Json::array()},
            {"lines", Json::array()}};
  for (const BenchRun& run : report.runs) {
    json["loads"].push_back({{"threads", run.threads},
                             {"load_seconds", run.load_seconds},
                             {"first_token_seconds", run.first_token_seconds}});
    for (const BenchLine& line : run.lines) json["lines"].push_back(json_of(line, run.threads));
  }
  return json.dump();
}

}  // namespace zaya::cli
