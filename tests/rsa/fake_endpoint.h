#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace zaya::rsa::test {

/// An HTTP server on this machine that gives what a script says. A thread a connection, a request
/// a connection.
class FakeEndpoint {
 public:
  struct Reply {
    int status = 200;
    std::string body = {};
    bool hang_up = false;  ///< close without a reply
    bool cut = false;      ///< send half of it
    bool never = false;    ///< reply when the server goes
  };
  struct Asked {
    std::string path;
    std::string head;
    std::string body;
  };
  /// `number`: requests before this one. Called by one thread at a time.
  using Script = std::function<Reply(const Asked& asked, std::size_t number)>;

  explicit FakeEndpoint(Script script) : script_(std::move(script)) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(socket_, reinterpret_cast<const sockaddr*>(&address), size);
    ::listen(socket_, 64);
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ::ntohs(address.sin_port);
    thread_ = std::thread([this] { accept_all(); });
  }
  FakeEndpoint(const FakeEndpoint&) = delete;
  FakeEndpoint& operator=(const FakeEndpoint&) = delete;
  ~FakeEndpoint() {
    ends_ = true;
    thread_.join();
    for (std::thread& t : connections_) t.join();
    ::close(socket_);
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/v1"; }
  std::vector<Asked> asked() {
    const std::lock_guard guard(lock_);
    return asked_;
  }
  std::size_t most_at_once() const { return most_at_once_; }

 private:
  void accept_all() {
    while (!ends_) {
      pollfd wanted{socket_, POLLIN, 0};
      if (::poll(&wanted, 1, 20) <= 0) continue;
      const int fd = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) connections_.emplace_back([this, fd] { serve(fd); });
    }
  }

  void serve(int fd) {
    std::string text;
    std::size_t want = std::string::npos;
    char buffer[1 << 16];
    while (text.size() < want) {
      const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) break;
      text.append(buffer, static_cast<std::size_t>(n));
      const std::size_t end = text.find("\r\n\r\n");
      if (end == std::string::npos) continue;
      const std::size_t length = text.find("Content-Length: ");
      want = end + 4 + (length < end ? std::stoul(text.substr(length + 16)) : 0);
    }
    const std::size_t at_once = ++running_;
    Reply reply;
    {
      const std::lock_guard guard(lock_);
      most_at_once_ = std::max(most_at_once_.load(), at_once);
      const std::size_t head = text.find("\r\n\r\n");
      const std::size_t path = text.find(' ') + 1;
      asked_.push_back({text.substr(path, text.find(' ', path) - path), text.substr(0, head),
                        head == std::string::npos ? "" : text.substr(head + 4)});
      reply = script_(asked_.back(), asked_.size() - 1);
    }
    while (reply.never && !ends_) {
      // Until the client leaves.
      pollfd wanted{fd, POLLIN, 0};
      if (::poll(&wanted, 1, 20) > 0 && ::recv(fd, buffer, 1, MSG_PEEK) <= 0) break;
    }
    if (!reply.hang_up && !reply.never) {
      std::string out = "HTTP/1.1 " + std::to_string(reply.status) +
                        " X\r\nContent-Type: application/json\r\nConnection: close\r\n"
                        "Content-Length: " +
                        std::to_string(reply.body.size()) + "\r\n\r\n" + reply.body;
      if (reply.cut) out.resize(out.size() - reply.body.size() / 2);
      ::send(fd, out.data(), out.size(), MSG_NOSIGNAL);
    }
    --running_;
    ::close(fd);
  }

  Script script_;
  int socket_ = -1;
  int port_ = 0;
  std::atomic<bool> ends_ = false;
  std::mutex lock_;
  std::vector<Asked> asked_;
  std::atomic<std::size_t> running_ = 0;
  std::atomic<std::size_t> most_at_once_ = 0;
  std::vector<std::thread> connections_;
  std::thread thread_;
};

}  // namespace zaya::rsa::test
