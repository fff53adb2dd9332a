#pragma once

#include <string>

namespace zaya::sandbox {

/// The BPF program, as Bubblewrap takes it, that refuses the system calls which no program of an
/// answer needs: those that make namespaces, mounts and memory that no limit counts, and those
/// through which kernels have been attacked most. Throws Error when libseccomp fails.
std::string system_call_filter();

}  // namespace zaya::sandbox
