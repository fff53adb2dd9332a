#include "server/http_session.h"

#include <algorithm>
#include <atomic>
#include <ctime>
#include <utility>

#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/verb.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include "base/timing.h"

namespace zaya {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

// Read ahead of the request being answered, at most.
constexpr std::size_t kMostAhead = std::size_t{64} << 10;
// A body that comes more slowly than this is given up once its first seconds are over.
constexpr double kSlowestBody = 16384;  // bytes a second
// What a client may still send after an answer that ends the connection; closing at once could
// destroy the answer on its way.
constexpr std::size_t kMostLingered = std::size_t{4} << 20;
constexpr double kLingerSeconds = 2;
constexpr int kClientGone = 499;  // nginx's word for it, in the log only

/// The handler's end of a request; the session goes on without it.
class SessionExchange final : public Exchange {
 public:
  SessionExchange(std::shared_ptr<HttpSession> session, asio::io_context::executor_type executor,
                  std::size_t number, HttpRequest request, std::function<HttpResponse()> dropped)
      : session_(std::move(session)),
        executor_(executor),
        number_(number),
        request_(std::move(request)),
        dropped_(std::move(dropped)) {}

  ~SessionExchange() override {
    if (!answered_) {
      run([response = dropped_()](HttpSession& s, std::size_t n) { s.respond(n, response); });
    } else if (!ended_) {
      // A stream without its end tells the client that something is missing.
      run([](HttpSession& s, std::size_t n) { s.abandon(n); });
    }
  }

  const HttpRequest& request() const override { return request_; }

  void respond(HttpResponse response) override {
    answered_ = ended_ = true;
    run([response = std::move(response)](HttpSession& s, std::size_t n) {
      s.respond(n, response);
    });
  }
  void begin(HttpResponse head, std::string keep_alive) override {
    answered_ = true;
    run([head = std::move(head), keep_alive = std::move(keep_alive)](
            HttpSession& s, std::size_t n) { s.begin(n, head, keep_alive); });
  }
  void write(std::string bytes) override {
    run([bytes = std::move(bytes)](HttpSession& s, std::size_t n) { s.write(n, bytes); });
  }
  void end() override {
    ended_ = true;
    run([](HttpSession& s, std::size_t n) { s.end(n); });
  }
  void post(std::function<void()> f) override { asio::post(executor_, std::move(f)); }
  void on_disconnect(std::function<void()> f) override {
    run([f = std::move(f)](HttpSession& s, std::size_t n) { s.on_disconnect(n, f); });
  }

 private:
  template <typename F>
  void run(F f) {
    asio::dispatch(executor_, [session = session_, number = number_, f = std::move(f)] {
      f(*session, number);
    });
  }

  std::shared_ptr<HttpSession> session_;
  asio::io_context::executor_type executor_;
  std::size_t number_;
  HttpRequest request_;
  std::function<HttpResponse()> dropped_;
  std::atomic<bool> answered_ = false;
  std::atomic<bool> ended_ = false;
};

auto duration_of(double seconds) {
  return std::chrono::duration_cast<asio::steady_timer::duration>(
      std::chrono::duration<double>(seconds));
}

bool bodiless(int status) {
  return status == 204 || status == 304;
}

// The path of a request target: "/path", "http://host/path", or "*".
bool split_target(std::string_view target, HttpRequest& request) {
  if (target.empty()) return false;
  if (target.front() != '/' && target != "*") {
    const auto scheme = target.find("://");
    if (scheme == std::string_view::npos) return false;
    target.remove_prefix(std::min(target.find('/', scheme + 3), target.size()));
    if (target.empty()) target = "/";
  }
  const auto question = target.find('?');
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  return percent_decode(target.substr(0, question), request.path);
}

}  // namespace

HttpSession::HttpSession(SessionHost& host, std::unique_ptr<Transport> transport,
                         std::string remote)
    : host_(host),
      transport_(std::move(transport)),
      remote_(std::move(remote)),
      read_timer_(host.context()),
      write_timer_(host.context()) {}

