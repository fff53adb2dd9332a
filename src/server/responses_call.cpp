#include "server/responses_call.h"

#include <limits>
#include <utility>

#include <fmt/format.h>

#include "server/api_error.h"

namespace zaya {
namespace {

// The assistant's message at the end of `messages`; a new one if something else is there. One turn
// of the assistant arrives as several items.
Json& assistant_turn(Json& messages) {
  if (messages.empty() || messages.back().at("role") != "assistant") {
    messages.push_back({{"role", "assistant"}, {"content", nullptr}});
  }
  return messages.back();
}

// The texts of a list of {type, text}, one after the other.
std::string joined_text(const Fields& item, const char* key) {
  std::string text;
  const Json* parts = item.find(key);
  if (parts == nullptr) return text;
  if (!parts->is_array()) item.fail(key, "a list");
  for (std::size_t i = 0; i < parts->size(); ++i) {
    const Fields part((*parts)[i], fmt::format("{}[{}]", item.name(key), i));
    text += part.string("text").value_or("");
  }
  return text;
}

void add_item(Json& messages, const Json& json, const std::string& path) {
  const Fields item(json, path);
  const std::string type = item.string("type").value_or("message");
  if (type == "message") {
    const std::string role = item.string("role").value_or("");
    if (role == "assistant" && !messages.empty() && messages.back().at("role") == "assistant" &&
        messages.back().at("content").is_null()) {
      messages.back()["content"] = item.at("content");
    } else {
      messages.push_back({{"role", role}, {"content", item.at("content")}});
    }
  } else if (type == "reasoning") {
    std::string text = joined_text(item, "content");
    if (text.empty()) text = joined_text(item, "summary");
    messages.push_back(
        {{"role", "assistant"}, {"content", nullptr}, {"reasoning_content", std::move(text)}});
  } else if (type == "function_call") {
    item.at("name");
    Json& turn = assistant_turn(messages);
    turn["tool_calls"].push_back(
        {{"id", item.string("call_id").value_or("")},
         {"type", "function"},
         {"function",
          {{"name", item.at("name")}, {"arguments", item.string("arguments").value_or("")}}}});
  } else if (type == "function_call_output") {
    messages.push_back({{"role", "tool"},
                        {"tool_call_id", item.string("call_id").value_or("")},
                        {"content", item.at("output")}});
  } else {
    item.refuse("type", fmt::format("there are no items of type {}", type));
  }
}

Json read_input(const Fields& f) {
  Json messages = Json::array();
  if (const auto instructions = f.string("instructions")) {
    messages.push_back({{"role", "system"}, {"content", *instructions}});
  }
  const Json& input = f.at("input");
  if (input.is_string()) {
    messages.push_back({{"role", "user"}, {"content", input}});
    return messages;
  }
  if (!input.is_array()) f.fail("input", "a string or a list of items");
  for (std::size_t i = 0; i < input.size(); ++i) {
    add_item(messages, input[i], fmt::format("input[{}]", i));
  }
  // Templates take one system message, at the begin.
  if (messages.size() > 1 && f.has("instructions")) {
    const Json& role = messages[1].at("role");
    if ((role == "system" || role == "developer") && messages[1].at("content").is_string()) {
      messages[0]["content"] = messages[0].at("content").get<std::string>() + "\n\n" +
                               messages[1].at("content").get<std::string>();
      messages.erase(1);
    }
  }
  return messages;
}

// {"type": "function", "name", ...} as /v1/chat/completions has it.
Json read_tools(const Fields& f) {
  const Json* tools = f.find("tools");
  Json out = Json::array();
  if (tools == nullptr) return out;
  if (!tools->is_array()) f.fail("tools", "a list of tools");
  for (std::size_t i = 0; i < tools->size(); ++i) {
    const Fields tool((*tools)[i], fmt::format("tools[{}]", i));
    if (tool.string("type") != "function") {
      tool.refuse("type", "the server has no tools of its own, only functions of the caller");
    }
    Json function = {{"name", tool.at("name")}};
    for (const char* key : {"description", "parameters", "strict"}) {
      if (const Json* v = tool.find(key)) function[key] = *v;
    }
    out.push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return out;
}

void refuse_unsupported(const Fields& f) {
  for (const char* key : {"previous_response_id", "conversation", "prompt"}) {
    if (f.has(key)) f.refuse(key, "nothing is stored; send the whole conversation as input");
  }
  if (f.boolean("background", false)) f.refuse("background", "nothing is stored");
}

Json or_null(const Json* value) {
  return value == nullptr ? Json(nullptr) : *value;
}

}  // namespace

ResponsesCall read_responses_call(const Json& body, const SamplingParams& defaults,
                                  const Json& kwargs) {
  const Fields f(body);
  refuse_unsupported(f);
  ResponsesCall call;
  ChatCall& chat = call.chat;
  chat.model = f.string("model").value_or("");
  chat.chat.messages = read_messages(read_input(f), "input");
  chat.chat.kwargs = kwargs;
  chat.params = read_sampling(f, defaults);
  constexpr std::int64_t kAny = std::numeric_limits<std::int64_t>::max();
  if (const auto most = f.integer("max_output_tokens", 1, kAny)) {
    chat.params.max_tokens = static_cast<std::size_t>(*most);
  }
  if (f.has("reasoning")) {
    const Fields reasoning = f.object("reasoning");
    if (const auto effort = reasoning.string("effort")) {
      apply_effort(chat, read_effort(*effort, reasoning.name("effort")));
    }
  }
  read_template_kwargs(f, chat);
  chat.streaming.stream = f.boolean("stream", false);
  chat.parallel_calls = f.boolean("parallel_tool_calls", true);
  if (f.has("text") && f.object("text").has("format")) {
    chat.params.format = read_format(f.object("text").object("format"));
  }
  use_tools(chat, read_tools(f), read_tool_choice(f));
  call.echo = {{"instructions", or_null(f.find("instructions"))},
               {"max_output_tokens", or_null(f.find("max_output_tokens"))},
               {"metadata", f.has("metadata") ? f.at("metadata") : Json::object()},
               {"parallel_tool_calls", chat.parallel_calls},
               {"previous_response_id", nullptr},
               {"reasoning", f.has("reasoning") ? f.at("reasoning") : Json::object()},
               {"store", false},
               {"temperature", chat.params.temperature},
               {"text", f.has("text") ? f.at("text") : Json{{"format", {{"type", "text"}}}}},
               {"tool_choice", f.has("tool_choice") ? f.at("tool_choice") : Json("auto")},
               {"tools", f.has("tools") ? f.at("tools") : Json::array()},
               {"top_p", chat.params.top_p},
               {"truncation", "disabled"}};
  return call;
}

}  // namespace zaya
