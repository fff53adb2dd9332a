#include <utility>

#include "server/blocks.h"
#include "server/chat_reply.h"
#include "server/responses_call.h"

namespace zaya {
namespace {

using Kind = OutputBlock::Kind;

/// The answer to /v1/responses: items, and with "stream" an event for every step of each.
class ResponsesReply final : public Reply, private BlockReader {
 public:
  ResponsesReply(ReplyContext context, const ResponsesCall& call)
      : context_(std::move(context)),
        stream_(call.chat.streaming.stream),
        echo_(call.echo),
        output_(output_options(call.chat)) {}

  void begin() override {
    if (!stream_) return;
    begin_sse(*context_.exchange);
    send("response.created", {{"response", response("in_progress")}});
    send("response.in_progress", {{"response", response("in_progress")}});
  }

  void event(std::size_t, const RequestEvent& event) override {
    BlockReader::push(output_.push(event));
    if (event.finish) usage_.add(event.stats, true);
  }

  void end() override {
    BlockReader::finish();
    const bool whole = output_.finish_reason() != "length";
    const char* status = whole ? "completed" : "incomplete";
    Json json = response(status);
    if (!whole) json["incomplete_details"] = {{"reason", "max_output_tokens"}};
    json["output"] = items();
    json["usage"] = {{"input_tokens", usage_.prompt},
                     {"input_tokens_details", {{"cached_tokens", usage_.cached}}},
                     {"output_tokens", usage_.completion},
                     {"output_tokens_details", {{"reasoning_tokens", usage_.reasoning}}},
                     {"total_tokens", usage_.prompt + usage_.completion}};
    if (!stream_) return context_.exchange->respond({.body = to_wire(json)});
    send(whole ? "response.completed" : "response.incomplete", {{"response", std::move(json)}});
    context_.exchange->end();
  }

  void fail(const ApiError::Detail& error) override {
    if (!stream_) return context_.exchange->respond(error_response(error, Dialect::openai));
    Json json = response("failed");
    json["error"] = {{"code", "server_error"}, {"message", error.message}};
    send("response.failed", {{"response", std::move(json)}});
    context_.exchange->end();
  }

 private:
  Json response(const char* status) const {
    Json json = {
        {"id", context_.id},       {"object", "response"},    {"created_at", context_.created},
        {"status", status},        {"error", nullptr},        {"incomplete_details", nullptr},
        {"model", context_.model}, {"output", Json::array()}, {"usage", nullptr}};
    json.update(echo_);
    return json;
  }

  static Json text_part(const OutputBlock& block) {
    if (block.kind == Kind::reasoning) return {{"type", "reasoning_text"}, {"text", block.text}};
    return {{"type", "output_text"},
            {"text", block.text},
            {"annotations", Json::array()},
            {"logprobs", Json::array()}};
  }

  static Json item(const OutputBlock& block, const char* status) {
    const bool open = std::string_view(status) == "in_progress";
    const Json content = open ? Json::array() : Json::array({text_part(block)});
    switch (block.kind) {
      case Kind::reasoning:
        return {{"id", block.item_id},
                {"type", "reasoning"},
                {"status", status},
                {"summary", Json::array()},
                {"content", content}};
      case Kind::content:
        return {{"id", block.item_id},
                {"type", "message"},
                {"status", status},
                {"role", "assistant"},
                {"content", content}};
      case Kind::call:
        break;
    }
    return {{"id", block.item_id},      {"type", "function_call"}, {"status", status},
            {"call_id", block.call_id}, {"name", block.name},      {"arguments", block.text}};
  }

  Json items() const {
    Json list = Json::array();
    for (const OutputBlock& block : blocks()) {
      list.push_back(item(block, block.complete ? "completed" : "incomplete"));
    }
    return list;
  }

  void opened(std::size_t index, OutputBlock& block) override {
    block.item_id = new_id(block.kind == Kind::reasoning ? "rs_"
                           : block.kind == Kind::content ? "msg_"
                                                         : "fc_");
    send("response.output_item.added",
         {{"output_index", index}, {"item", item(block, "in_progress")}});
    if (block.kind == Kind::call) return;
    send("response.content_part.added", part(index, block));
  }

  void grew(std::size_t index, const OutputBlock& block, std::string_view text) override {
    Json json = place(index, block);
    json["delta"] = text;
    if (block.kind == Kind::content) json["logprobs"] = Json::array();
    send(std::string(stem(block)) + ".delta", std::move(json));
  }

  void closed(std::size_t index, const OutputBlock& block) override {
    Json json = place(index, block);
    json[block.kind == Kind::call ? "arguments" : "text"] = block.text;
    if (block.kind == Kind::call) json["name"] = block.name;
    if (block.kind == Kind::content) json["logprobs"] = Json::array();
    send(std::string(stem(block)) + ".done", std::move(json));
    if (block.kind != Kind::call) send("response.content_part.done", part(index, block));
    send("response.output_item.done",
         {{"output_index", index},
          {"item", item(block, block.complete ? "completed" : "incomplete")}});
  }

  static const char* stem(const OutputBlock& block) {
    switch (block.kind) {
      case Kind::reasoning:
        return "response.reasoning_text";
      case Kind::content:
        return "response.output_text";
      case Kind::call:
        break;
    }
    return "response.function_call_arguments";
  }

  static Json place(std::size_t index, const OutputBlock& block) {
    Json json = {{"item_id", block.item_id}, {"output_index", index}};
    if (block.kind != Kind::call) json["content_index"] = 0;
    return json;
  }

  static Json part(std::size_t index, const OutputBlock& block) {
    Json json = place(index, block);
    json["part"] = text_part(block);
    return json;
  }

  void send(const std::string& type, Json fields) {
    if (!stream_) return;
    Json json = {{"type", type}, {"sequence_number", sequence_++}};
    json.update(fields);
    context_.exchange->write(sse(json, type.c_str()));
  }

  ReplyContext context_;
  bool stream_;
  Json echo_;
  ChatOutput output_;
  Usage usage_;
  std::size_t sequence_ = 0;
};

}  // namespace

std::unique_ptr<Reply> make_responses_reply(ReplyContext context, const ResponsesCall& call) {
  return std::make_unique<ResponsesReply>(std::move(context), call);
}

}  // namespace zaya
