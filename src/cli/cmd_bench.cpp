#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/process.h"
#include "checkpoint/hub.h"
#include "cli/bench_report.h"
#include "cli/command.h"
#include "cli/long_job.h"
#include "cli/model_options.h"

namespace zaya::cli {
namespace {

struct Options {
  std::string model;
  std::vector<int> threads;
  std::size_t probe_bytes = RooflineProbe::kDefaultBytes;
  bool beside_busy = false;
  bool json = false;
  BenchOptions bench;
  ModelOptions run;
};

/// What is not asked for is not measured; when nothing is, one line of each.
void fill_in(BenchOptions& options, bool decode_asked) {
  if (options.prompts.empty() && !decode_asked) {
    options.prompts = {512};
    decode_asked = true;
  }
  if (options.depths.empty() && decode_asked) options.depths = {128};
  if (options.batches.empty()) options.batches = {1};
}

BenchRun measure(const Options& options, int threads, const RooflineProbe& probe, BusyProcess* busy,
                 BenchReport& report) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  const auto checkpoint =
      std::make_shared<const Checkpoint>(Checkpoint::open(resolve_model_folder(options.model)));
  report.file_bytes = checkpoint->bytes();
  RunnerOptions runner_options = options.run.runner_options();
  runner_options.threads = threads;
  Runner runner(checkpoint, runner_options);
  BenchRun run{.threads = runner.threads(), .load_seconds = elapsed()};
  run_long_job("bench", Unit::tokens, [&](const Progress& progress) {
    // Made first: lengths that cannot be are refused before anything is run.
    Bench bench(runner, probe, options.bench, busy, progress);
    Sequence sequence = runner.new_sequence();
    runner.feed(sequence, std::vector<TokenId>(BenchRun::kFirstPrompt, runner.config().bos));
    run.first_token_seconds = elapsed();
    run.lines = bench.run();
  });
  return run;
}

void bench(const Options& options) {
  const ProcessorTime begin = processor_time();
  BenchReport report{.model = options.model,
                     .compute = options.run.compute,
                     .isa = std::string(isa_name(selected_isa()))};
  // Before any thread is started and any weight is loaded.
  std::optional<BusyProcess> busy;
  if (options.beside_busy) busy.emplace();
  const RooflineProbe probe(options.probe_bytes);
  for (const int threads : options.threads) {
    report.runs.push_back(measure(options, threads, probe, busy ? &*busy : nullptr, report));
  }
  report.peak_memory_bytes = peak_memory_bytes();
  report.peak_memory_bytes -= std::min<std::uint64_t>(report.peak_memory_bytes, probe.bytes());
  report.stolen = stolen_share(begin, processor_time());
  if (options.json) {
    fmt::print("{}\n", bench_json(report));
  } else {
    fmt::print("{}", bench_table(report));
  }
}

template <class T>
CLI::Option* add_list(CLI::App& command, const std::string& name, std::vector<T>& values, T least,
                      T most, const std::string& text) {
  // One word, so that a list before the model does not swallow it.
  return command.add_option(name, values, text)
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(least, most))
      ->type_name("N,N,...");
}

}  // namespace

void add_bench(CLI::App& app) {
  auto options = std::make_shared<Options>();
  BenchOptions& bench_options = options->bench;
  CLI::App* command = app.add_subcommand(
      "bench", "Measure speed, and how far it is from what this machine can do at most");
  command->add_option("model", options->model, "Checkpoint folder, or hub id in the local cache")
      ->required();
  constexpr std::size_t kMostTokens = std::size_t{1} << 24;
  add_list<std::size_t>(*command, "--prompt", bench_options.prompts, 1, kMostTokens,
                        "Lengths of prompts to read");
  CLI::Option* decode =
      command->add_option("--decode", bench_options.decode, "Tokens to decode in each repeat")
          ->check(CLI::Range(std::size_t{1}, kMostTokens))
          ->default_val(32);
  CLI::Option* depth = add_list<std::size_t>(*command, "--depth", bench_options.depths, 0,
                                             kMostTokens, "Lengths of context to decode after");
  CLI::Option* batch = add_list<std::size_t>(*command, "--batch", bench_options.batches, 1, 4096,
                                             "Numbers of sequences to decode side by side");
  add_list(*command, "--threads", options->threads, 1, 1024,
           "Numbers of threads (default: every core this process may use)");
  command->add_option("--repeat", bench_options.repeat, "Repeats of each line")
      ->check(CLI::Range(1, 1000))
      ->default_val(5);
  command->add_flag("--fill-cache", bench_options.fill_cache,
                    "Fill contexts with random K and V in place of reading tokens; the speed is "
                    "the same");
  command->add_flag("--beside-busy", options->beside_busy,
                    "Decode also beside a process that keeps one of the cores busy");
  command
      ->add_option("--probe-size", options->probe_bytes,
                   "Memory to measure its speed with; far above the last-level cache")
      ->transform(CLI::AsSizeValue(false).description(""))
      ->check(CLI::Range(std::size_t{1} << 20, std::size_t{1} << 40).description(""))
      ->type_name("SIZE")
      ->default_str("1GB");
  options->run.add_numerics_to(*command, "fast");
  options->run.add_head_to(*command);
  options->run.add_kv_to(*command);
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "Lists are separated by commas. Without --prompt, --decode, --depth and --batch: "
      "--prompt 512 --depth 128.");
  command->callback([=] {
    fill_in(options->bench, decode->count() + depth->count() + batch->count() > 0);
    if (options->threads.empty()) options->threads = {0};
    bench(*options);
  });
}

}  // namespace zaya::cli
