#include "server/chat_call.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "server/api_error.h"

namespace zaya {
namespace {

// The text of a content: a string, or parts of type text, joined as vLLM joins them.
std::string read_content(const Fields& message) {
  const Json* content = message.find("content");
  if (content == nullptr) return {};
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) message.fail("content", "a string or a list of parts");
  std::string text;
  for (std::size_t i = 0; i < content->size(); ++i) {
    const std::string path = fmt::format("{}[{}]", message.name("content"), i);
    const Json& item = (*content)[i];
    if (i > 0) text += '\n';
    if (item.is_string()) {
      text += item.get<std::string>();
      continue;
    }
    const Fields part(item, path);
    const std::string type = part.string("type").value_or("text");
    if (type != "text" && type != "input_text" && type != "output_text" && type != "refusal") {
      part.refuse("type", fmt::format("the model reads text only, not {}", type));
    }
    text += part.string(type == "refusal" ? "refusal" : "text").value_or("");
  }
  return text;
}

// {"id", "type", "function": {"name", "arguments": "{...}"}} with the arguments as an object, which
// is what templates iterate over.
Json read_tool_calls(const Fields& message) {
  const Json& calls = message.at("tool_calls");
  if (!calls.is_array()) message.fail("tool_calls", "a list of calls");
  Json out = Json::array();
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const Fields call(calls[i], fmt::format("{}[{}]", message.name("tool_calls"), i));
    const Fields function = call.object("function");
    Json arguments = Json::object();
    if (const Json* given = function.find("arguments")) {
      if (given->is_object()) {
        arguments = *given;
      } else if (!given->is_string()) {
        function.fail("arguments", "a JSON object as a string");
      } else if (!given->get_ref<const std::string&>().empty()) {
        try {
          arguments = parse_json(given->get_ref<const std::string&>(), "arguments");
        } catch (const Error&) {
          function.fail("arguments", "a JSON object as a string");
        }
        if (!arguments.is_object()) function.fail("arguments", "a JSON object as a string");
      }
    }
    function.at("name");
    out.push_back(
        {{"id", call.string("id").value_or("")},
         {"type", "function"},
         {"function", {{"name", *function.string("name")}, {"arguments", std::move(arguments)}}}});
  }
  return out;
}

// A tool is {"type": "function", "function": {...}}, or the function itself.
const Json& declaration(const Json& tool) {
  const auto function = tool.find("function");
  return function == tool.end() ? tool : *function;
}

ToolFunction function_of(const Json& tool) {
  const Fields function(declaration(tool), "tools");
  const Json* parameters = function.find("parameters");
  return {.name = function.string("name").value_or(""),
          .parameters = parameters == nullptr ? "" : parameters->dump(),
          .strict = function.boolean("strict", false)};
}

void keep_allowed(Json& tools, const std::vector<std::string>& names) {
  if (!tools.is_array()) return;
  Json kept = Json::array();
  for (Json& tool : tools) {
    if (!tool.is_object() || !declaration(tool).is_object()) continue;
    const auto name = Fields(declaration(tool), "tools").string("name");
    if (name && std::find(names.begin(), names.end(), *name) != names.end()) {
      kept.push_back(std::move(tool));
    }
  }
  tools = std::move(kept);
}

// Parameters of OpenAI's that would change what comes back, and are not here.
void refuse_unsupported(const Fields& f) {
  for (const char* key : {"functions", "function_call"}) {
    if (f.has(key)) f.refuse(key, "use tools");
  }
  if (f.has("audio")) f.refuse("audio", "the model writes text only");
  if (const Json* modalities = f.find("modalities");
      modalities != nullptr && *modalities != Json::array({"text"})) {
    f.refuse("modalities", "the model writes text only");
  }
  if (f.boolean("continue_final_message", false)) {
    f.refuse("continue_final_message", "an answer is always a turn of its own");
  }
}

void read_thinking(const Fields& f, ChatCall& call) {
  if (const auto effort = f.string("reasoning_effort")) {
    apply_effort(call, read_effort(*effort, "reasoning_effort"));
  }
  read_template_kwargs(f, call);
  // -1: no limit, as in vLLM.
  constexpr std::int64_t kAny = std::numeric_limits<std::int64_t>::max();
  if (const auto budget = f.integer("thinking_token_budget", -1, kAny)) {
    call.params.think_budget.reset();
    if (*budget >= 0) call.params.think_budget = static_cast<std::size_t>(*budget);
  }
  call.include_reasoning = f.boolean("include_reasoning", true);
}