void HttpSession::start() {
  set_read_deadline(host_.settings().header_timeout);
  transport_->handshake([self = shared_from_this()](error_code error, std::size_t) {
    if (self->phase_ == Phase::closed) return;
    if (error) return self->close();
    self->next_request();
  });
}

void HttpSession::drain() {
  keep_alive_ = false;
  const bool nothing_to_do =
      phase_ == Phase::handshake || (phase_ == Phase::idle && inbox_.empty());
  if (nothing_to_do) close();
}

void HttpSession::close() {
  if (phase_ == Phase::closed) return;
  phase_ = Phase::closed;
  transport_->close();
  read_timer_.cancel();
  write_timer_.cancel();
  if (answering_) {
    answering_ = false;
    host_.handler().answered(head_, status_ == 0 ? kClientGone : status_, body_bytes_,
                             seconds_since(started_));
  }
  gone();
  host_.closed(shared_from_this());
}

/// Tells whoever works on the answer that nobody waits for it.
void HttpSession::gone() {
  for (auto& f : std::exchange(disconnect_, {})) post(std::move(f));
}

void HttpSession::post(std::function<void()> f) {
  asio::post(host_.context(), std::move(f));
}

// ---- Reading ----

void HttpSession::next_request() {
  if (host_.ending() && inbox_.empty()) return close();
  phase_ = Phase::idle;
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(host_.settings().most_header_bytes));
  parser_->body_limit(host_.settings().most_body_bytes);
  set_read_deadline(host_.settings().idle_timeout);
  parse();
}

void HttpSession::read() {
  if (reading_) return;
  if (input_ended_) {
    // Nothing more comes: what is half a request never becomes one.
    if (!answers()) close();
    return;
  }
  reading_ = true;
  transport_->read_some(asio::buffer(chunk_),
                        [self = shared_from_this()](error_code error, std::size_t bytes) {
                          self->on_read(error, bytes);
                        });
}

void HttpSession::on_read(error_code error, std::size_t bytes) {
  reading_ = false;
  if (phase_ == Phase::closed) return;
  if (error) return on_input_end(error);
  if (phase_ == Phase::lingering) {
    lingered_ += bytes;
    return lingered_ > kMostLingered ? close() : read();
  }
  inbox_.append(chunk_.data(), bytes);
  if (answers()) {
    if (inbox_.size() < kMostAhead) read();
    return;
  }
  received_ += bytes;
  parse();
}

void HttpSession::on_input_end(error_code error) {
  input_ended_ = true;
  if (!answers() || error != asio::error::eof) return close();
  gone();
}

void HttpSession::parse() {
  while (!inbox_.empty()) {
    if (phase_ == Phase::idle) {
      phase_ = Phase::head;
      set_read_deadline(host_.settings().header_timeout);
    }
    error_code error;
    const std::size_t used = parser_->put(asio::buffer(inbox_), error);
    inbox_.erase(0, used);
    if (error == http::error::need_more) error = {};
    if (error == http::error::body_limit) return fail(413, "the body is too large");
    if (error == http::error::header_limit) return fail(431, "the header fields are too large");
    if (error) return fail(400, fmt::format("malformed HTTP: {}", error.message()));
    if (phase_ == Phase::head && parser_->is_header_done() && !parse_head()) return;
    if (parser_->is_done()) return dispatch();
    if (used == 0) break;
  }
  if (phase_ == Phase::body) {
    set_read_deadline(host_.settings().body_timeout - seconds_since(started_) +
                      static_cast<double>(received_) / kSlowestBody);
  }
  read();
}

/// A head is complete. False when the request ends here.
bool HttpSession::parse_head() {
  phase_ = Phase::body;
  started_ = Clock::now();
  received_ = 0;
  const auto& message = parser_->get();
  modern_ = message.version() >= 11;
  keep_alive_ = parser_->keep_alive() && !host_.ending();
  head_ = take_head();
  if (head_.path.empty()) {
    fail(400, "malformed request target");
    return false;
  }
  const bool has_body = !parser_->is_done();
  HttpResponse answer;
  if (host_.handler().refuse(head_, answer)) {
    refuse_with(std::move(answer), has_body);
    return false;
  }
  if (has_body && modern_ && inbox_.empty() &&
      boost::beast::iequals(message[http::field::expect], "100-continue")) {
    send("HTTP/1.1 100 Continue\r\n\r\n");
  }
  return true;
}

