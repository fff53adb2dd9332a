#include "sandbox/descriptor.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "zaya/error.h"

namespace zaya::sandbox {
namespace {

[[noreturn]] void fail(const char* what) {
  throw Error({.where = "sandbox",
               .what = what,
               .found = std::strerror(errno)});  // NOLINT(concurrency-mt-unsafe)
}

// Above the numbers that the sandboxed program gets, so that handing one over never closes another.
Descriptor lifted(int fd) {
  constexpr int kAbove = 64;
  if (fd < 0) fail("no file descriptor is to be had");
  const Descriptor low(fd);
  Descriptor high(::fcntl(fd, F_DUPFD_CLOEXEC, kAbove));
  if (high.get() < 0) fail("no file descriptor is to be had");
  return high;
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Descriptor sealed_file(const std::string& text) {
  Descriptor file = lifted(::memfd_create("sandbox", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t n = ::write(file.get(), text.data() + at, text.size() - at);
    if (n < 0 && errno != EINTR) fail("a file in memory cannot be written");
    if (n > 0) at += static_cast<std::size_t>(n);
  }
  if (::lseek(file.get(), 0, SEEK_SET) != 0 ||
      ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) !=
          0) {
    fail("a file in memory cannot be sealed");
  }
  return file;
}

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail("no pipe is to be had");
  Descriptor write(ends[1]);
  Descriptor read = lifted(ends[0]);
  Pipe pipe{.read = std::move(read), .write = lifted(write.release())};
  ::fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK);
  return pipe;
}

}  // namespace zaya::sandbox
