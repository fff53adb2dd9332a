#pragma once

#include <functional>
#include <memory>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

namespace zaya {

/// A connection's bytes, in the clear or by TLS. One read and one write at a time, all on the
/// thread of the socket's executor; a handler is called once for each.
class Transport {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using Done = std::function<void(boost::system::error_code, std::size_t)>;

  virtual ~Transport() = default;

  virtual void handshake(Done done) = 0;
  virtual void read_some(boost::asio::mutable_buffer into, Done done) = 0;
  virtual void write_some(boost::asio::const_buffer from, Done done) = 0;
  /// Says that nothing more will be written.
  virtual void shut_down(Done done) = 0;
  /// Ends the connection; what is under way fails.
  virtual void close() = 0;
};

/// `tls` null: in the clear; else it must outlive the transport.
std::unique_ptr<Transport> make_transport(Transport::Socket socket, boost::asio::ssl::context* tls);
/// Throws Error naming the file that is not usable.
std::unique_ptr<boost::asio::ssl::context> make_tls_context(const std::string& certificate_file,
                                                            const std::string& key_file);

}  // namespace zaya
