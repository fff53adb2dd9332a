#include <utility>

#include "server/completion_call.h"

namespace zaya {
namespace {

/// The log-probabilities of a choice, in the old form: lists side by side.
class CompletionLogprobs {
 public:
  explicit CompletionLogprobs(std::size_t offset) : offset_(offset) {}

  void add(const ModelText& text, const Logprobs& logprobs) {
    const std::string token = token_text(text, logprobs.token.id);
    Json top = Json::object();
    for (const TokenLogprob& t : logprobs.top) top[token_text(text, t.id)] = t.logprob;
    top[token] = logprobs.token.logprob;
    tokens_.push_back(token);
    values_.push_back(logprobs.token.logprob);
    top_.push_back(std::move(top));
    offsets_.push_back(offset_);
    offset_ += token.size();
  }

  /// What was added since the last time.
  Json take() {
    return {{"tokens", std::exchange(tokens_, Json::array())},
            {"token_logprobs", std::exchange(values_, Json::array())},
            {"top_logprobs", std::exchange(top_, Json::array())},
            {"text_offset", std::exchange(offsets_, Json::array())}};
  }

 private:
  std::size_t offset_;  // bytes of text before the next token
  Json tokens_ = Json::array();
  Json values_ = Json::array();
  Json top_ = Json::array();
  Json offsets_ = Json::array();
};

class CompletionReply final : public Reply {
 public:
  CompletionReply(ReplyContext context, const CompletionCall& call,
                  std::vector<std::string> prompts)
      : context_(std::move(context)),
        prompts_(std::move(prompts)),
        n_(call.n),
        streaming_(call.streaming),
        echo_(call.echo),
        logprobs_wanted_(call.params.top_logprobs.has_value()),
        choices_(prompts_.size() * call.n) {}

  void begin() override {
    for (std::size_t i = 0; i < choices_.size() && echo_; ++i) choices_[i].text = prompts_[i / n_];
    if (!streaming_.stream) return;
    begin_sse(*context_.exchange);
    for (std::size_t i = 0; i < choices_.size() && echo_; ++i) send(i, nullptr, nullptr);
  }

  void event(std::size_t i, const RequestEvent& event) override {
    Choice& choice = choices_[i];
    if (event.token) {
      choice.text += event.token->text.answer;
      if (event.token->logprobs) choice.logprobs.add(*context_.text, *event.token->logprobs);
    }
    choice.text += event.rest.answer;
    Json finish = nullptr;
    Json stop = nullptr;
    if (event.finish) {
      finish = openai_finish_reason(*event.finish);
      if (!event.stop_string.empty()) stop = event.stop_string;
      usage_.add(event.stats, i % n_ == 0);
    }
    if (!streaming_.stream) {
      choice.finish = std::move(finish);
      choice.stop = std::move(stop);
    } else if (!choice.text.empty() || logprobs_wanted_ || event.finish) {
      send(i, std::move(finish), std::move(stop),
           event.finish ? timings_json(event.stats) : Json(nullptr));
    }
  }

  void end() override {
    if (streaming_.stream) {
      if (streaming_.include_usage) {
        Json json = head();
        json["choices"] = Json::array();
        json["usage"] = usage_json(usage_);
        context_.exchange->write(sse(json));
      }
      context_.exchange->write(kSseDone);
      return context_.exchange->end();
    }
    Json json = head();
    json["choices"] = Json::array();
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      json["choices"].push_back(
          choice_json(i, std::move(choices_[i].finish), std::move(choices_[i].stop)));
    }
    json["usage"] = usage_json(usage_);
    json["timings"] = usage_.timings;
    context_.exchange->respond({.body = to_wire(json)});
  }

  void fail(const ApiError::Detail& error) override {
    if (!streaming_.stream) {
      return context_.exchange->respond(error_response(error, Dialect::openai));
    }
    context_.exchange->write(sse(error_json(error, Dialect::openai)));
    context_.exchange->write(kSseDone);
    context_.exchange->end();
  }

 private:
  struct Choice {
    std::string text;  // not sent yet
    CompletionLogprobs logprobs{0};
    Json finish = nullptr;
    Json stop = nullptr;
  };

  Json head() const {
    return {{"id", context_.id},
            {"object", "text_completion"},
            {"created", context_.created},
            {"model", context_.model}};
  }

  Json choice_json(std::size_t i, Json finish, Json stop) {
    Json logprobs = nullptr;
    if (logprobs_wanted_) logprobs = choices_[i].logprobs.take();
    return {{"index", i},
            {"text", std::exchange(choices_[i].text, {})},
            {"logprobs", std::move(logprobs)},
            {"finish_reason", std::move(finish)},
            {"stop_reason", std::move(stop)}};
  }

  void send(std::size_t i, Json finish, Json stop, Json timings = nullptr) {
    Json json = head();
    json["choices"] = Json::array({choice_json(i, std::move(finish), std::move(stop))});
    if (streaming_.include_usage) json["usage"] = nullptr;
    if (!timings.is_null()) json["timings"] = std::move(timings);
    context_.exchange->write(sse(json));
  }

  ReplyContext context_;
  std::vector<std::string> prompts_;
  std::size_t n_;
  Streaming streaming_;
  bool echo_;
  bool logprobs_wanted_;
  std::vector<Choice> choices_;
  Usage usage_;
};

}  // namespace

std::unique_ptr<Reply> make_completion_reply(ReplyContext context, const CompletionCall& call,
                                             std::vector<std::string> prompts) {
  return std::make_unique<CompletionReply>(std::move(context), call, std::move(prompts));
}

}  // namespace zaya
