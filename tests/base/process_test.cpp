#include "base/process.h"

#include <chrono>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace zaya {
namespace {

/// "T" stopped, "R" running, ... as proc(5) has it.
std::string state_of(pid_t id) {
  std::ifstream stat("/proc/" + std::to_string(id) + "/stat");
  std::string number;
  std::string name;
  std::string state;
  stat >> number >> name >> state;
  return state;
}

bool comes_to(pid_t id, const std::string& state) {
  for (int i = 0; i < 1000; ++i) {
    if (state_of(id) == state) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

TEST(Process, AvailableMemoryIsSomeOfTheMachines) {
  const std::uint64_t bytes = available_memory_bytes();
  EXPECT_GT(bytes, std::uint64_t{1} << 20);
  EXPECT_LT(bytes, std::uint64_t{1} << 50);
}

TEST(Process, PeakMemoryGrowsWithWhatIsHeld) {
  const std::uint64_t before = peak_memory_bytes();
  EXPECT_GT(before, 0U);
  const std::vector<char> held(before + (16U << 20), 1);
  EXPECT_GE(peak_memory_bytes(), held.size());
}

TEST(Process, StolenShareIsOfTheTimeBetween) {
  const ProcessorTime begin{.total = 100, .stolen = 10};
  EXPECT_EQ(stolen_share(begin, {.total = 300, .stolen = 60}), 0.25);
  EXPECT_EQ(stolen_share(begin, begin), 0);
  const ProcessorTime now = processor_time();
  EXPECT_GT(now.total, 0U);
  EXPECT_LE(now.stolen, now.total);
}

TEST(Process, BusyProcessRunsPausesAndEnds) {
  pid_t id = 0;
  {
    BusyProcess busy;
    id = busy.id();
    EXPECT_TRUE(comes_to(id, "T"));
    busy.run();
    EXPECT_TRUE(comes_to(id, "R"));
    busy.pause();
    EXPECT_TRUE(comes_to(id, "T"));
  }
  EXPECT_NE(::kill(id, 0), 0) << "it is gone";
}

}  // namespace
}  // namespace zaya
