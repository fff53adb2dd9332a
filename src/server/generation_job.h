#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "server/api_error.h"
#include "server/http.h"
#include "server/metrics.h"
#include "zaya/engine.h"
#include "zaya/token.h"

namespace zaya {

/// How many choices may be under way at once: those that run and those that wait for it.
class Admission {
 public:
  Admission(std::size_t most_running, std::size_t most_waiting)
      : running_(most_running), most_(most_running + most_waiting) {}

  /// Throws ApiError (429, with an estimate of when to try again) when there is no room.
  void enter(std::size_t choices);
  /// One choice is gone; `seconds` after it came, if it ran.
  void leave(std::optional<double> seconds = {});
  std::size_t under_way() const { return under_way_; }

 private:
  std::size_t running_;
  std::size_t most_;
  std::atomic<std::size_t> under_way_ = 0;
  std::atomic<double> mean_seconds_ = 1.0;  // of one choice, recent ones count most
};

/// Turns what happens to the choices of a call into an answer. All on the connection's thread.
class Reply {
 public:
  virtual ~Reply() = default;
  /// Everything has been submitted.
  virtual void begin() = 0;
  virtual void event(std::size_t choice, const RequestEvent& event) = 0;
  /// Every choice has come to its end.
  virtual void end() = 0;
  /// Instead of the end, and of whatever would still come.
  virtual void fail(const ApiError::Detail& error) = 0;
};

/// One call that generates: its prompts' requests in the engine, from admission to the last event.
/// A client that leaves cancels them.
class GenerationJob : public std::enable_shared_from_this<GenerationJob> {
 public:
  GenerationJob(Engine& engine, Admission& admission, Metrics& metrics,
                std::shared_ptr<Exchange> exchange, std::unique_ptr<Reply> reply);

  /// Choice `i` of prompt `p` is number p * request.n + i for the reply. `request` has everything
  /// but the prompt. On a worker. Throws ApiError when nothing was submitted.
  void start(const Request& request, std::vector<std::vector<TokenId>> prompts);

 private:
  using Clock = std::chrono::steady_clock;

  RequestId submit(Request request, std::size_t first_choice);
  void submitted(std::vector<RequestId> requests);
  void on_event(std::size_t choice, const RequestEvent& event);
  void record(const RequestEvent& event, std::optional<Clock::time_point>& last_token);
  void begin();
  void fail(const ApiError::Detail& error);
  void cancel();

  Engine& engine_;
  Admission& admission_;
  Metrics& metrics_;
  std::shared_ptr<Exchange> exchange_;
  std::unique_ptr<Reply> reply_;
  Clock::time_point started_ = Clock::now();

  // On the connection's thread once begun.
  std::vector<RequestId> requests_;
  std::vector<std::optional<Clock::time_point>> last_tokens_;  // by choice
  std::size_t open_ = 0;                                       // choices without their last event
  bool begun_ = false;
  bool failed_ = false;
};

}  // namespace zaya
