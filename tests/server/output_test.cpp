// Outputs that are held to a form: JSON, schemas and calls, from a model that would write none of
// them by itself.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/server/server_process.h"
#include "tests/text/validate_json.h"

namespace zaya {
namespace {

ServerProcess& server() {
  static ServerProcess process({"--served-model-name", "tiny"});
  return process;
}

Json call(const char* path, const Json& body) {
  const HttpAnswer answer = post(server().port(), path, body);
  EXPECT_EQ(answer.status, 200) << answer.body;
  return answer.json();
}

const Json kSchema = {
    {"type", "object"},
    {"properties",
     {{"name", {{"type", "string"}, {"maxLength", 12}}},
      {"count", {{"type", "integer"}, {"minimum", 1}, {"maximum", 9}}},
      {"tags", {{"type", "array"}, {"items", {{"enum", {"a", "b<c", "d"}}}}, {"maxItems", 3}}}}},
    {"required", {"name", "count", "tags"}},
    {"additionalProperties", false}};

Json chat_body(int seed) {
  return {{"messages", {{{"role", "user"}, {"content", "Hello"}}}},
          {"max_tokens", 600},
          {"thinking_token_budget", 4},
          {"seed", seed}};
}

Json function(const char* name, Json parameters, bool strict = false) {
  return {
      {"type", "function"},
      {"function", {{"name", name}, {"parameters", std::move(parameters)}, {"strict", strict}}}};
}

const Json kTools =
    Json::array({function("look", kSchema, true),
                 function("stop", {{"type", "object"}, {"properties", Json::object()}})});

Json schema_format() {
  return {{"type", "json_schema"},
          {"json_schema", {{"name", "thing"}, {"strict", true}, {"schema", kSchema}}}};
}

TEST(Outputs, SatisfyASchema) {
  std::vector<Json> cases;
  for (int seed = 0; seed < 10; ++seed) {
    Json body = chat_body(seed);
    body["response_format"] = schema_format();
    const Json choice = call("/v1/chat/completions", body).at("choices")[0];
    EXPECT_EQ(choice.at("finish_reason"), "stop");
    EXPECT_FALSE(choice.at("message").at("reasoning").get<std::string>().empty());
    cases.push_back({{"schema", kSchema}, {"text", choice.at("message").at("content")}});
    Json response = {{"input", "Hello"}, {"seed", seed}, {"reasoning", {{"effort", "none"}}}};
    response["text"]["format"] = {
        {"type", "json_schema"}, {"name", "thing"}, {"strict", true}, {"schema", kSchema}};
    const Json answer = call("/v1/responses", response);
    EXPECT_EQ(answer.at("status"), "completed");
    EXPECT_EQ(answer.at("text"), response.at("text"));
    cases.push_back(
        {{"schema", kSchema}, {"text", answer.at("output")[0].at("content")[0].at("text")}});
    Json message = {{"messages", chat_body(0).at("messages")}, {"max_tokens", 600}, {"seed", seed}};
    message["output_config"]["format"] = {{"type", "json_schema"}, {"schema", kSchema}};
    cases.push_back(
        {{"schema", kSchema}, {"text", call("/v1/messages", message).at("content")[0].at("text")}});
  }
  test::expect_valid(cases);
}

TEST(Outputs, AreJsonObjects) {
  // What ends an object is made likelier; a random one may be endless.
  Json bias = Json::object();
  for (const char* text : {"}", "]", "\""}) {
    const Json tokens = call("/tokenize", {{"content", text}}).at("tokens");
    for (const Json& id : tokens) {
      bias[std::to_string(id.get<int>())] = 6;
    }
  }
  Json body = {{"prompt", "Hello"},
               {"max_tokens", 2000},
               {"seed", 1},
               {"logit_bias", bias},
               {"response_format", {{"type", "json_object"}}}};
  const Json choice = call("/v1/completions", body).at("choices")[0];
  EXPECT_EQ(choice.at("finish_reason"), "stop");
  EXPECT_TRUE(parse_json(choice.at("text").get<std::string>(), "text").is_object());
  body = chat_body(3);
  body["logit_bias"] = bias;
  body["max_tokens"] = 2000;
  body["response_format"] = {{"type", "json_object"}};
  const Json message = call("/v1/chat/completions", body).at("choices")[0].at("message");
  EXPECT_TRUE(parse_json(message.at("content").get<std::string>(), "text").is_object());
}

/// The calls of a chat's answer, each checked against its schema.
std::vector<std::string> called(const Json& choice, std::vector<Json>& cases) {
  EXPECT_EQ(choice.at("finish_reason"), "tool_calls");
  EXPECT_TRUE(choice.at("message").at("content").is_null());
  std::vector<std::string> names;
  for (const Json& c : choice.at("message").at("tool_calls")) {
    const Json& f = c.at("function");
    names.push_back(f.at("name"));
    if (f.at("name") == "look") {
      cases.push_back({{"schema", kSchema}, {"text", f.at("arguments")}});
    } else {
      EXPECT_EQ(f.at("arguments"), "{}");
    }
  }
  return names;
}

TEST(Outputs, AreCallsWhereTheyMustBe) {
  std::vector<Json> cases;
  for (int seed = 0; seed < 8; ++seed) {
    Json body = chat_body(seed);
    body["tools"] = kTools;
    body["tool_choice"] = "required";
    body["parallel_tool_calls"] = false;
    EXPECT_EQ(called(call("/v1/chat/completions", body).at("choices")[0], cases).size(), 1U);
    body["tool_choice"] = {{"type", "function"}, {"function", {{"name", "look"}}}};
    EXPECT_EQ(called(call("/v1/chat/completions", body).at("choices")[0], cases),
              std::vector<std::string>{"look"});
    body["tool_choice"] = {
        {"type", "allowed_tools"},
        {"allowed_tools",
         {{"mode", "required"},
          {"tools", Json::array({{{"type", "function"}, {"function", {{"name", "stop"}}}}})}}}};
    EXPECT_EQ(called(call("/v1/chat/completions", body).at("choices")[0], cases),
              std::vector<std::string>{"stop"});
  }
  Json response = {{"input", "Hello"}, {"seed", 1}, {"reasoning", {{"effort", "none"}}}};
  response["tools"] =
      Json::array({{{"type", "function"}, {"name", "look"}, {"parameters", kSchema}}});
  response["tool_choice"] = {{"type", "function"}, {"name", "look"}};
  const Json item = call("/v1/responses", response).at("output")[0];
  EXPECT_EQ(item.at("type"), "function_call");
  cases.push_back({{"schema", kSchema}, {"text", item.at("arguments")}});
  Json message = {{"messages", chat_body(0).at("messages")}, {"max_tokens", 600}, {"seed", 2}};
  message["tools"] = Json::array({{{"name", "look"}, {"input_schema", kSchema}}});
  for (const Json& choice : {Json{{"type", "any"}, {"disable_parallel_tool_use", true}},
                             Json{{"type", "tool"}, {"name", "look"}}}) {
    message["tool_choice"] = choice;
    const Json answer = call("/v1/messages", message);
    EXPECT_EQ(answer.at("stop_reason"), "tool_use");
    ASSERT_EQ(answer.at("content").size(), 1U);
    cases.push_back({{"schema", kSchema}, {"text", answer.at("content")[0].at("input").dump()}});
  }
  test::expect_valid(cases);
}

TEST(Outputs, AreCallsOrJsonWithBoth) {
  std::vector<Json> cases;
  int calls = 0;
  int texts = 0;
  for (int seed = 0; seed < 24; ++seed) {
    Json body = chat_body(seed);
    body["tools"] = kTools;
    body["parallel_tool_calls"] = false;
    body["response_format"] = schema_format();
    const Json choice = call("/v1/chat/completions", body).at("choices")[0];
    if (choice.at("finish_reason") == "tool_calls") {
      called(choice, cases);
      ++calls;
    } else {
      cases.push_back({{"schema", kSchema}, {"text", choice.at("message").at("content")}});
      ++texts;
    }
  }
  EXPECT_GT(calls, 0);
  EXPECT_GT(texts, 0);
  test::expect_valid(cases);
}

TEST(Outputs, SayWhatCannotBeKept) {
  const auto refused = [](Json body, const char* param) {
    const HttpAnswer answer = post(server().port(), "/v1/chat/completions", body);
    EXPECT_EQ(answer.status, 400) << answer.body;
    EXPECT_EQ(answer.json().at("error").at("param"), param == nullptr ? Json() : Json(param))
        << answer.body;
    return answer.json().at("error").at("message").get<std::string>();
  };
  Json body = chat_body(0);
  body["response_format"] = {{"type", "yaml"}};
  refused(body, "response_format.type");
  body["response_format"] = schema_format();
  Json& schema = body["response_format"]["json_schema"]["schema"];
  schema = {{"type", "array"}, {"uniqueItems", true}};
  EXPECT_TRUE(contains(refused(body, nullptr), "json_schema/uniqueItems"));
  schema = "text";
  refused(body, "response_format.json_schema.schema");
  body = chat_body(0);
  body["tool_choice"] = "required";
  refused(body, "tool_choice");
  body["tools"] = kTools;
  body["tool_choice"] = "sometimes";
  refused(body, "tool_choice");
  body["tool_choice"] = {{"type", "function"}, {"function", {{"name", "none"}}}};
  refused(body, "tool_choice");
  body["tool_choice"] = {{"type", "function"}};
  refused(body, "tool_choice.name");
  body["tool_choice"] = "required";
  body["tools"][0]["function"]["parameters"] = {{"properties", {{"a", {{"not", true}}}}}};
  refused(body, "tools");
}

}  // namespace
}  // namespace zaya
