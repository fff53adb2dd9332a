#include "cli/solve_view.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace zaya::cli {
namespace {

// "812", "9.1k", "41k": at most four characters.
std::string count_text(std::size_t n) {
  if (n < 1000) return std::to_string(n);
  if (n < 10'000) return fmt::format("{:.1f}k", static_cast<double>(n) / 1000.0);
  return fmt::format("{}k", n / 1000);
}

std::string time_text(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", seconds);
  if (seconds < 5400) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

std::size_t columns() {
  struct winsize size {};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

}  // namespace

SolveView::SolveView(const rsa::Settings& settings, bool quiet)
    : settings_(settings), live_(::isatty(STDERR_FILENO) == 1), quiet_(quiet) {
  for (std::size_t stage = 0; stage < settings.stages(); ++stage) {
    cells_.emplace_back(settings.width(stage));
  }
}

void SolveView::known(std::size_t stage, std::size_t slot, std::size_t tokens) {
  const std::lock_guard guard(lock_);
  if (stage < cells_.size() && slot < cells_[stage].size()) {
    cells_[stage][slot] = {Cell::State::done, tokens};
  }
}

void SolveView::take(const rsa::Event& e) {
  const std::lock_guard guard(lock_);
  using Kind = rsa::Event::Kind;
  if (e.kind == Kind::problem_done) return;
  if (e.kind == Kind::stage_done) {
    if (live_ || quiet_) return;
    const rsa::Usage& usage = e.result->stage_usage[e.stage];
    fmt::print(stderr, "zaya: stage {} of {}: {} candidates, {} tokens\n", e.stage,
               settings_.last_stage(), usage.calls, usage.output_tokens);
    return;
  }
  Cell& cell = cells_[e.stage][e.slot];
  if (e.kind == Kind::started) cell.state = Cell::State::running;
  if (e.kind == Kind::progress) {
    cell.tokens += e.tokens;
    new_tokens_ += e.tokens;
  }
  if (e.kind == Kind::finished) {
    cell.state = e.candidate->output.failed() ? Cell::State::failed : Cell::State::done;
    cell.tokens = e.candidate->output.output_tokens;
  }
}

std::string SolveView::speed() const {
  const double seconds = std::chrono::duration<double>(Clock::now() - begun_).count();
  const double rate = seconds > 0 ? static_cast<double>(new_tokens_) / seconds : 0;
  // What is left: as many tokens a candidate as those that are done took; before, at most its
  // limit.
  std::size_t done = 0;
  std::size_t done_tokens = 0;
  std::size_t total = 0;
  for (const auto& row : cells_) {
    for (const Cell& cell : row) {
      total += cell.tokens;
      if (cell.state != Cell::State::done) continue;
      ++done;
      done_tokens += cell.tokens;
    }
  }
  double left = 0;
  for (std::size_t stage = 0; stage < cells_.size(); ++stage) {
    const std::size_t limit =
        stage == settings_.last_stage() ? settings_.final_tokens : settings_.beta;
    for (const Cell& cell : cells_[stage]) {
      if (cell.state == Cell::State::done || cell.state == Cell::State::failed) continue;
      const std::size_t expected = done > 0 ? done_tokens / done : limit;
      left += static_cast<double>(std::max(expected, cell.tokens) - cell.tokens);
    }
  }
  std::string text = fmt::format("{} tokens, {:.1f} tokens/s", total, rate);
  if (rate > 0) {
    text += fmt::format(", {} {} left", done > 0 ? "about" : "at most", time_text(left / rate));
  }
  return text;
}

std::string SolveView::text() const {
  const std::size_t fits = std::max<std::size_t>(1, (columns() - 10) / 6);
  std::string out;
  for (std::size_t stage = 0; stage < cells_.size(); ++stage) {
    const auto& row = cells_[stage];
    for (std::size_t begin = 0; begin < row.size(); begin += fits) {
      out += begin == 0 ? fmt::format("stage {:<3}", stage) : std::string(9, ' ');
      for (std::size_t i = begin; i < std::min(row.size(), begin + fits); ++i) {
        const Cell& cell = row[i];
        switch (cell.state) {
          case Cell::State::waiting:
            out += "     .";
            break;
          case Cell::State::running:
            out += fmt::format(" {:>4}\u2026", count_text(cell.tokens));
            break;
          case Cell::State::done:
            out += fmt::format(" {:>4} ", count_text(cell.tokens));
            break;
          case Cell::State::failed:
            out += "     !";
            break;
        }
      }
      out += "\n";
    }
  }
  return out + speed() + "\n";
}

void SolveView::draw() {
  if (!live_ || quiet_) return;
  const std::lock_guard guard(lock_);
  const std::string now = text();
  std::string out;
  if (lines_ > 0) out = fmt::format("\x1b[{}A", lines_);
  // Line by line, so that nothing of an older line stays behind a shorter one.
  for (std::size_t at = 0; at < now.size();) {
    const std::size_t end = now.find('\n', at);
    out += "\r" + now.substr(at, end - at) + "\x1b[K\n";
    at = end + 1;
  }
  std::fputs((out + "\x1b[J").c_str(), stderr);
  std::fflush(stderr);
  lines_ = static_cast<std::size_t>(std::count(now.begin(), now.end(), '\n'));
}

void SolveView::clear() {
  const std::lock_guard guard(lock_);
  if (lines_ == 0) return;
  fmt::print(stderr, "\x1b[{}A\r\x1b[J", lines_);
  std::fflush(stderr);
  lines_ = 0;
}

}  // namespace zaya::cli
