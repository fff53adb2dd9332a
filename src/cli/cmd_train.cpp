#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <thread>

#include <fmt/format.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/long_job.h"
#include "compute/cpu.h"
#include "train/communicator.h"
#include "train/trainer.h"
#include "zaya/error.h"

namespace zaya::cli {
namespace {

/// "1h 02m", "3m 07s", "12s"
std::string time_text(double seconds) {
  const auto s = static_cast<long>(seconds);
  if (s >= 3600) return fmt::format("{}h {:02}m", s / 3600, s % 3600 / 60);
  if (s >= 60) return fmt::format("{}m {:02}s", s / 60, s % 60);
  return fmt::format("{}s", s);
}

/// One line a step: in its place on a terminal, every few seconds elsewhere.
class Lines {
 public:
  Lines(const train::Trainer& trainer, double flops, double peak)
      : steps_(trainer.config().steps), flops_(flops), peak_(peak) {}

  void show(const train::StepReport& r) {
    using namespace std::chrono_literals;
    const double speed = static_cast<double>(r.rows) / r.seconds;
    // A short memory: speeds change when others use the machine.
    seconds_ = seconds_ == 0 ? r.seconds : 0.9 * seconds_ + 0.1 * r.seconds;
    const double entropy = *std::min_element(r.load_entropy.begin(), r.load_entropy.end());
    std::string line = fmt::format(
        "step {:>{}}/{}  loss {:.4f}  rate {:.2e}  norm {:.2f}  balance {:.3f}  {:.0f} tokens/s  "
        "MFU "
        "{:.1f}%  {} left",
        r.step, std::to_string(steps_).size(), steps_, r.loss, r.rate, r.norm, entropy, speed,
        100 * speed * flops_ / peak_, time_text(seconds_ * static_cast<double>(steps_ - r.step)));
    if (r.evaluation) line += fmt::format("  held-out loss {:.4f}", *r.evaluation);
    const auto now = std::chrono::steady_clock::now();
    const bool important = r.evaluation || r.step == steps_;
    if (terminal_) {
      fmt::print(stderr, "\r\x1b[K{}{}", line, important ? "\n" : "");
      std::fflush(stderr);
    } else if (important || now - last_ >= 5s) {
      fmt::print(stderr, "{}\n", line);
      last_ = now;
    }
  }

 private:
  std::uint64_t steps_;
  double flops_;
  double peak_;
  double seconds_ = 0;
  bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  std::chrono::steady_clock::time_point last_{};
};

void run_training(const std::string& file, train::Communicator& ranks) {
  const StopSignals signals;
  const bool first = ranks.rank() == 0;
  ThreadPool pool(train::read_run_config(file).threads);
  const Isa isa = selected_isa();
  train::Trainer trainer(train::read_run_config(file), kernels_of(isa), pool, ranks);
  const train::RunConfig& config = trainer.config();
  double peak = train::matrix_peak(config.precision, isa, pool);
  ranks.sum({&peak, 1});
  const double flops = trainer.model().flops_per_token(config.context);
  if (first) {
    fmt::print(stderr,
               "{} parameters, {:.1f} Mflop a token; {}{} threads of {}, {:.0f} Gflop/s at most\n",
               train::arena_size(trainer.model().layout()), flops / 1e6,
               ranks.size() > 1 ? fmt::format("{} processes, here ", ranks.size()) : "",
               pool.threads(), isa_name(isa), peak / 1e9);
    if (trainer.loader().dropped() > 0) {
      fmt::print(stderr, "{} examples are not used: too long, or nothing to learn\n",
                 trainer.loader().dropped());
    }
    if (trainer.step() > 0) fmt::print(stderr, "going on after step {}\n", trainer.step());
  }
  Lines lines(trainer, flops, peak);
  const bool complete = trainer.run([&](const train::StepReport& r) {
    if (first) lines.show(r);
    return !signals.requested();
  });
  if (!complete) {
    throw Error({.where = file,
                 .what = fmt::format("stopped after step {}, which is saved", trainer.step())});
  }
  if (first) fmt::print("{}\n", train::latest_run(config.out)->folder.string());
}

/// A rank that fails ends the others: they would wait for it for ever.
void run_ranks(const std::string& file) {
  const auto ranks = train::join_ranks();
  try {
    run_training(file, *ranks);
  } catch (const std::exception& e) {
    if (ranks->size() == 1) throw;
    // What all of them have run into, the first one says for all.
    if (ranks->rank() != 0) std::this_thread::sleep_for(std::chrono::seconds(2));
    fmt::print(stderr, "zaya: error: process {} of {}: {}\n", ranks->rank() + 1, ranks->size(),
               e.what());
    ranks->abort(1);
  }
}

}  // namespace

void add_train(CLI::App& app) {
  auto file = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "train", "Train a model, or go on where training was ended (docs/training.md)");
  command->add_option("config", *file, "JSON file that describes the run")
      ->required()
      ->type_name("FILE");
  command->callback([file] { run_ranks(*file); });
}

}  // namespace zaya::cli
