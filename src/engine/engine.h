#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>

#include "engine/scheduler.h"

namespace zaya {

/// A model that serves requests on a thread of its own: what a server, Markovian RSA and evaluation
/// stand on.
class Engine {
 public:
  struct Options {
    RunnerOptions runner = {};
    SchedulerOptions scheduler = {};
  };

  /// Where `runner.kv_memory` is not set, it is default_kv_memory(). Throws Error as Runner does.
  Engine(const std::shared_ptr<const Checkpoint>& checkpoint, std::shared_ptr<const ModelText> text,
         Options options);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  /// Cancels what is left; every choice has had its last event when this returns.
  ~Engine();

  const ModelConfig& config() const { return runner_.config(); }
  const ModelText& text() const { return *text_; }
  std::size_t kv_memory() const { return runner_.pages().budget(); }

  /// As Scheduler's; from any thread. Events come on the engine's own thread, one at a time.
  RequestId submit(Request request);
  void cancel(RequestId request);

 private:
  void run();
  void wake();

  std::shared_ptr<const ModelText> text_;
  Runner runner_;
  Scheduler scheduler_;
  std::mutex lock_;
  std::condition_variable changed_;
  bool work_ = false;
  bool stop_ = false;
  std::thread thread_;  // last: it uses all of the above
};

/// A share of the memory that is free for KV pages beside `weight_bytes` of mapped weights: half,
/// so that work space, prefix snapshots and others find room, but no less than 256 MiB. Ours.
std::size_t default_kv_memory(std::size_t weight_bytes);

}  // namespace zaya
