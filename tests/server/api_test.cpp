// The API of `zaya serve`: what calls mean, and what their answers look like.
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/server/server_process.h"

namespace zaya {
namespace {

ServerProcess& server() {
  static ServerProcess process({"--served-model-name", "tiny", "small", "--max-model-len", "4000"});
  return process;
}

HttpAnswer call(const char* path, const Json& body) {
  return post(server().port(), path, body);
}

Json chat_body() {
  return {{"model", "tiny"},
          {"messages", {{{"role", "user"}, {"content", "Hello"}}}},
          {"max_tokens", 24},
          {"seed", 7}};
}

Json completion_body() {
  return {
      {"model", "tiny"}, {"prompt", "Once"}, {"max_tokens", 12}, {"seed", 7}, {"ignore_eos", true}};
}

void expect_error(const HttpAnswer& answer, int status, const std::string& param,
                  const std::string& code = {}) {
  EXPECT_EQ(answer.status, status) << answer.body;
  const Json error = answer.json().at("error");
  EXPECT_FALSE(error.at("message").get<std::string>().empty());
  EXPECT_EQ(error.at("param"), param.empty() ? Json(nullptr) : Json(param)) << answer.body;
  if (!code.empty()) {
    EXPECT_EQ(error.at("code"), code) << answer.body;
  }
}

/// The chunks of a stream; ends with [DONE].
std::vector<Json> chunks(const HttpAnswer& answer) {
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_TRUE(answer.has("content-type: text/event-stream"));
  std::vector<Json> out;
  auto events = answer.events();
  EXPECT_FALSE(events.empty());
  if (events.empty()) return out;
  EXPECT_EQ(events.back(), "[DONE]");
  events.pop_back();
  for (const std::string& event : events) out.push_back(parse_json(event, "event"));
  return out;
}

struct Joined {
  std::string reasoning;
  std::string content;
  std::string finish;
};

Joined join(const std::vector<Json>& parts, std::size_t choice = 0) {
  Joined out;
  for (const Json& part : parts) {
    for (const Json& c : part.at("choices")) {
      if (c.at("index") != choice) continue;
      const Json& delta = c.at("delta");
      if (delta.contains("content")) out.content += delta.at("content").get<std::string>();
      if (delta.contains("reasoning")) {
        EXPECT_EQ(delta.at("reasoning"), delta.at("reasoning_content"));
        out.reasoning += delta.at("reasoning").get<std::string>();
      }
      if (!c.at("finish_reason").is_null()) out.finish = c.at("finish_reason");
    }
  }
  return out;
}

TEST(Api, ListsModels) {
  const Json list = get(server().port(), "/v1/models").json();
  EXPECT_EQ(list.at("object"), "list");
  ASSERT_EQ(list.at("data").size(), 2);
  EXPECT_EQ(list.at("data")[0].at("id"), "tiny");
  EXPECT_EQ(list.at("data")[0].at("max_model_len"), 4000);
  EXPECT_EQ(get(server().port(), "/v1/models/small").json().at("id"), "small");
  expect_error(get(server().port(), "/v1/models/Zyphra%2FZAYA1-8B"), 404, "model",
               "model_not_found");
}

TEST(Api, AnswersAChat) {
  const Json answer = call("/v1/chat/completions", chat_body()).json();
  EXPECT_EQ(answer.at("object"), "chat.completion");
  EXPECT_TRUE(answer.at("id").get<std::string>().starts_with("chatcmpl-"));
  EXPECT_EQ(answer.at("model"), "tiny");
  const Json& choice = answer.at("choices")[0];
  EXPECT_EQ(choice.at("message").at("role"), "assistant");
  EXPECT_EQ(choice.at("finish_reason"), "length");
  // The template opens a think block and the model never closes it.
  EXPECT_EQ(choice.at("message").at("content"), "");
  EXPECT_FALSE(choice.at("message").at("reasoning").get<std::string>().empty());
  EXPECT_EQ(choice.at("message").at("reasoning"), choice.at("message").at("reasoning_content"));
  const Json& usage = answer.at("usage");
  EXPECT_EQ(usage.at("completion_tokens"), 24);
  EXPECT_EQ(usage.at("completion_tokens_details").at("reasoning_tokens"), 24);
  EXPECT_EQ(usage.at("total_tokens"),
            usage.at("prompt_tokens").get<int>() + usage.at("completion_tokens").get<int>());
  EXPECT_EQ(answer.at("timings").at("predicted_n"), 24);
}

TEST(Api, StreamsTheSameChat) {
  Json body = chat_body();
  body["n"] = 2;
  body["thinking_token_budget"] = 5;
  const Json whole = call("/v1/chat/completions", body).json();
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  const auto parts = chunks(call("/v1/chat/completions", body));
  ASSERT_GT(parts.size(), 4U);
  for (std::size_t i = 0; i < 2; ++i) {
    const Joined joined = join(parts, i);
    const Json& message = whole.at("choices")[i].at("message");
    EXPECT_EQ(joined.reasoning, message.at("reasoning"));
    EXPECT_EQ(joined.content, message.at("content"));
    EXPECT_FALSE(joined.content.empty());
    EXPECT_EQ(joined.finish, whole.at("choices")[i].at("finish_reason"));
  }
  EXPECT_EQ(parts[0].at("choices")[0].at("delta"), Json({{"role", "assistant"}, {"content", ""}}));
  EXPECT_TRUE(parts[0].at("usage").is_null());
  EXPECT_TRUE(parts.back().at("choices").empty());
  EXPECT_EQ(parts.back().at("usage").at("completion_tokens"),
            whole.at("usage").at("completion_tokens"));
  EXPECT_EQ(parts.back().at("usage").at("completion_tokens_details").at("reasoning_tokens"),
            whole.at("usage").at("completion_tokens_details").at("reasoning_tokens"));
  std::set<std::string> ids;
  for (const Json& part : parts) ids.insert(part.at("id").get<std::string>());
  EXPECT_EQ(ids.size(), 1U);
}

TEST(Api, ReasoningCanBeLeftOutOrTurnedOff) {
  Json body = chat_body();
  body["include_reasoning"] = false;
  EXPECT_FALSE(call("/v1/chat/completions", body)
                   .json()
                   .at("choices")[0]
                   .at("message")
                   .contains("reasoning"));
  for (const Json& off : {Json{{"chat_template_kwargs", {{"enable_thinking", false}}}},
                          Json{{"reasoning_effort", "none"}}}) {
    Json plain = chat_body();
    plain.update(off);
    const Json message = call("/v1/chat/completions", plain).json().at("choices")[0].at("message");
    EXPECT_FALSE(message.contains("reasoning")) << off.dump();
    EXPECT_FALSE(message.at("content").get<std::string>().empty());
  }
}

TEST(Api, CountsCachedTokens) {
  Json body = chat_body();
  body["messages"][0]["content"] = "a text of its own for the cache to keep";
  const Json first = call("/v1/chat/completions", body).json();
  EXPECT_EQ(first.at("choices")[0].at("message"),
            call("/v1/chat/completions", body).json().at("choices")[0].at("message"));
  const Json usage = call("/v1/chat/completions", body).json().at("usage");
  EXPECT_GT(usage.at("prompt_tokens_details").at("cached_tokens"), 5);
}

TEST(Api, AnswersCompletions) {
  const Json answer = call("/v1/completions", completion_body()).json();
  EXPECT_EQ(answer.at("object"), "text_completion");
  EXPECT_EQ(answer.at("choices")[0].at("finish_reason"), "length");
  const auto text = answer.at("choices")[0].at("text").get<std::string>();
  EXPECT_FALSE(text.empty());
  Json body = completion_body();
  body["stream"] = true;
  std::string streamed;
  for (const Json& part : chunks(call("/v1/completions", body))) {
    streamed += part.at("choices")[0].at("text").get<std::string>();
  }
  EXPECT_EQ(streamed, text);
  body.erase("stream");
  body["echo"] = true;
  EXPECT_EQ(call("/v1/completions", body).json().at("choices")[0].at("text"), "Once" + text);
  body.erase("echo");
  body.erase("max_tokens");
  EXPECT_EQ(call("/v1/completions", body).json().at("usage").at("completion_tokens"), 16);
}

TEST(Api, TakesPromptsInEveryForm) {
  const Json tokens = call("/tokenize", {{"prompt", "Once"}}).json().at("tokens");
  Json body = completion_body();
  const Json text = call("/v1/completions", body).json().at("choices")[0].at("text");
  body["prompt"] = tokens;
  EXPECT_EQ(call("/v1/completions", body).json().at("choices")[0].at("text"), text);
  body["prompt"] = Json::array({tokens, tokens});
  body["n"] = 2;
  const Json both = call("/v1/completions", body).json();
  ASSERT_EQ(both.at("choices").size(), 4U);
  EXPECT_EQ(both.at("choices")[0].at("text"), text);
  EXPECT_EQ(both.at("choices")[2].at("text"), text);
  EXPECT_EQ(both.at("choices")[3].at("index"), 3);
  EXPECT_EQ(both.at("usage").at("prompt_tokens"), 2 * tokens.size());
  EXPECT_EQ(both.at("usage").at("completion_tokens"), 48);
}

TEST(Api, ReportsLogprobs) {
  Json body = chat_body();
  body["logprobs"] = true;
  body["top_logprobs"] = 3;
  const Json content =
      call("/v1/chat/completions", body).json().at("choices")[0].at("logprobs").at("content");
  ASSERT_EQ(content.size(), 24U);
  for (const Json& token : content) {
    ASSERT_EQ(token.at("top_logprobs").size(), 3U);
    EXPECT_GE(token.at("top_logprobs")[0].at("logprob"), token.at("logprob"));
    EXPECT_LE(token.at("logprob"), 0.0);
    EXPECT_FALSE(token.at("bytes").empty());
  }
  body["stream"] = true;
  Json streamed = Json::array();
  for (const Json& part : chunks(call("/v1/chat/completions", body))) {
    const Json& logprobs = part.at("choices")[0].at("logprobs");
    if (logprobs.is_null()) continue;
    for (const Json& token : logprobs.at("content")) streamed.push_back(token);
  }
  EXPECT_EQ(streamed, content);
  Json old = completion_body();
  old["logprobs"] = 2;
  const Json lists = call("/v1/completions", old).json().at("choices")[0].at("logprobs");
  EXPECT_EQ(lists.at("tokens").size(), 12U);
  EXPECT_EQ(lists.at("token_logprobs").size(), 12U);
  EXPECT_EQ(lists.at("top_logprobs").size(), 12U);
  EXPECT_EQ(lists.at("text_offset")[0], 0);
}

TEST(Api, SamplesAsTold) {
  Json body = completion_body();
  body["logit_bias"] = {{"300", 100}};
  body["return_token_ids"] = true;
  const std::string forced =
      call("/detokenize", {{"tokens", Json::array({300})}}).json().at("prompt");
  std::string all;
  for (int i = 0; i < 12; ++i) all += forced;
  EXPECT_EQ(call("/v1/completions", body).json().at("choices")[0].at("text"), all);
  Json greedy = completion_body();
  greedy["temperature"] = 0;
  greedy["seed"] = 1;
  const Json text = call("/v1/completions", greedy).json().at("choices")[0].at("text");
  greedy["seed"] = 2;
  EXPECT_EQ(call("/v1/completions", greedy).json().at("choices")[0].at("text"), text);
  greedy.erase("temperature");
  greedy["top_k"] = 1;
  EXPECT_EQ(call("/v1/completions", greedy).json().at("choices")[0].at("text"), text);
  greedy["top_k"] = -1;
  greedy["min_p"] = 1.0;
  EXPECT_EQ(call("/v1/completions", greedy).json().at("choices")[0].at("text"), text);
  Json unseeded = completion_body();
  unseeded.erase("seed");
  EXPECT_NE(call("/v1/completions", unseeded).json().at("choices")[0].at("text"),
            call("/v1/completions", unseeded).json().at("choices")[0].at("text"));
}

TEST(Api, StopsAtStrings) {
  Json body = completion_body();
  body["max_tokens"] = 30;
  const auto text =
      call("/v1/completions", body).json().at("choices")[0].at("text").get<std::string>();
  const std::string stop = text.substr(text.size() / 2, 3);
  body["stop"] = {stop, "never in the text"};
  const Json choice = call("/v1/completions", body).json().at("choices")[0];
  EXPECT_EQ(choice.at("text"), text.substr(0, text.find(stop)));
  EXPECT_EQ(choice.at("finish_reason"), "stop");
  EXPECT_EQ(choice.at("stop_reason"), stop);
}

TEST(Api, TokenizesAndBack) {
  const Json tokens =
      call("/tokenize", {{"prompt", "Hi there"}, {"return_token_strs", true}}).json();
  EXPECT_EQ(tokens.at("count"), tokens.at("tokens").size());
  EXPECT_EQ(tokens.at("tokens")[0], 2) << "BOS, as a completion would have it";
  EXPECT_EQ(tokens.at("token_strs").size(), tokens.at("tokens").size());
  const Json plain = call("/tokenize", {{"content", "Hi there"}}).json().at("tokens");
  EXPECT_EQ(plain.size() + 1, tokens.at("tokens").size());
  EXPECT_EQ(call("/detokenize", {{"tokens", plain}}).json().at("content"), "Hi there");
  const Json rendered = call("/apply-template", chat_body()).json().at("prompt");
  EXPECT_TRUE(rendered.get<std::string>().ends_with("<|im_start|>assistant\n<think>\n"));
  EXPECT_EQ(
      call("/tokenize", {{"messages", chat_body().at("messages")}}).json().at("tokens"),
      call("/tokenize", {{"prompt", rendered}, {"add_special_tokens", false}}).json().at("tokens"));
}

TEST(Api, ReadsMessagesInEveryForm) {
  Json body = {
      {"messages",
       Json::array(
           {{{"role", "developer"}, {"content", "Be brief."}},
            {{"role", "user"},
             {"content", Json::array({{{"type", "text"}, {"text", "What"}},
                                      {{"type", "text"}, {"text", "now?"}}})}},
            {{"role", "assistant"},
             {"content", nullptr},
             {"tool_calls",
              Json::array(
                  {{{"id", "call_1"},
                    {"type", "function"},
                    {"function", {{"name", "look"}, {"arguments", R"({"at":"x","n":[1,2]})"}}}}})}},
            {{"role", "tool"}, {"tool_call_id", "call_1"}, {"content", "seen"}}})}};
  const std::string prompt = call("/apply-template", body).json().at("prompt");
  EXPECT_TRUE(contains(prompt, "<|im_start|>system\nBe brief.<|im_end|>")) << prompt;
  EXPECT_TRUE(contains(prompt, "What\nnow?")) << prompt;
  EXPECT_TRUE(contains(prompt,
                       "<function=look>\n<parameter=at>\nx\n</parameter>\n"
                       "<parameter=n>\n[1, 2]\n</parameter>"))
      << prompt;
  EXPECT_TRUE(contains(prompt, "<zyphra_tool_response>\nseen\n")) << prompt;
}

TEST(Api, NamesWhatIsWrong) {
  const auto with = [](Json body, const char* key, Json value) {
    body[key] = std::move(value);
    return body;
  };
  const char* chat = "/v1/chat/completions";
  const char* text = "/v1/completions";
  expect_error(call(chat, with(chat_body(), "model", "other")), 404, "model", "model_not_found");
  expect_error(call(chat, {{"model", "tiny"}}), 400, "messages", "missing_required_parameter");
  expect_error(call(text, {{"model", "tiny"}}), 400, "prompt", "missing_required_parameter");
  expect_error(call(chat, with(chat_body(), "messages", Json::array())), 400, "messages");
  expect_error(call(chat, with(chat_body(), "messages", Json::array({"hi"}))), 400, "messages[0]");
  expect_error(call(chat, with(chat_body(), "messages", Json::array({{{"role", "king"}}}))), 400,
               "messages[0].role");
  expect_error(
      call(chat, with(chat_body(), "messages",
                      Json::array({{{"role", "user"},
                                    {"content", Json::array({{{"type", "image_url"}}})}}}))),
      400, "messages[0].content[0].type", "unsupported_parameter");
  expect_error(call(chat, with(chat_body(), "temperature", -1)), 400, "temperature");
  expect_error(call(chat, with(chat_body(), "temperature", "hot")), 400, "temperature");
  expect_error(call(chat, with(chat_body(), "top_p", 0)), 400, "top_p");
  expect_error(call(chat, with(chat_body(), "presence_penalty", 3)), 400, "presence_penalty");
  expect_error(call(chat, with(chat_body(), "max_tokens", 0)), 400, "max_tokens");
  expect_error(call(chat, with(chat_body(), "n", 0)), 400, "n");
  expect_error(call(chat, with(chat_body(), "n", 1000)), 400, "n");
  expect_error(call(chat, with(chat_body(), "logit_bias", {{"x", 1}})), 400, "logit_bias");
  expect_error(call(chat, with(chat_body(), "logit_bias", {{"999999", 1}})), 400, "logit_bias");
  expect_error(call(chat, with(chat_body(), "top_logprobs", 2)), 400, "top_logprobs");
  expect_error(call(chat, with(chat_body(), "reasoning_effort", "extreme")), 400,
               "reasoning_effort");
  expect_error(call(chat, with(chat_body(), "stream_options", Json::object())), 400,
               "stream_options");
  expect_error(call(chat, with(chat_body(), "functions", Json::array())), 400, "functions");
  expect_error(call(text, with(completion_body(), "best_of", 4)), 400, "best_of");
  expect_error(call(text, with(completion_body(), "suffix", "end")), 400, "suffix");
  expect_error(call(text, with(completion_body(), "prompt", Json::array())), 400, "prompt");
  expect_error(call(text, with(completion_body(), "prompt", Json::array({5, -1}))), 400, "prompt");
  expect_error(call(text, with(completion_body(), "prompt", Json::array({5, 5000}))), 400, "");
  expect_error(call(text, with(completion_body(), "prompt", std::string(60000, 'x'))), 400, "",
               "context_length_exceeded");
  expect_error(call(chat, with(chat_body(), "chat_template_kwargs", {{"messages", 1}})), 400, "");
}

TEST(Api, RefusesHostileJson) {
  const auto send = [](const std::string& body) {
    Connection c(server().port());
    c.send(post_text("/v1/chat/completions", body));
    return c.receive();
  };
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("[]"), std::string("nul"),
        std::string("{\"messages\": \"\xff\xfe\"}"), std::string(100000, '['),
        "{\"a\":" + std::string(600, '[') + std::string(600, ']') + "}",
        std::string("{\"temperature\": 1e999, \"messages\": []}"),
        std::string("{\"messages\": [], \"messages\": 5}"),
        std::string("\xef\xbb\xbf") + "{} trailing"}) {
    const HttpAnswer answer = send(body);
    EXPECT_EQ(answer.status, 400) << body.substr(0, 100);
    EXPECT_TRUE(answer.json().contains("error"));
  }
  EXPECT_EQ(get(server().port(), "/health").status, 200);
}

