#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <string>
#include <vector>

#include "rsa/solver.h"

namespace zaya::cli {

/// What a run of Markovian RSA shows while it goes: a grid of stages by candidates on stderr when
/// that is a terminal, else a line for each stage that is done. take() and draw() may be called
/// from different threads.
class SolveView {
 public:
  SolveView(const rsa::Settings& settings, bool quiet);
  SolveView(const SolveView&) = delete;
  SolveView& operator=(const SolveView&) = delete;
  ~SolveView() { clear(); }

  /// A candidate that an earlier run has finished.
  void known(std::size_t stage, std::size_t slot, std::size_t tokens);
  void take(const rsa::Event& event);
  void draw();
  /// Takes the grid off the screen.
  void clear();

 private:
  struct Cell {
    enum class State { waiting, running, done, failed } state = State::waiting;
    std::size_t tokens = 0;
  };

  std::string text() const;
  std::string speed() const;

  using Clock = std::chrono::steady_clock;
  rsa::Settings settings_;
  bool live_;
  bool quiet_;
  mutable std::mutex lock_;
  std::vector<std::vector<Cell>> cells_;
  std::size_t new_tokens_ = 0;
  Clock::time_point begun_ = Clock::now();
  std::size_t lines_ = 0;  // on the screen
};

}  // namespace zaya::cli
