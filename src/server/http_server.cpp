#include <atomic>
#include <csignal>
#include <unordered_set>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <fmt/format.h>
#include <sys/resource.h>

#include "server/http.h"
#include "server/http_session.h"
#include "server/transport.h"
#include "zaya/error.h"

namespace zaya {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

// A connection is a file; the usual limit of 1024 would be reached by idle ones alone.
void raise_file_limit(std::size_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t most = std::min<rlim_t>(limit.rlim_max, wanted + 256);
  if (limit.rlim_cur >= most) return;
  limit.rlim_cur = most;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::chrono::steady_clock::duration seconds(double s) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(s));
}

}  // namespace

struct HttpServer::State : SessionHost {
  explicit State(HttpServerOptions o)
      : options(std::move(o)), acceptor(io), retry(io), drain_timer(io), signals(io) {
    if (!options.certificate_file.empty()) {
      tls = make_tls_context(options.certificate_file, options.key_file);
    }
    raise_file_limit(options.most_connections);
    const std::string where = fmt::format("{}:{}", options.host, options.port);
    boost::system::error_code error;
    const auto check = [&] {
      if (error) throw Error({.where = where, .what = "cannot listen", .found = error.message()});
    };
    tcp::resolver resolver(io);
    const auto found = resolver.resolve(options.host, std::to_string(options.port), error);
    check();
    const tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor.open(endpoint.protocol(), error);
    check();
    acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    check();
    acceptor.bind(endpoint, error);
    check();
    acceptor.listen(asio::socket_base::max_listen_connections, error);
    check();
    port = acceptor.local_endpoint().port();
  }

  void accept() {
    acceptor.async_accept([this](boost::system::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (error) {  // out of files, say: others may close theirs
        retry.expires_after(std::chrono::milliseconds(100));
        retry.async_wait([this](boost::system::error_code stopped) {
          if (!stopped) accept();
        });
        return;
      }
      take(std::move(socket));
      accept();
    });
  }

  void take(tcp::socket socket) {
    boost::system::error_code error;
    const tcp::endpoint peer = socket.remote_endpoint(error);
    if (error || sessions.size() >= options.most_connections) return;  // closes it
    socket.set_option(tcp::no_delay(true), error);
    socket.set_option(asio::socket_base::keep_alive(true), error);
    const auto session = std::make_shared<HttpSession>(
        *this, make_transport(std::move(socket), tls.get()),
        fmt::format("{}:{}", peer.address().to_string(), peer.port()));
    sessions.insert(session);
    count = sessions.size();
    session->start();
  }

  void on_signal() {
    signals.async_wait([this](boost::system::error_code error, int) {
      if (error) return;
      if (is_draining) return end_now();
      drain();
      on_signal();
    });
  }

  void drain() {
    is_draining = true;
    boost::system::error_code ignored;
    acceptor.close(ignored);
    retry.cancel();
    const auto all = sessions;  // closing takes them out
    for (const auto& session : all) session->drain();
    drain_timer.expires_after(seconds(options.drain_timeout));
    drain_timer.async_wait([this](boost::system::error_code error) {
      if (!error) end_now();
    });
    end_when_empty();
  }

  void end_now() {
    const auto all = sessions;
    for (const auto& session : all) session->close();
    end_when_empty();
  }

  void end_when_empty() {
    if (is_draining && sessions.empty()) io.stop();
  }

  // SessionHost:
  const HttpServerOptions& settings() const override { return options; }
  HttpHandler& handler() override { return *served; }
  asio::io_context& context() override { return io; }
  bool ending() const override { return is_draining; }
  void run_later(std::function<void()> work) override { asio::post(*workers, std::move(work)); }
  void closed(const std::shared_ptr<HttpSession>& session) override {
    sessions.erase(session);
    count = sessions.size();
    end_when_empty();
  }

  HttpServerOptions options;
  asio::io_context io{1};
  std::unique_ptr<asio::ssl::context> tls;
  tcp::acceptor acceptor;
  asio::steady_timer retry;
  asio::steady_timer drain_timer;
  asio::signal_set signals;
  std::unique_ptr<asio::thread_pool> workers;
  std::unordered_set<std::shared_ptr<HttpSession>> sessions;
  std::atomic<std::size_t> count = 0;
  std::atomic<bool> is_draining = false;
  HttpHandler* served = nullptr;
  unsigned short port = 0;
};

HttpServer::HttpServer(HttpServerOptions options)
    : state_(std::make_unique<State>(std::move(options))) {}

HttpServer::~HttpServer() = default;

unsigned short HttpServer::port() const {
  return state_->port;
}
std::size_t HttpServer::connections() const {
  return state_->count;
}
bool HttpServer::draining() const {
  return state_->is_draining;
}

void HttpServer::run(HttpHandler& handler) {
  State& state = *state_;
  state.served = &handler;
  state.workers = std::make_unique<asio::thread_pool>(state.options.workers);
  state.signals.add(SIGTERM);
  state.signals.add(SIGINT);
  state.on_signal();
  state.accept();
  state.io.run();
  state.workers->join();
}

}  // namespace zaya
