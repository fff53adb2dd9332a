#include "compute/cpu.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include <sched.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "zaya/error.h"

namespace zaya {
namespace {

constexpr std::array<Isa, 4> kAll{Isa::scalar, Isa::avx2, Isa::avx512, Isa::amx};

#if defined(__x86_64__)
/// The CPU has the tiles, and the system lets this process use their 8 KiB of state.
bool has_amx() {
  // CPUID leaf 7: EDX bit 22 is AMX-BF16, 24 AMX-TILE, 25 AMX-INT8.
  constexpr unsigned kNeeded = 1U << 22U | 1U << 24U | 1U << 25U;
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kNeeded) != kNeeded) return false;
  // Linux grants tile state to a process that asks (arch_prctl, since 5.16).
  constexpr long kRequestPermission = 0x1023;
  constexpr long kTileData = 18;
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

bool host_has(Isa isa) {
#if defined(__x86_64__)
  switch (isa) {
    case Isa::scalar:
      return true;
    case Isa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::avx512:
      return host_has(Isa::avx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    case Isa::amx:
      return host_has(Isa::avx512) && __builtin_cpu_supports("avx512bf16") &&
             __builtin_cpu_supports("avx512vbmi") && has_amx();
  }
#endif
  return isa == Isa::scalar;
}

std::string names(const auto& isas) {
  std::string text;
  for (const Isa isa : isas) {
    if (!text.empty()) text += ", ";
    text += isa_name(isa);
  }
  return text;
}

/// CPUs' worth of time a second that the cgroup grants, or infinity.
double cgroup_cpus() {
  double quota = 0;
  double period = 0;
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  if (v2 >> quota >> period) return period > 0 ? quota / period : INFINITY;
  std::ifstream v1_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  if (v1_quota >> quota && v1_period >> period && quota > 0 && period > 0) return quota / period;
  return INFINITY;
}

}  // namespace

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::scalar:
      return "scalar";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::amx:
      return "amx";
  }
  return "unknown";
}

std::vector<Isa> host_isas() {
  std::vector<Isa> isas;
  std::copy_if(kAll.begin(), kAll.end(), std::back_inserter(isas), host_has);
  return isas;
}

Isa selected_isa() {
  const char* name = std::getenv("ZAYA_ISA");
  if (name == nullptr || *name == '\0') return host_isas().back();
  for (const Isa isa : kAll) {
    if (isa_name(isa) != name) continue;
    if (host_has(isa)) return isa;
    throw Error({.where = "ZAYA_ISA",
                 .what = "this CPU cannot run the kernels asked for",
                 .expected = "one of " + names(host_isas()),
                 .found = name});
  }
  throw Error({.where = "ZAYA_ISA",
               .what = "no such set of kernels",
               .expected = "one of " + names(kAll),
               .found = name});
}

int usable_cores() {
  int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) cores = CPU_COUNT(&set);
  const double quota = cgroup_cpus();
  if (quota < cores) cores = static_cast<int>(std::ceil(quota));
  return std::max(1, cores);
}

}  // namespace zaya
