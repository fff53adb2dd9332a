#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "zaya/request.h"

namespace zaya {

/// What the server counts, for Prometheus. From any thread.
class Metrics {
 public:
  /// What is read off at the moment of asking.
  struct Gauges {
    std::size_t connections = 0;
    std::size_t running = 0;  ///< choices that hold memory
    std::size_t waiting = 0;
    std::size_t kv_pages = 0;
    std::size_t kv_bytes = 0;
    std::size_t kv_budget = 0;
    std::size_t cached_sequences = 0;
  };

  Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;
  ~Metrics();

  void answered(const std::string& route, int status);
  void first_token_after(double seconds);
  void token_after(double seconds);
  void choice_ended(FinishReason reason, const RequestStats& stats, double seconds);

  /// Prometheus' text format, version 0.0.4.
  std::string text(const Gauges& gauges);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace zaya
