#include "cli/long_job.h"

#include <chrono>
#include <csignal>
#include <cstdio>

#include <fmt/format.h>
#include <unistd.h>

#include "zaya/error.h"

namespace zaya::cli {
namespace {

volatile std::sig_atomic_t stop_requested = 0;

class Bar {
 public:
  Bar(std::string label, Unit unit)
      : label_(std::move(label)), unit_(unit), shown_(::isatty(STDERR_FILENO) == 1) {}
  Bar(const Bar&) = delete;
  Bar& operator=(const Bar&) = delete;
  ~Bar() {
    if (shown_) std::fputs("\r\x1b[K", stderr);
  }

  void show(std::uint64_t done, std::uint64_t total) {
    using namespace std::chrono_literals;
    const auto now = std::chrono::steady_clock::now();
    if (!shown_ || total == 0 || now - last_ < 100ms) return;
    last_ = now;
    const double seconds = std::chrono::duration<double>(now - start_).count();
    const auto share = static_cast<double>(done) / static_cast<double>(total);
    fmt::print(stderr, "\r\x1b[K{} {:3.0f}%  {} of {}  {}/s", label_, 100 * share,
               text(static_cast<double>(done)), text(static_cast<double>(total)),
               text(seconds > 0 ? static_cast<double>(done) / seconds : 0));
    std::fflush(stderr);
  }

 private:
  std::string text(double amount) const {
    if (unit_ == Unit::bytes) return bytes_text(amount);
    return fmt::format("{:.{}f} {}", amount, amount < 1 ? 2 : 0,
                       unit_ == Unit::tokens ? "tokens" : "steps");
  }

  std::string label_;
  Unit unit_;
  bool shown_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace

StopSignals::StopSignals() {
  stop_requested = 0;
  struct sigaction action {};
  action.sa_handler = [](int) { stop_requested = 1; };
  ::sigaction(SIGINT, &action, &old_interrupt_);
  ::sigaction(SIGTERM, &action, &old_terminate_);
}

StopSignals::~StopSignals() {
  ::sigaction(SIGINT, &old_interrupt_, nullptr);
  ::sigaction(SIGTERM, &old_terminate_, nullptr);
}

bool StopSignals::requested() const {
  return stop_requested != 0;
}

void run_long_job(const std::string& label, Unit unit,
                  const std::function<void(const Progress&)>& work) {
  const StopSignals signals;
  Bar bar(label, unit);
  try {
    work([&](std::uint64_t done, std::uint64_t total) {
      bar.show(done, total);
      return !signals.requested();
    });
  } catch (const Cancelled&) {
    throw Error({.where = label, .what = "stopped before it was done"});
  }
}

std::string bytes_text(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  std::size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < std::size(units)) {
    bytes /= 1000;
    ++unit;
  }
  if (unit == 0) return fmt::format("{:.0f} B", bytes);
  return fmt::format("{:.{}f} {}", bytes, bytes < 9.995 ? 2 : bytes < 99.95 ? 1 : 0, units[unit]);
}

}  // namespace zaya::cli
