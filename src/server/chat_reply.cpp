#include "server/chat_reply.h"

#include <utility>

namespace zaya {
namespace {

Json logprob_entry(const ModelText& text, const TokenLogprob& t) {
  const std::string bytes = tokenizer_of(text).token_bytes(t.id);
  Json list = Json::array();
  for (const char c : bytes) list.push_back(static_cast<unsigned char>(c));
  return {{"token", token_text(text, t.id)}, {"logprob", t.logprob}, {"bytes", std::move(list)}};
}

Json logprob_json(const ModelText& text, const Logprobs& logprobs) {
  Json json = logprob_entry(text, logprobs.token);
  json["top_logprobs"] = Json::array();
  for (const TokenLogprob& t : logprobs.top) json["top_logprobs"].push_back(logprob_entry(text, t));
  return json;
}

std::vector<ChatOutput> make_outputs(const ChatCall& call) {
  std::vector<ChatOutput> outputs;
  for (std::size_t i = 0; i < call.n; ++i) outputs.emplace_back(output_options(call));
  return outputs;
}

Json call_json(const OutputCall& call) {
  return {{"id", call.id},
          {"type", "function"},
          {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
}

void set_reasoning(Json& message, std::string reasoning) {
  // vLLM's name for it now, and the one that it had and others have.
  message["reasoning"] = reasoning;
  message["reasoning_content"] = std::move(reasoning);
}

class ChatReply : public Reply {
 public:
  ChatReply(ReplyContext context, const ChatCall& call)
      : context_(std::move(context)),
        outputs_(make_outputs(call)),
        include_usage_(call.streaming.include_usage),
        logprobs_(call.params.top_logprobs.has_value()) {}

 protected:
  Json head(const char* object) const {
    return {{"id", context_.id},
            {"object", object},
            {"created", context_.created},
            {"model", context_.model}};
  }

  ReplyContext context_;
  std::vector<ChatOutput> outputs_;
  Usage usage_;
  bool include_usage_;
  bool logprobs_;
};

class WholeChatReply final : public ChatReply {
 public:
  WholeChatReply(ReplyContext context, const ChatCall& call)
      : ChatReply(std::move(context), call), token_logprobs_(call.n, Json::array()) {}

  void begin() override {}

  void event(std::size_t choice, const RequestEvent& event) override {
    outputs_[choice].push(event);
    if (event.token && event.token->logprobs) {
      token_logprobs_[choice].push_back(logprob_json(*context_.text, *event.token->logprobs));
    }
    if (event.finish) usage_.add(event.stats, choice == 0);
  }

  void end() override {
    Json json = head("chat.completion");
    json["choices"] = Json::array();
    for (std::size_t i = 0; i < outputs_.size(); ++i) json["choices"].push_back(choice(i));
    json["usage"] = usage_json(usage_);
    json["timings"] = usage_.timings;
    if (context_.more) json.update(*context_.more);
    context_.exchange->respond({.body = to_wire(json)});
  }

  void fail(const ApiError::Detail& error) override {
    context_.exchange->respond(error_response(error, Dialect::openai));
  }

 private:
  Json choice(std::size_t i) {
    ChatOutput& output = outputs_[i];
    Json message = {{"role", "assistant"}, {"content", output.content()}, {"refusal", nullptr}};
    if (!output.reasoning().empty()) set_reasoning(message, output.reasoning());
    if (!output.calls().empty()) {
      if (output.content().empty()) message["content"] = nullptr;
      message["tool_calls"] = Json::array();
      for (const OutputCall& call : output.calls())
        message["tool_calls"].push_back(call_json(call));
    }
    Json logprobs = nullptr;
    if (logprobs_) logprobs = {{"content", std::move(token_logprobs_[i])}, {"refusal", nullptr}};
    return {
        {"index", i},
        {"message", std::move(message)},
        {"logprobs", std::move(logprobs)},
        {"finish_reason", output.finish_reason()},
        {"stop_reason", output.stop_string().empty() ? Json(nullptr) : Json(output.stop_string())}};
  }

  std::vector<Json> token_logprobs_;
};

class StreamedChatReply final : public ChatReply {
 public:
  using ChatReply::ChatReply;

  void begin() override {
    begin_sse(*context_.exchange);
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      send(i, {{"role", "assistant"}, {"content", ""}}, nullptr);
    }
  }

  void event(std::size_t choice, const RequestEvent& event) override {
    ChatOutput& output = outputs_[choice];
    const std::vector<OutputEvent> events = output.push(event);
    Json logprobs = nullptr;
    if (event.token && event.token->logprobs) {
      logprobs = {{"content", Json::array({logprob_json(*context_.text, *event.token->logprobs)})},
                  {"refusal", nullptr}};
    }
    for (const OutputEvent& e : events) {
      if (e.kind == OutputEvent::Kind::call_end) continue;
      send(choice, delta_json(e), nullptr, std::exchange(logprobs, nullptr));
    }
    if (!logprobs.is_null()) send(choice, Json::object(), nullptr, std::move(logprobs));
    if (!event.finish) return;
    usage_.add(event.stats, choice == 0);
    send(choice, Json::object(), output.finish_reason(), nullptr, timings_json(event.stats));
  }

  void end() override {
    if (include_usage_) {
      Json json = head("chat.completion.chunk");
      json["choices"] = Json::array();
      json["usage"] = usage_json(usage_);
      context_.exchange->write(sse(json));
    }
    context_.exchange->write(kSseDone);
    context_.exchange->end();
  }

  void fail(const ApiError::Detail& error) override {
    context_.exchange->write(sse(error_json(error, Dialect::openai)));
    context_.exchange->write(kSseDone);
    context_.exchange->end();
  }

 private:
  static Json delta_json(const OutputEvent& event) {
    using Kind = OutputEvent::Kind;
    Json delta = Json::object();
    if (event.kind == Kind::reasoning) {
      set_reasoning(delta, event.text);
    } else if (event.kind == Kind::content) {
      delta["content"] = event.text;
    } else {
      // Id and name come once, with the beginning of the call.
      Json call = {{"index", event.call}};
      if (event.kind == Kind::call_begin) {
        call["id"] = event.id;
        call["type"] = "function";
        call["function"] = {{"name", event.text}, {"arguments", ""}};
      } else {
        call["function"] = {{"arguments", event.text}};
      }
      delta["tool_calls"] = Json::array({std::move(call)});
    }
    return delta;
  }

  void send(std::size_t choice, Json delta, Json finish, Json logprobs = nullptr,
            Json timings = nullptr) {
    Json json = head("chat.completion.chunk");
    json["choices"] = Json::array({{{"index", choice},
                                    {"delta", std::move(delta)},
                                    {"logprobs", std::move(logprobs)},
                                    {"finish_reason", std::move(finish)}}});
    if (include_usage_) json["usage"] = nullptr;
    if (!timings.is_null()) json["timings"] = std::move(timings);
    context_.exchange->write(sse(json));
  }
};

}  // namespace

ChatOutput::Options output_options(const ChatCall& call) {
  return {.tools = call.tools,
          .parallel_calls = call.parallel_calls,
          .reasoning = call.include_reasoning};
}

std::unique_ptr<Reply> make_chat_reply(ReplyContext context, const ChatCall& call) {
  if (call.streaming.stream) return std::make_unique<StreamedChatReply>(std::move(context), call);
  return std::make_unique<WholeChatReply>(std::move(context), call);
}

}  // namespace zaya
