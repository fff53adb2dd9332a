#include "compute/thread_pool.h"

#include <utility>

#include "compute/cpu.h"

namespace zaya {
namespace {

// About 10 us of waiting: longer than the gaps between the regions of a decoding step, short enough
// to leave the core to others soon.
constexpr int kSpins = 300;

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  if (threads <= 0) threads = usable_cores();
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { worker_main(); });
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  number_.fetch_add(1);
  number_.notify_all();
  for (std::thread& t : workers_) t.join();
}

void ThreadPool::run_region(Region region) {
  region_ = region;
  next_.store(0, std::memory_order_relaxed);
  const std::uint32_t number = number_.load(std::memory_order_relaxed) + 1;
  gate_.store(static_cast<std::uint64_t>(number) << 32 | kOpen);
  number_.store(number);
  number_.notify_all();

  work();

  gate_.fetch_and(~kOpen);
  for (int spins = 0; (gate_.load() & kInside) != 0; ++spins) {
    if (spins < kSpins) {
      pause_cpu();
    } else {
      std::this_thread::yield();
    }
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::work() {
  for (;;) {
    const std::size_t task = next_.fetch_add(1, std::memory_order_relaxed);
    if (task >= region_.tasks) return;
    try {
      region_.call(region_.body, task);
    } catch (...) {
      const std::lock_guard lock(error_lock_);
      if (!error_) error_ = std::current_exception();
    }
  }
}

void ThreadPool::worker_main() {
  std::uint32_t seen = 0;
  for (;;) {
    for (int spins = 0; spins < kSpins && number_.load() == seen; ++spins) pause_cpu();
    number_.wait(seen);
    if (stop_) return;
    seen = number_.load();
    std::uint64_t gate = gate_.load();
    while ((gate & kOpen) != 0 && gate >> 32 == seen) {
      if (!gate_.compare_exchange_weak(gate, gate + 1)) continue;
      work();
      gate_.fetch_sub(1);
      break;
    }
  }
}

}  // namespace zaya