void read_logprobs(const Fields& f, SamplingParams& params) {
  constexpr std::int64_t kMostTop = 20;  // OpenAI's limit
  const auto top = f.integer("top_logprobs", 0, kMostTop);
  if (f.boolean("logprobs", false)) {
    params.top_logprobs = static_cast<std::size_t>(top.value_or(0));
  } else if (top.value_or(0) > 0) {
    throw ApiError({.message = "'top_logprobs' needs 'logprobs': true",
                    .param = "top_logprobs",
                    .code = "invalid_value"});
  }
}

}  // namespace

void read_template_kwargs(const Fields& f, ChatCall& call) {
  const Json* more = f.find("chat_template_kwargs");
  if (more == nullptr) return;
  if (!more->is_object()) f.fail("chat_template_kwargs", "an object");
  for (const auto& [key, value] : more->items()) call.chat.kwargs[key] = value;
}

void use_tools(ChatCall& call, Json tools, const ToolChoice& choice) {
  const bool required = choice.kind == ToolChoice::Kind::required;
  const auto fail = [](const std::string& param, const std::string& message) {
    throw ApiError({.message = message, .param = param, .code = "invalid_value"});
  };
  if (choice.kind == ToolChoice::Kind::none) return;
  if (choice.allowed) keep_allowed(tools, *choice.allowed);
  if (tools.is_null() || tools.empty()) {
    if (required) fail("tool_choice", "'tool_choice' asks for a call, but there are no tools");
    return;
  }
  try {
    call.tools = std::make_shared<const ToolSet>(tools);
  } catch (const Error& error) {
    fail("tools", error.what());
  }
  if (choice.name && call.tools->find(*choice.name) == nullptr) {
    fail("tool_choice", fmt::format("'tool_choice': there is no tool '{}'", *choice.name));
  }
  OutputFormat& format = call.params.format;
  if (required) format = {.kind = OutputFormat::Kind::tool_calls};
  if (format.kind != OutputFormat::Kind::text) {
    for (const Json& tool : tools) {
      ToolFunction function = function_of(tool);
      if (!choice.name || function.name == *choice.name) {
        format.tools.push_back(std::move(function));
      }
    }
    format.several_calls = call.parallel_calls && !choice.name;
  }
  call.chat.tools = std::move(tools);
}

void apply_effort(ChatCall& call, const Effort& effort) {
  if (!effort.think) call.chat.kwargs["enable_thinking"] = false;
  call.params.think_budget = effort.budget;
}

Json read_messages(const Json& messages, const std::string& path) {
  const auto fail = [&](const char* expected) {
    throw ApiError({.message = fmt::format("'{}': expected {}", path, expected),
                    .param = path,
                    .code = "invalid_value"});
  };
  if (!messages.is_array()) fail("a list of messages");
  if (messages.empty()) fail("at least one message");
  Json out = Json::array();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Fields message(messages[i], fmt::format("{}[{}]", path, i));
    message.at("role");
    std::string role = *message.string("role");
    if (role == "developer") role = "system";
    if (role == "function") role = "tool";
    if (role != "system" && role != "user" && role != "assistant" && role != "tool") {
      message.fail("role", "system, developer, user, assistant or tool");
    }
    Json m = {{"role", role}, {"content", read_content(message)}};
    for (const char* key : {"name", "tool_call_id"}) {
      if (auto value = message.string(key)) m[key] = std::move(*value);
    }
    if (role == "assistant") {
      auto reasoning = message.string("reasoning_content");
      if (!reasoning) reasoning = message.string("reasoning");
      if (reasoning) m["reasoning_content"] = std::move(*reasoning);
      if (message.has("tool_calls")) {
        Json calls = read_tool_calls(message);
        if (!calls.empty()) m["tool_calls"] = std::move(calls);
      }
    }
    out.push_back(std::move(m));
  }
  return out;
}

ChatCall read_chat_call(const Json& body, const SamplingParams& defaults, const Json& kwargs) {
  const Fields f(body);
  refuse_unsupported(f);
  ChatCall call;
  call.model = f.string("model").value_or("");
  call.chat.messages = read_messages(f.at("messages"), "messages");
  call.chat.kwargs = kwargs;
  call.chat.add_generation_prompt = f.boolean("add_generation_prompt", true);
  if (const Json* documents = f.find("documents")) call.chat.documents = *documents;
  call.params = read_sampling(f, defaults);
  if (const auto most =
          f.integer("max_completion_tokens", 1, std::numeric_limits<std::int64_t>::max())) {
    call.params.max_tokens = static_cast<std::size_t>(*most);
  }
  read_thinking(f, call);
  read_logprobs(f, call.params);
  call.parallel_calls = f.boolean("parallel_tool_calls", true);
  if (f.has("response_format")) call.params.format = read_format(f.object("response_format"));
  use_tools(call, f.has("tools") ? f.at("tools") : Json(), read_tool_choice(f));
  call.n = read_choices(f);
  call.streaming = read_streaming(f);
  return call;
}

}  // namespace zaya
