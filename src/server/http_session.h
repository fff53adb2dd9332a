#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "server/http.h"
#include "server/transport.h"

namespace zaya {

class HttpSession;

/// What a connection needs of its server. All on the I/O thread.
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  virtual const HttpServerOptions& settings() const = 0;
  virtual HttpHandler& handler() = 0;
  virtual boost::asio::io_context& context() = 0;
  /// Every answer is to be the last of its connection.
  virtual bool ending() const = 0;
  virtual void run_later(std::function<void()> work) = 0;
  virtual void closed(const std::shared_ptr<HttpSession>& session) = 0;
};

/// One connection: reads requests one after the other, hands each to a worker, writes the answer.
/// While an answer is under way it goes on reading, to see the client leave; what it reads then is
/// kept for the next request. All on the I/O thread.
class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  HttpSession(SessionHost& host, std::unique_ptr<Transport> transport, std::string remote);

  void start();
  /// Ends after the answer under way, or now if there is none.
  void drain();
  void close();

  // The answer to request `number`; calls for an earlier one are ignored.
  void respond(std::size_t number, HttpResponse response);
  void begin(std::size_t number, const HttpResponse& head, std::string keep_alive);
  void write(std::size_t number, std::string_view bytes);
  void end(std::size_t number);
  /// Ends the connection in the middle of the answer.
  void abandon(std::size_t number);
  void on_disconnect(std::size_t number, std::function<void()> f);
  void post(std::function<void()> f);

 private:
  using Clock = std::chrono::steady_clock;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  enum class Phase { handshake, between, idle, head, body, busy, lingering, closed };

  /// What is read meanwhile is for later.
  bool answers() const { return phase_ == Phase::busy || phase_ == Phase::between; }
  void next_request();
  void read();
  void on_read(boost::system::error_code error, std::size_t bytes);
  void on_input_end(boost::system::error_code error);
  void parse();
  bool parse_head();
  void dispatch();
  HttpRequest take_head();
  void refuse_with(HttpResponse response, bool close_after);
  void fail(int status, std::string_view message);

  void put_head(const HttpResponse& head, std::optional<std::size_t> length);
  void send(std::string_view bytes);
  void flush();
  void on_written(boost::system::error_code error, std::size_t bytes);
  void after_flush();
  void linger();
  void gone();

  void set_read_deadline(double seconds);
  void on_read_deadline();
  void set_write_deadline(double seconds);
  void on_write_deadline();

  SessionHost& host_;
  std::unique_ptr<Transport> transport_;
  std::string remote_;
  boost::asio::steady_timer read_timer_;
  boost::asio::steady_timer write_timer_;
  Phase phase_ = Phase::handshake;

  // Reading.
  std::array<char, 8192> chunk_;  // of the read under way
  std::string inbox_;             // read and not parsed
  bool reading_ = false;
  bool input_ended_ = false;
  std::optional<Parser> parser_;
  Clock::time_point started_ = {};  // of the body, then of the answer
  std::size_t received_ = 0;        // of the body, roughly
  std::size_t lingered_ = 0;

  // The request being answered.
  std::size_t number_ = 0;
  HttpRequest head_;     // without its body
  bool modern_ = false;  // HTTP/1.1 or later
  bool keep_alive_ = false;
  bool answering_ = false;  // there is a request without a whole answer
  int status_ = 0;          // 0: no head sent yet
  bool chunked_ = false;
  std::string sign_of_life_;
  std::size_t body_bytes_ = 0;
  std::vector<std::function<void()>> disconnect_;

  // Writing.
  std::string outbox_;
  std::string sending_;
  std::size_t sent_ = 0;
  bool writing_ = false;
};

}  // namespace zaya
