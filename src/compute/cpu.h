#pragma once

#include <string_view>
#include <vector>

namespace zaya {

/// The sets of kernels, slowest first. A set may use everything the ones before it use.
enum class Isa {
  scalar,  ///< plain C++, the reference every other set is tested against
  avx2,    ///< AVX2, FMA, F16C
  avx512,  ///< AVX-512 F, BW, DQ, VL, VNNI
  amx,     ///< AMX tiles: bf16 and int8; AVX-512 BF16
};

std::string_view isa_name(Isa isa);

/// Sets this machine can run, slowest first; scalar is always there.
std::vector<Isa> host_isas();

/// The set to use: the one the environment variable ZAYA_ISA names, else the fastest of the host.
/// Throws Error when ZAYA_ISA names an unknown set or one the host lacks.
Isa selected_isa();

/// Cores this process may keep busy: its CPU affinity, bounded by the cgroup's CPU quota. At
/// least 1.
int usable_cores();

}  // namespace zaya