HttpRequest HttpSession::take_head() {
  const auto& message = parser_->get();
  HttpRequest request;
  request.remote = remote_;
  request.method = std::string(message.method_string());
  const auto target = message.target();
  if (!split_target({target.data(), target.size()}, request)) request.path.clear();
  for (const auto& field : message) {
    request.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
  }
  return request;
}

void HttpSession::dispatch() {
  phase_ = Phase::busy;
  read_timer_.cancel();
  started_ = Clock::now();
  answering_ = true;
  status_ = 0;
  body_bytes_ = 0;
  HttpRequest request = head_;
  request.body = std::move(parser_->get().body());
  HttpHandler* handler = &host_.handler();
  auto exchange = std::make_shared<SessionExchange>(
      shared_from_this(), host_.context().get_executor(), ++number_, std::move(request),
      [handler] { return handler->problem(500, "the request was given up"); });
  host_.run_later([exchange = std::move(exchange), handler]() mutable {
    try {
      handler->handle(exchange);
    } catch (const std::exception& error) {
      exchange->respond(handler->problem(500, error.what()));
    }
  });
  read();
}

/// The answer to a request whose body is not wanted.
void HttpSession::refuse_with(HttpResponse response, bool close_after) {
  phase_ = Phase::busy;
  read_timer_.cancel();
  answering_ = true;
  status_ = 0;
  body_bytes_ = 0;
  if (close_after) keep_alive_ = false;
  respond(++number_, std::move(response));
}

/// The answer to what is no request.
void HttpSession::fail(int status, std::string_view message) {
  if (phase_ != Phase::body) {
    head_ = {};
    head_.remote = remote_;
    started_ = Clock::now();
  }
  refuse_with(host_.handler().problem(status, message), /*close_after=*/true);
}

// ---- Answering ----

void HttpSession::respond(std::size_t number, HttpResponse response) {
  if (number != number_ || !answering_ || status_ != 0) return;
  put_head(response, response.body.size());
  if (head_.method != "HEAD" && !bodiless(status_)) {
    body_bytes_ = response.body.size();
    send(response.body);
  }
  end(number);
}

void HttpSession::begin(std::size_t number, const HttpResponse& head, std::string keep_alive) {
  if (number != number_ || !answering_ || status_ != 0) return;
  sign_of_life_ = std::move(keep_alive);
  put_head(head, {});
}

void HttpSession::put_head(const HttpResponse& head, std::optional<std::size_t> length) {
  status_ = head.status;
  chunked_ = !length && modern_;
  if (!length && !modern_) keep_alive_ = false;
  if (host_.ending()) keep_alive_ = false;
  std::string text =
      fmt::format("HTTP/1.1 {} {}\r\nDate: {:%a, %d %b %Y %H:%M:%S} GMT\r\n", head.status,
                  http_reason(head.status), fmt::gmtime(std::time(nullptr)));
  if (!bodiless(head.status)) {
    text += fmt::format("Content-Type: {}\r\n", head.content_type);
    if (length) text += fmt::format("Content-Length: {}\r\n", *length);
  }
  const auto add = [&](const HttpHeaders& headers) {
    for (const auto& [name, value] : headers) text += fmt::format("{}: {}\r\n", name, value);
  };
  add(head.headers);
  add(host_.handler().extra_headers(head_));
  if (chunked_) text += "Transfer-Encoding: chunked\r\n";
  if (!keep_alive_) {
    text += "Connection: close\r\n";
  } else if (!modern_) {
    text += "Connection: keep-alive\r\n";
  }
  send(text + "\r\n");
}

