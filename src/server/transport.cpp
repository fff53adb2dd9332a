#include "server/transport.h"

#include <utility>

#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>

#include "zaya/error.h"

namespace zaya {
namespace {

namespace asio = boost::asio;

void close_socket(Transport::Socket& socket) {
  boost::system::error_code ignored;
  socket.shutdown(Transport::Socket::shutdown_both, ignored);
  socket.close(ignored);
}

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(Socket socket) : socket_(std::move(socket)) {}

  void handshake(Done done) override {
    asio::post(socket_.get_executor(), [done = std::move(done)] { done({}, 0); });
  }
  void read_some(asio::mutable_buffer into, Done done) override {
    socket_.async_read_some(into, std::move(done));
  }
  void write_some(asio::const_buffer from, Done done) override {
    socket_.async_write_some(from, std::move(done));
  }
  void shut_down(Done done) override {
    boost::system::error_code error;
    socket_.shutdown(Socket::shutdown_send, error);
    asio::post(socket_.get_executor(), [done = std::move(done), error] { done(error, 0); });
  }
  void close() override { close_socket(socket_); }

 private:
  Socket socket_;
};

class TlsTransport final : public Transport {
 public:
  TlsTransport(Socket socket, asio::ssl::context& context) : stream_(std::move(socket), context) {}

  void handshake(Done done) override {
    stream_.async_handshake(
        asio::ssl::stream_base::server,
        [done = std::move(done)](boost::system::error_code error) { done(error, 0); });
  }
  void read_some(asio::mutable_buffer into, Done done) override {
    stream_.async_read_some(into, std::move(done));
  }
  void write_some(asio::const_buffer from, Done done) override {
    stream_.async_write_some(from, std::move(done));
  }
  void shut_down(Done done) override {
    // Without TLS's own farewell, which would wait for the client's: the length of every answer
    // is known from HTTP.
    boost::system::error_code error;
    stream_.next_layer().shutdown(Socket::shutdown_send, error);
    asio::post(stream_.get_executor(), [done = std::move(done), error] { done(error, 0); });
  }
  void close() override { close_socket(stream_.next_layer()); }

 private:
  asio::ssl::stream<Socket> stream_;
};

}  // namespace

std::unique_ptr<Transport> make_transport(Transport::Socket socket, asio::ssl::context* tls) {
  if (tls == nullptr) return std::make_unique<PlainTransport>(std::move(socket));
  return std::make_unique<TlsTransport>(std::move(socket), *tls);
}

std::unique_ptr<asio::ssl::context> make_tls_context(const std::string& certificate_file,
                                                     const std::string& key_file) {
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  boost::system::error_code error;
  context->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                           asio::ssl::context::no_tlsv1_1,
                       error);
  const auto check = [&](const std::string& file, const char* what) {
    if (error) throw Error({.where = file, .what = what, .found = error.message()});
  };
  context->use_certificate_chain_file(certificate_file, error);
  check(certificate_file, "not usable as a TLS certificate (PEM)");
  context->use_private_key_file(key_file, asio::ssl::context::pem, error);
  check(key_file, "not usable as the private key of the TLS certificate (PEM)");
  return context;
}

}  // namespace zaya
