#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "server/http_session.h"

namespace zaya {

/// A connection whose client says `input`, in pieces of `step` bytes, and then no more.
class ScriptedTransport final : public Transport {
 public:
  ScriptedTransport(boost::asio::io_context& io, std::string_view input, std::size_t step,
                    std::string& output)
      : io_(io), input_(input), step_(step), output_(output) {}

  void handshake(Done done) override { answer(std::move(done), {}, 0); }
  void read_some(boost::asio::mutable_buffer into, Done done) override {
    if (input_.empty()) return answer(std::move(done), boost::asio::error::eof, 0);
    const std::size_t n = std::min({step_, into.size(), input_.size()});
    std::memcpy(into.data(), input_.data(), n);
    input_.remove_prefix(n);
    answer(std::move(done), {}, n);
  }
  void write_some(boost::asio::const_buffer from, Done done) override {
    const std::size_t n = std::min(step_ * 16, from.size());
    output_.append(static_cast<const char*>(from.data()), n);
    answer(std::move(done), {}, n);
  }
  void shut_down(Done done) override { answer(std::move(done), {}, 0); }
  void close() override {}

 private:
  void answer(Done done, boost::system::error_code error, std::size_t n) {
    boost::asio::post(io_, [done = std::move(done), error, n] { done(error, n); });
  }

  boost::asio::io_context& io_;
  std::string_view input_;
  std::size_t step_;
  std::string& output_;
};

/// A server of one connection, which answers every request with what it has understood.
class EchoHost final : public SessionHost, public HttpHandler {
 public:
  const HttpServerOptions& settings() const override { return settings_; }
  HttpHandler& handler() override { return *this; }
  boost::asio::io_context& context() override { return io_; }
  bool ending() const override { return false; }
  void run_later(std::function<void()> work) override { boost::asio::post(io_, std::move(work)); }
  void closed(const std::shared_ptr<HttpSession>&) override { closed_ = true; }

  bool refuse(const HttpRequest& head, HttpResponse& answer) override {
    answer = {.status = 404};
    return head.path == "/none";
  }
  void handle(std::shared_ptr<Exchange> exchange) override {
    const HttpRequest& request = exchange->request();
    if (request.path == "/lost") return;
    if (request.path != "/stream") {
      return exchange->respond({.body = request.method + request.path + request.body});
    }
    exchange->begin({}, ": ping\n");
    exchange->write(request.body);
    exchange->end();
  }
  HttpResponse problem(int status, std::string_view message) override {
    return {.status = status, .body = std::string(message)};
  }
  HttpHeaders extra_headers(const HttpRequest&) override { return {}; }
  void answered(const HttpRequest&, int, std::size_t, double) override { ++answered_; }

  /// What the client is sent. Throws when the connection does not come to its end.
  std::string serve(std::string_view input, std::size_t step) {
    std::string output;
    std::make_shared<HttpSession>(
        *this, std::make_unique<ScriptedTransport>(io_, input, step, output), "fuzz")
        ->start();
    // Timers are left alone: all that is to happen happens at once.
    while (!closed_ && io_.poll() > 0) {
    }
    if (!closed_) throw std::logic_error("the connection is still open");
    io_.poll();
    return output;
  }
  std::size_t answered() const { return answered_; }

 private:
  HttpServerOptions settings_ = {.most_header_bytes = 4096, .most_body_bytes = 1 << 16};
  boost::asio::io_context io_{1};
  std::size_t answered_ = 0;
  bool closed_ = false;
};

/// What a client may send instead of HTTP, or after it: every request is answered once, and the
/// connection ends. The first byte says in what pieces it comes.
inline void check_http(std::string_view input) {
  if (input.empty()) return;
  const std::size_t step = 1 + static_cast<unsigned char>(input.front()) * 16;
  EchoHost host;
  std::string output = host.serve(input.substr(1), step);
  // An invitation to send the body is no answer yet.
  constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  while (output.starts_with(kContinue)) output.erase(0, kContinue.size());
  if (!output.empty() && !output.starts_with("HTTP/1.1 ")) {
    throw std::logic_error("an answer that is none: " + output);
  }
  if (!output.empty() && host.answered() == 0) throw std::logic_error("nobody was told");
}

}  // namespace zaya
