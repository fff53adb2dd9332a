#pragma once

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "tests/cli/demo_model.h"

namespace zaya {

/// `zaya serve` of this build on a port of its own. It ends with this object, and must end well:
/// with a sanitizer its exit code tells of leaks.
class ServerProcess {
 public:
  explicit ServerProcess(std::vector<std::string> arguments = {}) {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    const std::string program = ZAYA_BUILD_DIR "/bin/zaya";
    std::vector<std::string> words = {program,     "serve", demo_model(),  "--port", "0",
                                      "--threads", "1",     "--kv-memory", "64MB"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    id_ = ::fork();
    if (id_ == 0) {
      ::dup2(pipe[1], STDERR_FILENO);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    ::close(pipe[1]);
    log_ = pipe[0];
    port_ = read_port();
  }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  ~ServerProcess() {
    if (id_ > 0) {
      // One signal: a second could come when the server has ended and no longer handles any.
      // Clients are gone, so there is nothing to wait for.
      signal(SIGTERM);
      const ::pid_t id = id_;
      const int code = wait(120);
      if (code == -1) {
        ::kill(id, SIGKILL);
        ::waitpid(id, nullptr, 0);
      }
      if (code != 0 && !killed_)
        failed("the server ended with " + std::to_string(code) + "\n" + log());
    }
    ::close(log_);
  }

  std::uint16_t port() const { return port_; }
  void signal(int number) {
    killed_ |= number == SIGKILL;
    ::kill(id_, number);
  }

  /// Waits for its end; the exit code, 128 + n after signal n, or -1 when it does not end in time.
  int wait(double seconds = 30) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    for (int status = 0; std::chrono::steady_clock::now() < until;) {
      if (::waitpid(id_, &status, WNOHANG) == id_) {
        id_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return -1;
  }

  /// What it has logged since the last time.
  std::string log() const {
    std::string text;
    std::array<char, 4096> buffer{};
    ::pollfd waiting{log_, POLLIN, 0};
    while (::poll(&waiting, 1, 0) > 0) {
      const auto n = ::read(log_, buffer.data(), buffer.size());
      if (n <= 0) break;
      text.append(buffer.data(), static_cast<std::size_t>(n));
    }
    return text;
  }

 private:
  static void failed(const std::string& what) {
    if (testing::UnitTest::GetInstance()->current_test_info() != nullptr) {
      ADD_FAILURE() << what;
    } else {  // of all tests, after the last: nobody counts failures any more
      std::fputs(what.c_str(), stderr);
      std::_Exit(1);
    }
  }

  std::uint16_t read_port() const {
    constexpr std::string_view kMark = "serving at ";
    std::string text;
    for (char c = 0; ::read(log_, &c, 1) == 1;) {
      text += c;
      const auto at = text.find(kMark);
      if (c != '\n' || at == std::string::npos) continue;
      return static_cast<std::uint16_t>(std::stoi(text.substr(text.rfind(':') + 1)));
    }
    throw std::runtime_error("the server did not start: " + text);
  }

  ::pid_t id_ = -1;
  bool killed_ = false;
  int log_ = -1;
  std::uint16_t port_ = 0;
};

struct HttpAnswer {
  int status = 0;
  std::string head;  ///< status line and fields, in lower case
  std::string body;  ///< without the framing of chunks
  bool complete = false;

  Json json() const { return parse_json(body, "answer"); }
  bool has(std::string_view field) const { return head.find(field) != std::string::npos; }
  /// The data of an event stream.
  std::vector<std::string> events() const {
    std::vector<std::string> out;
    constexpr std::string_view kData = "data: ";
    for (std::size_t at = 0; (at = body.find(kData, at)) != std::string::npos;) {
      const auto end = body.find("\n\n", at);
      out.push_back(body.substr(at + kData.size(), end - at - kData.size()));
      at = end == std::string::npos ? body.size() : end;
    }
    return out;
  }
};

/// A plain socket to the server, for saying what no client library would.
class Connection {
 public:
  explicit Connection(std::uint16_t port) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ::sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int one = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (::connect(socket_, reinterpret_cast<::sockaddr*>(&address), sizeof address) != 0) {
      const int error = errno;
      ::close(socket_);
      throw std::runtime_error(std::string("connect: ") + std::strerror(error));
    }
  }
  Connection(Connection&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)), inbox_(std::move(other.inbox_)) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { close(); }

  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }
  void close_writing() const { ::shutdown(socket_, SHUT_WR); }
  /// The next close() sends a reset.
  void reset_on_close() const {
    const ::linger now{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }

  /// False when the server has closed.
  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const auto n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  /// Reads until `mark` has come, the server closes or time is up. True if it has come; what came
  /// stays for receive().
  bool read_until(std::string_view mark, double seconds = 60) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (inbox_.find(mark) == std::string::npos) {
      if (!read_some(until)) return false;
    }
    return true;
  }

