// How outputs become answers: tool calls in each of the APIs, from text as a model would write it.
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "server/chat_reply.h"
#include "server/messages_call.h"
#include "server/responses_call.h"

namespace zaya {
namespace {

/// Keeps what is answered.
class Recorder final : public Exchange {
 public:
  const HttpRequest& request() const override { return request_; }
  void respond(HttpResponse response) override {
    status = response.status;
    body = std::move(response.body);
  }
  void begin(HttpResponse head, std::string) override { status = head.status; }
  void write(std::string bytes) override { body += bytes; }
  void end() override { ended = true; }
  void post(std::function<void()> f) override { f(); }
  void on_disconnect(std::function<void()>) override {}

  /// The data of the events, [DONE] left out.
  std::vector<Json> events() const {
    std::vector<Json> out;
    constexpr std::string_view kData = "data: ";
    for (std::size_t at = 0; (at = body.find(kData, at)) != std::string::npos;) {
      const auto end = body.find("\n\n", at);
      const std::string data = body.substr(at + kData.size(), end - at - kData.size());
      if (data != "[DONE]") out.push_back(parse_json(data, "event"));
      at = end;
    }
    return out;
  }

  int status = 0;
  std::string body;
  bool ended = false;

 private:
  HttpRequest request_;
};

const char* const kCall =
    "Let me look.\n<zyphra_tool_call>\n<function=look>\n<parameter=place>\nattic\n</parameter>\n"
    "<parameter=count>\n2\n</parameter>\n</function>\n</zyphra_tool_call>";
const Json kParameters = {
    {"type", "object"},
    {"properties", {{"place", {{"type", "string"}}}, {"count", {{"type", "integer"}}}}}};
const Json kArguments = {{"place", "attic"}, {"count", 2}};
const Json kMessages = Json::array({{{"role", "user"}, {"content", "Where is it?"}}});

ReplyContext context(const std::shared_ptr<Recorder>& recorder) {
  return {.exchange = recorder, .id = "id-1", .model = "tiny", .created = 5};
}

/// Lets a reply see a thought and then `text`, in pieces of `step` bytes.
void feed(Reply& reply, const std::string& text, std::size_t step) {
  reply.begin();
  const auto event = [](std::string reasoning, std::string answer) {
    RequestEvent e;
    e.token.emplace();
    e.token->text = {std::move(reasoning), std::move(answer)};
    return e;
  };
  reply.event(0, event("I wonder", ""));
  for (std::size_t i = 0; i < text.size(); i += step)
    reply.event(0, event("", text.substr(i, step)));
  RequestEvent last;
  last.finish = FinishReason::stop;
  last.stats = {.prompt_tokens = 9, .cached_tokens = 4, .output_tokens = 7, .reasoning_tokens = 2};
  reply.event(0, last);
  reply.end();
}

ChatCall chat_call(bool stream) {
  return read_chat_call(
      {{"messages", kMessages},
       {"stream", stream},
       {"tools", Json::array({{{"type", "function"},
                               {"function", {{"name", "look"}, {"parameters", kParameters}}}}})}},
      {}, Json::object());
}

TEST(Replies, ChatWithACall) {
  const auto whole = std::make_shared<Recorder>();
  feed(*make_chat_reply(context(whole), chat_call(false)), kCall, 1000);
  const Json choice = parse_json(whole->body, "body").at("choices")[0];
  EXPECT_EQ(choice.at("finish_reason"), "tool_calls");
  EXPECT_EQ(choice.at("message").at("content"), "Let me look.");
  EXPECT_EQ(choice.at("message").at("reasoning"), "I wonder");
  const Json call = choice.at("message").at("tool_calls")[0];
  EXPECT_EQ(call.at("function").at("name"), "look");
  EXPECT_EQ(parse_json(call.at("function").at("arguments").get<std::string>(), "a"), kArguments);

  for (const std::size_t step : {1, 2, 7, 1000}) {
    const auto stream = std::make_shared<Recorder>();
    feed(*make_chat_reply(context(stream), chat_call(true)), kCall, step);
    EXPECT_TRUE(stream->ended);
    EXPECT_TRUE(stream->body.ends_with("data: [DONE]\n\n"));
    std::string content;
    std::string name;
    std::string arguments;
    std::string finish;
    int ids = 0;
    for (const Json& event : stream->events()) {
      const Json& c = event.at("choices")[0];
      const Json& delta = c.at("delta");
      content += delta.value("content", "");
      if (delta.contains("tool_calls")) {
        const Json& part = delta.at("tool_calls")[0];
        EXPECT_EQ(part.at("index"), 0);
        ids += part.contains("id") ? 1 : 0;
        name += part.at("function").value("name", "");
        arguments += part.at("function").at("arguments").get<std::string>();
      }
      if (!c.at("finish_reason").is_null()) finish = c.at("finish_reason");
    }
    EXPECT_EQ(content, "Let me look.") << step;
    EXPECT_EQ(name, "look");
    EXPECT_EQ(ids, 1) << "as OpenAI has it: the id comes once";
    EXPECT_EQ(parse_json(arguments, "arguments"), kArguments);
    EXPECT_EQ(finish, "tool_calls");
  }
}

TEST(Replies, CallsAfterTheFirstCanBeLeftOut) {
  ChatCall call = chat_call(false);
  const std::string twice =
      std::string(kCall) + "\n" + (kCall + std::string("Let me look.\n").size());
  const auto both = std::make_shared<Recorder>();
  feed(*make_chat_reply(context(both), call), twice, 5);
  const auto calls = [](const Recorder& r) {
    return parse_json(r.body, "body").at("choices")[0].at("message").at("tool_calls").size();
  };
  EXPECT_EQ(calls(*both), 2U);
  call.parallel_calls = false;
  const auto one = std::make_shared<Recorder>();
  feed(*make_chat_reply(context(one), call), twice, 5);
  EXPECT_EQ(calls(*one), 1U);
}

TEST(Replies, WithoutToolsTagsAreText) {
  const auto recorder = std::make_shared<Recorder>();
  feed(*make_chat_reply(context(recorder),
                        read_chat_call({{"messages", kMessages}}, {}, Json::object())),
       kCall, 3);
  const Json choice = parse_json(recorder->body, "body").at("choices")[0];
  EXPECT_EQ(choice.at("message").at("content"), kCall);
  EXPECT_EQ(choice.at("finish_reason"), "stop");
}

ResponsesCall responses_call(bool stream) {
  return read_responses_call(
      {{"input", "Where is it?"},
       {"stream", stream},
       {"tools",
        Json::array({{{"type", "function"}, {"name", "look"}, {"parameters", kParameters}}})}},
      {}, Json::object());
}

TEST(Replies, ResponsesWithACall) {
  const auto whole = std::make_shared<Recorder>();
  feed(*make_responses_reply(context(whole), responses_call(false)), kCall, 1000);
  const Json answer = parse_json(whole->body, "body");
  EXPECT_EQ(answer.at("status"), "completed");
  ASSERT_EQ(answer.at("output").size(), 3U);
  EXPECT_EQ(answer.at("output")[0].at("type"), "reasoning");
  EXPECT_EQ(answer.at("output")[1].at("content")[0].at("text"), "Let me look.");
  const Json call = answer.at("output")[2];
  EXPECT_EQ(call.at("type"), "function_call");
  EXPECT_EQ(parse_json(call.at("arguments").get<std::string>(), "a"), kArguments);
  EXPECT_EQ(answer.at("usage").at("input_tokens_details").at("cached_tokens"), 4);
  EXPECT_EQ(answer.at("usage").at("output_tokens_details").at("reasoning_tokens"), 2);

  const auto stream = std::make_shared<Recorder>();
  feed(*make_responses_reply(context(stream), responses_call(true)), kCall, 3);
  EXPECT_TRUE(stream->ended);
  std::string arguments;
  std::size_t number = 0;
  int added = 0;
  int done = 0;
  for (const Json& event : stream->events()) {
    EXPECT_EQ(event.at("sequence_number"), number++);
    const std::string type = event.at("type");
    if (type == "response.function_call_arguments.delta") arguments += event.at("delta");
    if (type == "response.output_item.added") ++added;
    if (type == "response.output_item.done") ++done;
  }
  EXPECT_EQ(parse_json(arguments, "arguments"), kArguments);
  EXPECT_EQ(added, 3);
  EXPECT_EQ(done, 3);
  Json final = stream->events().back();
  EXPECT_EQ(final.at("type"), "response.completed");
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(final.at("response").at("output")[i].at("type"), answer.at("output")[i].at("type"));
  }
}

ChatCall messages_call(bool stream) {
  return read_messages_call(
      {{"messages", kMessages},
       {"max_tokens", 100},
       {"stream", stream},
       {"tools", Json::array({{{"name", "look"}, {"input_schema", kParameters}}})}},
      {}, Json::object());
}

TEST(Replies, MessagesWithACall) {
  const auto whole = std::make_shared<Recorder>();
  feed(*make_messages_reply(context(whole), messages_call(false)), kCall, 1000);
  const Json answer = parse_json(whole->body, "body");
  EXPECT_EQ(answer.at("stop_reason"), "tool_use");
  ASSERT_EQ(answer.at("content").size(), 3U);
  EXPECT_EQ(answer.at("content")[0].at("thinking"), "I wonder");
  EXPECT_EQ(answer.at("content")[1].at("text"), "Let me look.");
  EXPECT_EQ(answer.at("content")[2].at("input"), kArguments);
  EXPECT_EQ(answer.at("usage").at("input_tokens"), 5);
  EXPECT_EQ(answer.at("usage").at("cache_read_input_tokens"), 4);

  const auto stream = std::make_shared<Recorder>();
  feed(*make_messages_reply(context(stream), messages_call(true)), kCall, 3);
  std::string json;
  std::vector<std::string> types;
  for (const Json& event : stream->events()) {
    const std::string type = event.at("type");
    if (types.empty() || types.back() != type) types.push_back(type);
    if (type == "content_block_delta" && event.at("delta").at("type") == "input_json_delta") {
      json += event.at("delta").at("partial_json");
    }
  }
  EXPECT_EQ(parse_json(json, "input"), kArguments);
  EXPECT_EQ(types.front(), "message_start");
  EXPECT_EQ(types.back(), "message_stop");
}

TEST(Replies, FailuresInAStreamAreEvents) {
  const auto chat = std::make_shared<Recorder>();
  const auto chat_reply = make_chat_reply(context(chat), chat_call(true));
  chat_reply->begin();
  chat_reply->fail({.status = 500, .message = "broken"});
  EXPECT_TRUE(chat->ended);
  EXPECT_EQ(chat->events().back().at("error").at("message"), "broken");
  const auto messages = std::make_shared<Recorder>();
  const auto messages_reply = make_messages_reply(context(messages), messages_call(true));
  messages_reply->begin();
  messages_reply->fail({.status = 500, .message = "broken"});
  EXPECT_EQ(messages->events().back().at("type"), "error");
  const auto responses = std::make_shared<Recorder>();
  const auto responses_reply = make_responses_reply(context(responses), responses_call(false));
  responses_reply->begin();
  responses_reply->fail({.status = 500, .message = "broken"});
  EXPECT_EQ(responses->status, 500);
}

}  // namespace
}  // namespace zaya
