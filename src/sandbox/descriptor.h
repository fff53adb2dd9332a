#pragma once

#include <string>
#include <utility>

namespace zaya::sandbox {

/// Owns a file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();

  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  void close() { const Descriptor gone(release()); }

 private:
  int fd_ = -1;
};

/// A file in memory that holds a text and can never change, at its beginning. Throws Error.
Descriptor sealed_file(const std::string& text);

struct Pipe {
  Descriptor read;  ///< does not block
  Descriptor write;
};
/// Throws Error.
Pipe make_pipe();

}  // namespace zaya::sandbox