TEST(Api, AnswersResponses) {
  Json body = {
      {"model", "tiny"},
      {"instructions", "Be brief."},
      {"input",
       Json::array({{{"role", "user"},
                     {"content", Json::array({{{"type", "input_text"}, {"text", "Hello"}}})}}})},
      {"max_output_tokens", 12},
      {"reasoning", {{"effort", "none"}}},
      {"seed", 3}};
  const Json answer = call("/v1/responses", body).json();
  EXPECT_EQ(answer.at("object"), "response");
  EXPECT_EQ(answer.at("status"), "incomplete");
  EXPECT_EQ(answer.at("incomplete_details").at("reason"), "max_output_tokens");
  EXPECT_EQ(answer.at("usage").at("output_tokens"), 12);
  body["previous_response_id"] = "resp_1";
  expect_error(call("/v1/responses", body), 400, "previous_response_id", "unsupported_parameter");
}

TEST(Api, AnswersMessages) {
  Json body = {{"model", "tiny"},
               {"system", "Be brief."},
               {"messages", Json::array({{{"role", "user"}, {"content", "Hello"}}})},
               {"max_tokens", 12},
               {"seed", 3}};
  const Json answer = call("/v1/messages", body).json();
  EXPECT_EQ(answer.at("type"), "message");
  EXPECT_EQ(answer.at("stop_reason"), "max_tokens");
  EXPECT_EQ(answer.at("content")[0].at("type"), "text") << "thinking only when asked for";
  const Json count = call("/v1/messages/count_tokens", body).json();
  EXPECT_EQ(count.at("input_tokens"),
            answer.at("usage").at("input_tokens").get<int>() +
                answer.at("usage").at("cache_read_input_tokens").get<int>());
  body["thinking"] = {{"type", "enabled"}, {"budget_tokens", 1024}};
  EXPECT_EQ(call("/v1/messages", body).json().at("content")[0].at("type"), "thinking");
  body.erase("max_tokens");
  const HttpAnswer refused = call("/v1/messages", body);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json().at("type"), "error");
  EXPECT_EQ(refused.json().at("error").at("type"), "invalid_request_error");
}

