#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zaya {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

/// A request as handlers see it.
struct HttpRequest {
  std::string method;
  std::string path;   ///< percent-decoded, without the query
  std::string query;  ///< as sent, without the question mark
  HttpHeaders headers;
  std::string body;
  std::string remote;  ///< address and port of the client

  /// The first header of this name, in any case; empty when there is none.
  std::string_view header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  HttpHeaders headers = {};
  std::string body = {};
};

/// One request and the way back. Every call may come from any thread. What is dropped without an
/// answer is answered with 500.
///
/// The answer is either respond(), or begin(), any number of write() and end(). What comes after
/// the end is ignored.
class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual const HttpRequest& request() const = 0;

  virtual void respond(HttpResponse response) = 0;
  /// The head of a stream; its body is ignored. `keep_alive` is sent whenever nothing else was for
  /// a while, so that no proxy between takes the stream for dead.
  virtual void begin(HttpResponse head, std::string keep_alive) = 0;
  virtual void write(std::string bytes) = 0;
  virtual void end() = 0;

  /// Calls `f` on the connection's thread, after what was posted before.
  virtual void post(std::function<void()> f) = 0;
  /// Calls `f` on the connection's thread as soon as the client has gone before the answer's end;
  /// at once if it has. A client that closes only its own direction counts as gone: the two cannot
  /// be told apart without writing.
  virtual void on_disconnect(std::function<void()> f) = 0;
};

/// What a server does with requests.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  /// Sees a request's head before its body is read; an answer here ends it. On the connection's
  /// thread, so it must be quick.
  virtual bool refuse(const HttpRequest& head, HttpResponse& answer) = 0;
  /// Sees a whole request, on a worker thread. An exception becomes an answer with 500.
  virtual void handle(std::shared_ptr<Exchange> exchange) = 0;
  /// The body of an answer that the server gives by itself (malformed requests, say).
  virtual HttpResponse problem(int status, std::string_view message) = 0;
  /// Headers that every answer to this request has besides its own.
  virtual HttpHeaders extra_headers(const HttpRequest& request) = 0;
  /// Sees every answered request, on the connection's thread; `bytes` of body were sent, or tried.
  virtual void answered(const HttpRequest& request, int status, std::size_t bytes,
                        double seconds) = 0;
};

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  unsigned short port = 0;  ///< 0: any that is free
  std::string certificate_file = {};
  std::string key_file = {};  ///< with certificate_file: TLS
  std::size_t most_connections = 8192;
  std::size_t most_header_bytes = std::size_t{32} << 10;
  std::size_t most_body_bytes = std::size_t{16} << 20;
  /// Bytes of a stream that wait for a slow client before it is dropped.
  std::size_t most_unsent_bytes = std::size_t{8} << 20;
  int workers = 2;
  // Seconds:
  double header_timeout = 15;  ///< from a request's first byte to the end of its head
  double body_timeout = 30;    ///< for the body, and more with every byte that comes in time
  double idle_timeout = 120;   ///< between requests
  double write_timeout = 60;   ///< in which a client takes no byte
  double keep_alive = 15;      ///< between signs of life of a silent stream
  double drain_timeout = 30;   ///< for answers under way, once the server is told to end
};

/// HTTP/1.1 on one I/O thread, and a few workers for what takes time. Keep-alive, pipelining,
/// Expect: 100-continue, chunked bodies both ways, optional TLS.
class HttpServer {
 public:
  /// Takes the port. Throws Error when it cannot, or when certificate or key are not usable.
  explicit HttpServer(HttpServerOptions options);
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();

  unsigned short port() const;
  std::size_t connections() const;  ///< open now; from any thread
  bool draining() const;            ///< from any thread

  /// Serves until SIGTERM or SIGINT, then lets answers under way come to their end, for
  /// drain_timeout at most. A second signal ends that at once. `handler` must outlive all
  /// exchanges.
  void run(HttpHandler& handler);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The standard phrase of a status.
std::string_view http_reason(int status);
/// Percent-decoding of a path. False when it is malformed.
bool percent_decode(std::string_view text, std::string& out);

}  // namespace zaya
