#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace zaya {

/// Threads for parallel regions. The caller works too, so a pool of n threads starts n - 1.
///
/// Tasks are handed out one by one, and the caller waits only for workers that took part: a worker
/// that the system keeps off its core misses the region and delays nobody. Idle workers spin for a
/// few microseconds, then sleep.
class ThreadPool {
 public:
  /// threads: 0 means usable_cores().
  explicit ThreadPool(int threads = 0);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls f(task) for every task in [0, tasks), in any order, from any thread. Returns when all
  /// are done. The first exception a task throws is rethrown here. Not reentrant; one caller at a
  /// time.
  template <class F>
  void run(std::size_t tasks, F&& f) {
    if (tasks == 0) return;
    if (tasks == 1 || workers_.empty()) {
      for (std::size_t i = 0; i < tasks; ++i) f(i);
      return;
    }
    using Body = std::remove_reference_t<F>;
    run_region({[](void* body, std::size_t task) { (*static_cast<Body*>(body))(task); },
                const_cast<void*>(static_cast<const void*>(&f)), tasks});
  }

  /// Splits [0, count) into ranges of whole multiples of `grain`, f(begin, end) each.
  template <class F>
  void run_ranges(std::size_t count, std::size_t grain, F&& f) {
    // Four ranges a thread even out unequal speeds; more only add hand-outs. Rounded up no further
    // than needed: one grain more leaves a short last range, and a thread waits for the others'.
    const std::size_t share = static_cast<std::size_t>(threads()) * 4 * grain;
    const std::size_t step = (count + share - 1) / share * grain;
    if (count == 0) return;
    run((count + step - 1) / step,
        [&](std::size_t i) { f(i * step, std::min(count, (i + 1) * step)); });
  }

 private:
  struct Region {
    void (*call)(void* body, std::size_t task) = nullptr;
    void* body = nullptr;
    std::size_t tasks = 0;
  };

  void run_region(Region region);
  void work();
  void worker_main();

  // gate_: region number << 32 | open bit | workers inside. Workers enter only while it is open.
  static constexpr std::uint64_t kOpen = 1ULL << 31;
  static constexpr std::uint64_t kInside = kOpen - 1;

  alignas(64) std::atomic<std::uint64_t> gate_{0};
  alignas(64) std::atomic<std::uint32_t> number_{0};  ///< of the newest region; workers wait on it
  alignas(64) std::atomic<std::size_t> next_{0};      ///< next task to hand out
  Region region_;
  std::mutex error_lock_;
  std::exception_ptr error_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace zaya