TEST(Api, SpeculatesWithTheSameOutput) {
  Json body = completion_body();
  body["temperature"] = 0;
  body["max_tokens"] = 60;
  body["prompt"] = "one two one two one two one two";
  body["logit_bias"] = {{"300", 100}};
  const Json plain = call("/v1/completions", body).json();
  EXPECT_EQ(plain.at("timings").at("draft_n"), 0);
  body["draft_tokens"] = 4;
  const Json drafted = call("/v1/completions", body).json();
  EXPECT_EQ(drafted.at("choices")[0].at("text"), plain.at("choices")[0].at("text"));
  EXPECT_GT(drafted.at("timings").at("draft_n_accepted"), 0);
  EXPECT_EQ(drafted.at("usage").at("timings"), drafted.at("timings"));
  body["draft_tokens"] = 1000;
  expect_error(call("/v1/completions", body), 400, "draft_tokens");
}

TEST(Api, UnknownParametersAreIgnored) {
  Json body = chat_body();
  body["store"] = true;
  body["metadata"] = {{"a", "b"}};
  body["user"] = "me";
  body["service_tier"] = "auto";
  EXPECT_EQ(call("/v1/chat/completions", body).status, 200);
}

TEST(Api, ExposesMetrics) {
  call("/v1/completions", completion_body());
  const HttpAnswer answer = get(server().port(), "/metrics");
  EXPECT_TRUE(answer.has("content-type: text/plain; version=0.0.4"));
  EXPECT_GE(metric(server().port(), "zaya_generated_tokens_total"), 12);
  EXPECT_GE(metric(server().port(), "zaya_time_to_first_token_seconds_count"), 1);
  EXPECT_EQ(metric(server().port(), "zaya_kv_budget_bytes"), 64 << 20);
  EXPECT_GT(metric(server().port(), "zaya_cached_sequences"), 0);
}

}  // namespace
}  // namespace zaya
