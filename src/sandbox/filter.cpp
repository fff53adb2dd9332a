#include "sandbox/filter.h"

#include <cerrno>
#include <cstring>
#include <memory>

#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sandbox/descriptor.h"
#include "zaya/error.h"

namespace zaya::sandbox {
namespace {

// Namespaces are the wall; this keeps the doors few. Refused, not killed for: libraries try some of
// them and do without.
constexpr int kRefused[] = {
    // A new user namespace would have rights of its own, and its own count of processes.
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(open_tree),
    SCMP_SYS(move_mount),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(mount_setattr),
    // Memory that belongs to no process: neither its limits nor ours would count it.
    SCMP_SYS(memfd_create),
    SCMP_SYS(memfd_secret),
    SCMP_SYS(shmget),
    SCMP_SYS(semget),
    SCMP_SYS(msgget),
    SCMP_SYS(mq_open),
    // Other processes, and the kernel itself.
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(keyctl),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(personality),
    SCMP_SYS(quotactl),
    SCMP_SYS(acct),
    SCMP_SYS(syslog),
};

void check(int result) {
  if (result >= 0) return;
  throw Error({.where = "sandbox",
               .what = "the filter of system calls cannot be made",
               .found = std::strerror(-result)});  // NOLINT(concurrency-mt-unsafe)
}

}  // namespace

std::string system_call_filter() {
  // Calls of another architecture (32 bits) kill: libseccomp's default.
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(seccomp_init(SCMP_ACT_ALLOW),
                                                                seccomp_release);
  if (!filter) check(-ENOMEM);
  for (const int call : kRefused) {
    check(seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(EPERM), call, 0));
  }
  for (const unsigned flag : {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC,
                              CLONE_NEWUTS, CLONE_NEWCGROUP}) {
    check(seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                           SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag)));
  }
  // Its flags are in memory, where no filter sees them; the C library then takes clone.
  check(seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0));

  const Descriptor file(::memfd_create("filter", MFD_CLOEXEC));
  check(file.get() < 0 ? -errno : 0);
  check(seccomp_export_bpf(filter.get(), file.get()));
  std::string program(static_cast<std::size_t>(::lseek(file.get(), 0, SEEK_END)), '\0');
  if (::pread(file.get(), program.data(), program.size(), 0) !=
      static_cast<ssize_t>(program.size())) {
    check(-EIO);
  }
  return program;
}

}  // namespace zaya::sandbox
