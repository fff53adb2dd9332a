#include "server/generation_job.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

namespace zaya {

void Admission::enter(std::size_t choices) {
  std::size_t before = under_way_;
  do {
    // A call of many choices is let in by itself, whatever the bound.
    if (before > 0 && before + choices > most_) {
      const double waiting = static_cast<double>(before) / static_cast<double>(running_);
      const double wait = std::clamp(std::ceil(mean_seconds_ * waiting / 2), 1.0, 60.0);
      throw ApiError({.status = 429,
                      .message = fmt::format("{} outputs are under way, which is the most this "
                                             "server takes; try again later",
                                             before),
                      .code = "rate_limit_exceeded",
                      .retry_after = static_cast<int>(wait)});
    }
  } while (!under_way_.compare_exchange_weak(before, before + choices));
}

void Admission::leave(std::optional<double> seconds) {
  --under_way_;
  if (seconds) mean_seconds_ = 0.9 * mean_seconds_ + 0.1 * *seconds;
}

GenerationJob::GenerationJob(Engine& engine, Admission& admission, Metrics& metrics,
                             std::shared_ptr<Exchange> exchange, std::unique_ptr<Reply> reply)
    : engine_(engine),
      admission_(admission),
      metrics_(metrics),
      exchange_(std::move(exchange)),
      reply_(std::move(reply)) {}

void GenerationJob::start(const Request& request, std::vector<std::vector<TokenId>> prompts) {
  open_ = prompts.size() * request.n;
  last_tokens_.resize(open_);
  admission_.enter(open_);
  std::vector<RequestId> requests;
  try {
    for (std::vector<TokenId>& prompt : prompts) {
      Request one = request;
      one.prompt = std::move(prompt);
      requests.push_back(submit(std::move(one), requests.size() * request.n));
    }
  } catch (const Error& error) {
    const std::size_t lost = last_tokens_.size() - requests.size() * request.n;
    for (std::size_t i = 0; i < lost; ++i) admission_.leave();
    const ApiError reason = from_request(error);
    if (requests.empty()) throw reason;
    // Some run already: they are cancelled, and nobody listens.
    exchange_->post([self = shared_from_this(), lost, detail = reason.detail(),
                     requests = std::move(requests)]() mutable {
      self->open_ -= lost;
      self->requests_ = std::move(requests);
      self->fail(detail);
    });
    return;
  }
  exchange_->post([self = shared_from_this(), requests = std::move(requests)]() mutable {
    self->submitted(std::move(requests));
  });
}

RequestId GenerationJob::submit(Request request, std::size_t first_choice) {
  request.on_event = [self = shared_from_this(), first_choice](const RequestEvent& event) {
    const std::size_t choice = first_choice + event.choice;
    // Before its client can know of the end, there is room for another.
    if (event.finish) {
      self->admission_.leave(std::chrono::duration<double>(Clock::now() - self->started_).count());
    }
    self->exchange_->post([self, choice, event] { self->on_event(choice, event); });
  };
  return engine_.submit(std::move(request));
}

/// Events may have come before.
void GenerationJob::submitted(std::vector<RequestId> requests) {
  requests_ = std::move(requests);
  if (failed_) return cancel();
  begin();
  exchange_->on_disconnect([self = shared_from_this()] { self->cancel(); });
}

void GenerationJob::begin() {
  if (begun_ || failed_) return;
  begun_ = true;
  reply_->begin();
}

void GenerationJob::on_event(std::size_t choice, const RequestEvent& event) {
  begin();
  record(event, last_tokens_[choice]);
  if (event.finish) --open_;
  if (!failed_) {
    if (event.finish == FinishReason::cancelled) {
      if (event.error.empty()) {
        fail({.status = 503, .message = "the request was cancelled"});
      } else {
        fail({.status = 500, .message = event.error});
      }
    } else {
      reply_->event(choice, event);
      if (open_ == 0) reply_->end();
    }
  }
}

void GenerationJob::record(const RequestEvent& event,
                           std::optional<Clock::time_point>& last_token) {
  const Clock::time_point now = Clock::now();
  if (event.token) {
    const double seconds =
        std::chrono::duration<double>(now - last_token.value_or(started_)).count();
    if (last_token) {
      metrics_.token_after(seconds);
    } else {
      metrics_.first_token_after(seconds);
    }
    last_token = now;
  }
  if (event.finish) {
    metrics_.choice_ended(*event.finish, event.stats,
                          std::chrono::duration<double>(now - started_).count());
  }
}

void GenerationJob::fail(const ApiError::Detail& error) {
  if (failed_) return;
  failed_ = true;
  cancel();
  reply_->fail(error);
}

void GenerationJob::cancel() {
  for (const RequestId id : requests_) engine_.cancel(id);
}

}  // namespace zaya
