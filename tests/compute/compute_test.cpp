#include <atomic>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "compute/cpu.h"
#include "compute/thread_pool.h"
#include "zaya/error.h"

namespace zaya {
namespace {

TEST(Cpu, ForcedInstructionSetIsObeyedOrRefused) {
  ::setenv("ZAYA_ISA", "scalar", 1);
  EXPECT_EQ(selected_isa(), Isa::scalar);
  ::setenv("ZAYA_ISA", "mmx", 1);
  try {
    selected_isa();
    FAIL() << "an unknown set must be refused";
  } catch (const Error& e) {
    EXPECT_STREQ(
        e.what(),
        "ZAYA_ISA: no such set of kernels: expected one of scalar, avx2, avx512, amx, found mmx");
  }
  ::unsetenv("ZAYA_ISA");
  EXPECT_EQ(selected_isa(), host_isas().back());
  EXPECT_GE(usable_cores(), 1);
}

TEST(ThreadPool, RunsEveryTaskOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (std::size_t tasks : {0, 1, 2, 100}) {
      for (int round = 0; round < 50; ++round) {
        std::vector<std::atomic<int>> seen(tasks);
        pool.run(tasks, [&](std::size_t i) { seen[i].fetch_add(1); });
        for (const auto& count : seen) ASSERT_EQ(count, 1);
      }
    }
  }
}

TEST(ThreadPool, ManyShortRegionsWithPausesBetween) {
  ThreadPool pool(4);
  std::size_t total = 0;
  for (int round = 0; round < 2000; ++round) {
    std::atomic<std::size_t> sum{0};
    pool.run(7, [&](std::size_t i) { sum += i; });
    total += sum;
    // Now and then long enough for the workers to fall asleep.
    if (round % 100 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_EQ(total, 2000U * 21);
}

TEST(ThreadPool, RangesCoverTheWholeWithoutOverlap) {
  ThreadPool pool(3);
  for (const std::size_t count : {0, 1, 5, 64, 1000}) {
    for (const std::size_t grain : {1, 16, 5000}) {
      std::vector<std::atomic<int>> seen(count);
      pool.run_ranges(count, grain, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) seen[i].fetch_add(1);
      });
      for (const auto& n : seen) ASSERT_EQ(n, 1);
    }
  }
}

TEST(ThreadPool, RangesAreEqualWhereTheyCanBe) {
  ThreadPool pool(2);
  std::mutex lock;
  std::vector<std::size_t> lengths;
  pool.run_ranges(2048, 32, [&](std::size_t begin, std::size_t end) {
    const std::lock_guard guard(lock);
    lengths.push_back(end - begin);
  });
  EXPECT_EQ(lengths, std::vector<std::size_t>(8, 256)) << "a short last one lets threads wait";
}

TEST(ThreadPool, ExceptionOfATaskReachesTheCaller) {
  ThreadPool pool(2);
  const auto failing = [&] {
    pool.run(10, [](std::size_t i) {
      if (i == 3) throw std::runtime_error("three");
    });
  };
  EXPECT_THROW(failing(), std::runtime_error);
  std::atomic<int> done{0};
  pool.run(4, [&](std::size_t) { ++done; });
  EXPECT_EQ(done, 4);
}

}  // namespace
}  // namespace zaya