  /// The next answer. `head_only`: to a HEAD request.
  HttpAnswer receive(double seconds = 60, bool head_only = false) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    HttpAnswer answer;
    std::size_t end = 0;
    while ((end = inbox_.find("\r\n\r\n")) == std::string::npos) {
      if (!read_some(until)) return answer;
    }
    answer.head = inbox_.substr(0, end + 2);
    for (char& c : answer.head) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    inbox_.erase(0, end + 4);
    answer.status = std::stoi(answer.head.substr(9));
    if (head_only || answer.status == 204 || answer.status == 304 || answer.status == 100) {
      answer.complete = true;
    } else if (answer.has("transfer-encoding: chunked")) {
      answer.complete = receive_chunks(answer.body, until);
    } else if (const auto at = answer.head.find("content-length: "); at != std::string::npos) {
      const auto length = std::stoul(answer.head.substr(at + 16));
      while (inbox_.size() < length && read_some(until)) {
      }
      answer.body = inbox_.substr(0, length);
      inbox_.erase(0, length);
      answer.complete = answer.body.size() == length;
    } else {
      while (read_some(until)) {
      }
      answer.body = std::exchange(inbox_, {});
      answer.complete = true;
    }
    return answer;
  }

  /// Whether the server closes before time is up.
  bool closed(double seconds = 10) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (read_some(until)) {
    }
    return closed_;
  }

 private:
  using Time =
      std::chrono::time_point<std::chrono::steady_clock, std::chrono::duration<double, std::nano>>;

  bool read_some(Time until) {
    std::array<char, 16384> buffer{};
    const double left =
        std::chrono::duration<double, std::milli>(until - std::chrono::steady_clock::now()).count();
    ::pollfd waiting{socket_, POLLIN, 0};
    if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(left) + 1) <= 0) return false;
    const auto n = ::recv(socket_, buffer.data(), buffer.size(), 0);
    if (n <= 0) {
      closed_ = true;
      return false;
    }
    inbox_.append(buffer.data(), static_cast<std::size_t>(n));
    return true;
  }

  bool receive_chunks(std::string& body, Time until) {
    for (;;) {
      std::size_t line = 0;
      while ((line = inbox_.find("\r\n")) == std::string::npos) {
        if (!read_some(until)) return false;
      }
      const std::size_t length = std::stoul(inbox_.substr(0, line), nullptr, 16);
      while (inbox_.size() < line + 2 + length + 2) {
        if (!read_some(until)) return false;
      }
      body += inbox_.substr(line + 2, length);
      inbox_.erase(0, line + 2 + length + 2);
      if (length == 0) return true;
    }
  }

  int socket_ = -1;
  std::string inbox_;
  bool closed_ = false;
};

inline std::string get_text(std::string_view path, std::string_view fields = {}) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: test\r\n" + std::string(fields) + "\r\n";
}
inline std::string post_text(std::string_view path, std::string_view body,
                             std::string_view fields = {}) {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n" + std::string(fields) + "\r\n" + std::string(body);
}

inline HttpAnswer get(std::uint16_t port, std::string_view path, std::string_view fields = {}) {
  Connection connection(port);
  connection.send(get_text(path, fields));
  return connection.receive();
}
inline HttpAnswer post(std::uint16_t port, std::string_view path, const Json& body,
                       std::string_view fields = {}) {
  Connection connection(port);
  connection.send(post_text(path, body.dump(), fields));
  return connection.receive();
}

/// One number of /metrics; 0 where it was not counted yet.
inline double metric(std::uint16_t port, const std::string& name) {
  const std::string text = "\n" + get(port, "/metrics").body;
  const auto at = text.find("\n" + name + " ");
  if (at == std::string::npos) return 0;
  return std::stod(text.substr(at + name.size() + 2));
}

/// Waits until a metric has a value.
inline bool metric_becomes(std::uint16_t port, const std::string& name, double value,
                           double seconds = 30) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (metric(port, name) != value) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

}  // namespace zaya
