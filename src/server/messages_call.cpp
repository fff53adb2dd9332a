#include "server/messages_call.h"

#include <limits>
#include <utility>

#include <fmt/format.h>

#include "server/api_error.h"

namespace zaya {
namespace {

// The text of a string, or of a list of text blocks.
std::string read_text(const Fields& f, const char* key) {
  const Json* value = f.find(key);
  if (value == nullptr) return {};
  if (value->is_string()) return value->get<std::string>();
  if (!value->is_array()) f.fail(key, "a string or a list of blocks");
  std::string text;
  for (std::size_t i = 0; i < value->size(); ++i) {
    const Fields block((*value)[i], fmt::format("{}[{}]", f.name(key), i));
    const std::string type = block.string("type").value_or("text");
    if (type != "text") {
      block.refuse("type", fmt::format("the model reads text only, not {}", type));
    }
    if (i > 0) text += '\n';
    text += block.string("text").value_or("");
  }
  return text;
}

// One message may hold the results of calls and text: then it is several messages in OpenAI's form.
void add_blocks(Json& messages, const std::string& role, const Fields& message) {
  const Json& content = message.at("content");
  Json turn = {{"role", role}, {"content", ""}};
  std::string text;
  bool any = false;
  for (std::size_t i = 0; i < content.size(); ++i) {
    const Fields block(content[i], fmt::format("{}[{}]", message.name("content"), i));
    const std::string type = block.string("type").value_or("");
    if (type == "text") {
      if (!text.empty()) text += '\n';
      text += block.string("text").value_or("");
      any = true;
    } else if (type == "thinking" && role == "assistant") {
      turn["reasoning_content"] = block.string("thinking").value_or("");
      any = true;
    } else if (type == "redacted_thinking") {
      any = true;  // of another model; there is nothing to read in it
    } else if (type == "tool_use" && role == "assistant") {
      turn["tool_calls"].push_back(
          {{"id", block.string("id").value_or("")},
           {"type", "function"},
           {"function",
            {{"name", block.at("name")},
             {"arguments", block.has("input") ? block.at("input") : Json::object()}}}});
      any = true;
    } else if (type == "tool_result" && role == "user") {
      std::string result = read_text(block, "content");
      if (block.boolean("is_error", false)) result = "Error: " + result;
      messages.push_back({{"role", "tool"},
                          {"tool_call_id", block.string("tool_use_id").value_or("")},
                          {"content", std::move(result)}});
    } else {
      block.refuse("type", fmt::format("there are no blocks '{}' of the {}", type, role));
    }
  }
  turn["content"] = std::move(text);
  if (any) messages.push_back(std::move(turn));
}

Json read_conversation(const Fields& f) {
  Json messages = Json::array();
  if (std::string system = read_text(f, "system"); !system.empty()) {
    messages.push_back({{"role", "system"}, {"content", std::move(system)}});
  }
  const Json& list = f.at("messages");
  if (!list.is_array() || list.empty()) f.fail("messages", "a list of at least one message");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Fields message(list[i], fmt::format("messages[{}]", i));
    const std::string role = message.string("role").value_or("");
    if (role != "user" && role != "assistant") message.fail("role", "user or assistant");
    const Json& content = message.at("content");
    if (content.is_string()) {
      messages.push_back({{"role", role}, {"content", content}});
    } else if (content.is_array()) {
      add_blocks(messages, role, message);
    } else {
      message.fail("content", "a string or a list of blocks");
    }
  }
  return messages;
}

Json read_tools(const Fields& f) {
  Json out = Json::array();
  const Json* tools = f.find("tools");
  if (tools == nullptr) return out;
  if (!tools->is_array()) f.fail("tools", "a list of tools");
  for (std::size_t i = 0; i < tools->size(); ++i) {
    const Fields tool((*tools)[i], fmt::format("tools[{}]", i));
    if (tool.string("type").value_or("custom") != "custom") {
      tool.refuse("type", "the server has no tools of its own");
    }
    Json function = {{"name", tool.at("name")}};
    if (const Json* v = tool.find("description")) function["description"] = *v;
    if (const Json* v = tool.find("input_schema")) function["parameters"] = *v;
    out.push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return out;
}

ToolChoice read_choice(const Fields& f, ChatCall& call) {
  ToolChoice out;
  if (f.has("tool_choice")) {
    const Fields choice = f.object("tool_choice");
    const std::string type = choice.string("type").value_or("");
    call.parallel_calls = !choice.boolean("disable_parallel_tool_use", false);
    if (type == "none") {
      out.kind = ToolChoice::Kind::none;
    } else if (type == "any" || type == "tool") {
      out.kind = ToolChoice::Kind::required;
    } else if (type != "auto") {
      choice.fail("type", "auto, any, tool or none");
    }
    if (type == "tool") {
      choice.at("name");
      out.name = choice.string("name");
    }
  }
  return out;
}

}  // namespace

ChatCall read_messages_call(const Json& body, const SamplingParams& defaults, const Json& kwargs,
                            bool counts_only) {
  const Fields f(body);
  constexpr std::int64_t kAny = std::numeric_limits<std::int64_t>::max();
  ChatCall call;
  call.model = f.string("model").value_or("");
  call.chat.messages = read_messages(read_conversation(f), "messages");
  call.chat.kwargs = kwargs;
  call.params = read_sampling(f, defaults);
  if (!counts_only && !call.params.max_tokens) f.at("max_tokens");
  call.params.stop = f.strings("stop_sequences");
  std::erase(call.params.stop, "");
  call.streaming.stream = f.boolean("stream", false);
  // As this API has it: who does not ask for thinking gets none.
  bool thinks = false;
  if (f.has("thinking")) {
    const Fields thinking = f.object("thinking");
    const std::string type = thinking.string("type").value_or("");
    if (type != "enabled" && type != "disabled" && type != "adaptive") {
      thinking.fail("type", "enabled, adaptive or disabled");
    }
    thinks = type != "disabled";
    if (const auto budget = thinking.integer("budget_tokens", 1, kAny); budget && thinks) {
      call.params.think_budget = static_cast<std::size_t>(*budget);
    }
  }
  call.chat.kwargs["enable_thinking"] = thinks;
  read_template_kwargs(f, call);
  if (f.has("output_config") && f.object("output_config").has("format")) {
    call.params.format = read_format(f.object("output_config").object("format"));
  }
  const ToolChoice choice = read_choice(f, call);
  use_tools(call, read_tools(f), choice);
  return call;
}

}  // namespace zaya
