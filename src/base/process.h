#pragma once

#include <cstdint>

#include <sys/types.h>

namespace zaya {

/// The most memory this process has held at once, mapped files included; 0 where the system does
/// not tell.
std::uint64_t peak_memory_bytes();

/// Memory that this process could still take without swapping: what the system and its control
/// group leave, page cache counted as free; 0 where the system does not tell.
std::uint64_t available_memory_bytes();

/// Time of all processors since the machine started, in ticks.
struct ProcessorTime {
  std::uint64_t total = 0;
  std::uint64_t stolen = 0;  ///< wanted here, given by the hypervisor to other machines
};
/// All 0 where the system does not tell.
ProcessorTime processor_time();

/// Share of the time from `begin` to `end` that was stolen.
double stolen_share(const ProcessorTime& begin, const ProcessorTime& end);

/// Another process that keeps one core busy: the first of those this process may use. Made asleep;
/// ends with this object, and with this process however that ends.
class BusyProcess {
 public:
  /// Throws Error when the system grants no process. Best made before any thread.
  BusyProcess();
  BusyProcess(const BusyProcess&) = delete;
  BusyProcess& operator=(const BusyProcess&) = delete;
  ~BusyProcess();

  void run();
  void pause();
  pid_t id() const { return id_; }

 private:
  pid_t id_;
};

}  // namespace zaya
