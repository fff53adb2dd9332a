#include "text/chat.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/file.h"
#include "zaya/error.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxTemplateBytes = 16U << 20;

// The variables that the program itself passes; a special token or a keyword of the same name does
// not replace them.
constexpr const char* kOwnVariables[] = {"messages", "tools", "documents", "add_generation_prompt"};

std::optional<Json> read_if_present(const fs::path& path) {
  if (!fs::exists(path)) return std::nullopt;
  return read_json_file(path);
}

// A special token is a string, or an object that holds it with its flags.
const std::string* token_text(const Json& value) {
  if (value.is_string()) return value.get_ptr<const std::string*>();
  if (!value.is_object()) return nullptr;
  const auto content = value.find("content");
  return content != value.end() && content->is_string() ? content->get_ptr<const std::string*>()
                                                        : nullptr;
}

void add_special_tokens(Json& tokens, const Json& from) {
  if (!from.is_object()) return;
  for (const auto& [key, value] : from.items()) {
    if (key.ends_with("_token")) {
      if (const std::string* text = token_text(value)) tokens.emplace(key, *text);
    } else if (key == "extra_special_tokens" || key == "model_specific_special_tokens") {
      add_special_tokens(tokens, value);
    } else if (key == "additional_special_tokens" && value.is_array()) {
      Json list = Json::array();
      for (const Json& token : value) {
        if (const std::string* text = token_text(token)) list.push_back(*text);
      }
      tokens.emplace(key, std::move(list));
    }
  }
}

[[noreturn]] void fail_form(const std::string& where, const char* what, const char* expected,
                            const Json& found) {
  throw Error({.where = where, .what = what, .expected = expected, .found = found.type_name()});
}

void check_request(const ChatRequest& request) {
  if (!request.messages.is_array()) {
    fail_form("messages", "wrong JSON type", "a list of messages", request.messages);
  }
  for (std::size_t i = 0; i < request.messages.size(); ++i) {
    const Json& message = request.messages[i];
    const std::string where = fmt::format("messages[{}]", i);
    if (!message.is_object()) {
      fail_form(where, "wrong JSON type", "an object with role and content", message);
    }
    const auto role = message.find("role");
    if (role == message.end() || !role->is_string()) {
      throw Error({.where = where, .what = "the message has no role"});
    }
  }
  if (!request.tools.is_null() && !request.tools.is_array()) {
    fail_form("tools", "wrong JSON type", "a list of functions", request.tools);
  }
  if (!request.documents.is_null() && !request.documents.is_array()) {
    fail_form("documents", "wrong JSON type", "a list of documents", request.documents);
  }
  if (!request.kwargs.is_object()) {
    fail_form("kwargs", "wrong JSON type", "an object", request.kwargs);
  }
}

}  // namespace

void ChatTemplate::add(std::string name, std::string source, const std::string& where) {
  jinja::Template parsed(source, where);
  templates_.push_back({std::move(name), std::move(source), std::move(parsed)});
}

ChatTemplate ChatTemplate::builtin() {
  ChatTemplate out;
  out.add("default", builtin_chat_template(), "built-in chat template");
  out.special_tokens_ = {{"bos_token", "<bos>"}, {"eos_token", "<|im_end|>"}};
  return out;
}

ChatTemplate ChatTemplate::load(const fs::path& folder, const fs::path& file) {
  if (!fs::is_directory(folder)) {
    throw Error({.where = folder.string(), .what = "no such model folder"});
  }
  ChatTemplate out;
  const fs::path config_path = folder / "tokenizer_config.json";
  const std::optional<Json> config = read_if_present(config_path);
  if (config && !config->is_object()) {
    fail_form(config_path.string(), "wrong JSON type", "an object", *config);
  }
  if (config) add_special_tokens(out.special_tokens_, *config);
  if (const auto map = read_if_present(folder / "special_tokens_map.json")) {
    add_special_tokens(out.special_tokens_, *map);
  }

  // A string, or a list of {name, template}.
  const auto add_all = [&](const Json& value, const std::string& where) {
    if (value.is_string()) {
      out.add("default", value.get<std::string>(), where);
      return;
    }
    if (!value.is_array())
      fail_form(where, "wrong JSON type", "a template or a list of them", value);
    for (std::size_t i = 0; i < value.size(); ++i) {
      const JsonView named(value[i], fmt::format("{}[{}]", where, i));
      const std::string name = named.string("name");
      out.add(name, named.string("template"), fmt::format("{} '{}'", where, name));
    }
  };
  const fs::path jinja_path = file.empty() ? folder / "chat_template.jinja" : file;
  const auto has_template = [](const std::optional<Json>& json) {
    return json && json->is_object() && json->contains("chat_template") &&
           !json->at("chat_template").is_null();
  };
  if (!file.empty() || fs::exists(jinja_path)) {
    out.add("default", read_file(jinja_path, kMaxTemplateBytes), jinja_path.string());
  } else if (has_template(config)) {
    add_all(config->at("chat_template"), config_path.string() + ": chat_template");
  } else if (const auto json = read_if_present(folder / "chat_template.json"); has_template(json)) {
    add_all(json->at("chat_template"), (folder / "chat_template.json").string());
  }
  if (out.templates_.empty()) {
    ChatTemplate own = builtin();
    for (const auto& [key, value] : out.special_tokens_.items()) own.special_tokens_[key] = value;
    own.notes_.push_back(fmt::format("{} has no chat template; the built-in ZAYA1 template is used",
                                     folder.string()));
    return own;
  }
  const bool has_default = std::any_of(out.templates_.begin(), out.templates_.end(),
                                       [](const Named& t) { return t.name == "default"; });
  if (!has_default) {
    throw Error({.where = config_path.string(),
                 .what = "no chat template is named 'default'",
                 .found = fmt::format("'{}'", out.templates_.front().name)});
  }
  return out;
}

const ChatTemplate::Named& ChatTemplate::pick(bool with_tools) const {
  const auto named = [&](const char* name) {
    return std::find_if(templates_.begin(), templates_.end(),
                        [&](const Named& t) { return t.name == name; });
  };
  if (with_tools) {
    if (const auto found = named("tool_use"); found != templates_.end()) return *found;
  }
  return *named("default");
}

const std::string& ChatTemplate::source(bool with_tools) const {
  return pick(with_tools).source;
}

std::string ChatTemplate::render(const ChatRequest& request,
                                 const jinja::RenderOptions& options) const {
  check_request(request);
  Json variables = special_tokens_;
  for (const auto& [key, value] : request.kwargs.items()) variables[key] = value;
  for (const char* own : kOwnVariables) {
    if (request.kwargs.contains(own)) {
      throw Error({.where = "kwargs", .what = fmt::format("'{}' has a place of its own", own)});
    }
  }
  variables["messages"] = request.messages;
  variables["tools"] = request.tools;
  variables["documents"] = request.documents;
  variables["add_generation_prompt"] = request.add_generation_prompt;
  return pick(!request.tools.is_null()).parsed.render(variables, options);
}

}  // namespace zaya
