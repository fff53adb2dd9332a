#include <utility>

#include "server/blocks.h"
#include "server/chat_reply.h"
#include "server/messages_call.h"

namespace zaya {
namespace {

using Kind = OutputBlock::Kind;

/// The answer to Anthropic's /v1/messages.
class MessagesReply final : public Reply, private BlockReader {
 public:
  MessagesReply(ReplyContext context, const ChatCall& call)
      : context_(std::move(context)),
        stream_(call.streaming.stream),
        output_(output_options(call)) {}

  void begin() override {
    if (!stream_) return;
    begin_sse(*context_.exchange);
    Json message = head();
    message["content"] = Json::array();
    message["stop_reason"] = nullptr;
    message["stop_sequence"] = nullptr;
    message["usage"] = {{"input_tokens", context_.prompt_tokens}, {"output_tokens", 0}};
    send("message_start", {{"message", std::move(message)}});
  }

  void event(std::size_t, const RequestEvent& event) override {
    BlockReader::push(output_.push(event));
    if (event.finish) usage_.add(event.stats, true);
  }

  void end() override {
    BlockReader::finish();
    const Json stop = {{"stop_reason", stop_reason()}, {"stop_sequence", stop_sequence()}};
    if (stream_) {
      send("message_delta", {{"delta", stop}, {"usage", usage()}});
      send("message_stop", Json::object());
      return context_.exchange->end();
    }
    Json json = head();
    json["content"] = Json::array();
    for (const OutputBlock& block : blocks()) json["content"].push_back(whole(block));
    json.update(stop);
    json["usage"] = usage();
    context_.exchange->respond({.body = to_wire(json)});
  }

  void fail(const ApiError::Detail& error) override {
    if (!stream_) return context_.exchange->respond(error_response(error, Dialect::anthropic));
    context_.exchange->write(sse(error_json(error, Dialect::anthropic), "error"));
    context_.exchange->end();
  }

 private:
  Json head() const {
    return {
        {"id", context_.id}, {"type", "message"}, {"role", "assistant"}, {"model", context_.model}};
  }

  Json usage() const {
    // Here the cached tokens are not among the input tokens.
    return {{"input_tokens", usage_.prompt - usage_.cached},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", usage_.cached},
            {"output_tokens", usage_.completion}};
  }

  const char* stop_reason() const {
    const std::string& reason = output_.finish_reason();
    if (reason == "tool_calls") return "tool_use";
    if (reason == "length") return "max_tokens";
    return output_.stop_string().empty() ? "end_turn" : "stop_sequence";
  }

  Json stop_sequence() const {
    return output_.stop_string().empty() ? Json(nullptr) : Json(output_.stop_string());
  }

  static Json whole(const OutputBlock& block) {
    switch (block.kind) {
      case Kind::reasoning:
        return {{"type", "thinking"}, {"thinking", block.text}, {"signature", ""}};
      case Kind::content:
        return {{"type", "text"}, {"text", block.text}};
      case Kind::call:
        break;
    }
    return {{"type", "tool_use"},
            {"id", block.call_id},
            {"name", block.name},
            {"input", parse_json(block.text, "arguments")}};
  }

  void opened(std::size_t index, OutputBlock& block) override {
    OutputBlock empty = block;
    if (block.kind == Kind::call) empty.text = "{}";
    send("content_block_start", {{"index", index}, {"content_block", whole(empty)}});
  }

  void grew(std::size_t index, const OutputBlock& block, std::string_view text) override {
    Json delta;
    switch (block.kind) {
      case Kind::reasoning:
        delta = {{"type", "thinking_delta"}, {"thinking", text}};
        break;
      case Kind::content:
        delta = {{"type", "text_delta"}, {"text", text}};
        break;
      case Kind::call:
        delta = {{"type", "input_json_delta"}, {"partial_json", text}};
        break;
    }
    send("content_block_delta", {{"index", index}, {"delta", std::move(delta)}});
  }

  void closed(std::size_t index, const OutputBlock&) override {
    send("content_block_stop", {{"index", index}});
  }

  void send(const char* type, const Json& fields) {
    if (!stream_) return;
    Json json = {{"type", type}};
    json.update(fields);
    context_.exchange->write(sse(json, type));
  }

  ReplyContext context_;
  bool stream_;
  ChatOutput output_;
  Usage usage_;
};

}  // namespace

std::unique_ptr<Reply> make_messages_reply(ReplyContext context, const ChatCall& call) {
  return std::make_unique<MessagesReply>(std::move(context), call);
}

}  // namespace zaya