void HttpSession::write(std::size_t number, std::string_view bytes) {
  if (number != number_ || !answering_ || status_ == 0 || bytes.empty()) return;
  body_bytes_ += bytes.size();
  if (outbox_.size() + sending_.size() - sent_ > host_.settings().most_unsent_bytes) return close();
  if (!chunked_) return send(bytes);
  std::string chunk = fmt::format("{:x}\r\n", bytes.size());
  chunk += bytes;
  send(chunk += "\r\n");
}

void HttpSession::end(std::size_t number) {
  if (number != number_ || !answering_ || status_ == 0) return;
  if (chunked_) outbox_ += "0\r\n\r\n";
  chunked_ = false;
  answering_ = false;
  sign_of_life_.clear();
  disconnect_.clear();
  host_.handler().answered(head_, status_, body_bytes_, seconds_since(started_));
  flush();
}

void HttpSession::abandon(std::size_t number) {
  if (number == number_ && answering_) close();
}

void HttpSession::on_disconnect(std::size_t number, std::function<void()> f) {
  if (number != number_ || (phase_ != Phase::closed && !answering_)) return;
  disconnect_.push_back(std::move(f));
  if (input_ended_ || phase_ == Phase::closed) gone();
}

// ---- Writing ----

void HttpSession::send(std::string_view bytes) {
  if (phase_ == Phase::closed) return;
  outbox_ += bytes;
  flush();
}

void HttpSession::flush() {
  if (writing_ || phase_ == Phase::closed) return;
  if (sent_ == sending_.size()) {
    sending_.clear();
    sent_ = 0;
    sending_.swap(outbox_);
  }
  if (sending_.empty()) return after_flush();
  writing_ = true;
  set_write_deadline(host_.settings().write_timeout);
  transport_->write_some(asio::buffer(sending_) + sent_,
                         [self = shared_from_this()](error_code error, std::size_t bytes) {
                           self->on_written(error, bytes);
                         });
}

void HttpSession::on_written(error_code error, std::size_t bytes) {
  writing_ = false;
  if (phase_ == Phase::closed) return;
  if (error) return close();
  sent_ += bytes;
  flush();
}

/// All that there was to write has been written.
void HttpSession::after_flush() {
  if (phase_ != Phase::busy) return;  // 100 Continue
  if (answering_) {
    if (!sign_of_life_.empty()) set_write_deadline(host_.settings().keep_alive);
    return;
  }
  write_timer_.cancel();
  if (!keep_alive_) return linger();
  // Not from here: many small requests in a row must not deepen the stack.
  phase_ = Phase::between;
  post([self = shared_from_this()] {
    if (self->phase_ == Phase::between) self->next_request();
  });
}

/// Ends the connection so that the answer arrives.
void HttpSession::linger() {
  phase_ = Phase::lingering;
  inbox_.clear();
  transport_->shut_down([self = shared_from_this()](error_code error, std::size_t) {
    if (self->phase_ == Phase::closed) return;
    if (error || self->input_ended_) return self->close();
    self->set_read_deadline(kLingerSeconds);
    self->read();
  });
}

// ---- Deadlines ----

void HttpSession::set_read_deadline(double seconds) {
  read_timer_.expires_after(duration_of(std::max(0.0, seconds)));
  read_timer_.async_wait([self = shared_from_this()](error_code error) {
    if (!error && self->read_timer_.expiry() <= Clock::now()) self->on_read_deadline();
  });
}

void HttpSession::on_read_deadline() {
  if (phase_ == Phase::head || phase_ == Phase::body) {
    return fail(408, "the request did not arrive in time");
  }
  if (phase_ != Phase::busy) close();
}

/// While something is being written: for the client to take a byte of it. Else for the next sign of
/// life of a stream.
void HttpSession::set_write_deadline(double seconds) {
  write_timer_.expires_after(duration_of(seconds));
  write_timer_.async_wait([self = shared_from_this()](error_code error) {
    if (!error && self->write_timer_.expiry() <= Clock::now()) self->on_write_deadline();
  });
}

void HttpSession::on_write_deadline() {
  if (writing_) return close();
  if (answering_ && !sign_of_life_.empty()) write(number_, sign_of_life_);
}

}  // namespace zaya
