#include "cli/chat_file.h"

#include <limits>

#include <fmt/format.h>

#include "base/file.h"
#include "zaya/error.h"

namespace zaya::cli {
namespace {

constexpr const char* kFormat = "zaya-chat";
constexpr int kVersion = 1;
constexpr std::uint64_t kMaxBytes = 256ULL << 20;
constexpr std::int64_t kMaxCount = std::numeric_limits<std::int32_t>::max();

Json settings_json(const SavedChat& chat) {
  const SamplingParams& p = chat.sampling;
  Json json = {{"think", chat.think},
               {"temperature", p.temperature},
               {"top_k", p.top_k},
               {"top_p", p.top_p},
               {"min_p", p.min_p},
               {"repetition_penalty", p.repetition_penalty},
               {"presence_penalty", p.presence_penalty},
               {"frequency_penalty", p.frequency_penalty}};
  if (p.max_tokens) json["max_tokens"] = *p.max_tokens;
  if (p.think_budget) json["think_budget"] = *p.think_budget;
  return json;
}

void read_settings(const JsonView& view, SavedChat& chat) {
  SamplingParams& p = chat.sampling;
  chat.think = view.boolean("think", chat.think);
  p.temperature = view.number("temperature", p.temperature);
  p.top_k = static_cast<std::size_t>(
      view.integer("top_k", 0, kMaxCount, static_cast<std::int64_t>(p.top_k)));
  p.top_p = view.number("top_p", p.top_p);
  p.min_p = view.number("min_p", p.min_p);
  p.repetition_penalty = view.number("repetition_penalty", p.repetition_penalty);
  p.presence_penalty = view.number("presence_penalty", p.presence_penalty);
  p.frequency_penalty = view.number("frequency_penalty", p.frequency_penalty);
  const auto count = [&](const char* key, std::optional<std::size_t>& to) {
    if (view.has(key)) to = static_cast<std::size_t>(view.integer(key, 0, kMaxCount));
  };
  count("max_tokens", p.max_tokens);
  count("think_budget", p.think_budget);
  try {
    validate(p, std::numeric_limits<TokenId>::max());
  } catch (const Error& e) {
    Error::Detail detail = e.detail();
    detail.where = fmt::format("{}: {}", view.where(), detail.where);
    throw Error(detail);
  }
}

// One message, rebuilt from the keys we know.
Json read_message(const JsonView& view, const std::string& expected_role) {
  const std::string role = view.string("role");
  if (role != expected_role) view.fail("role", fmt::format("\"{}\"", expected_role));
  Json message = {{"role", role}, {"content", view.string("content")}};
  if (view.has("reasoning_content") && role == "assistant") {
    message["reasoning_content"] = view.string("reasoning_content");
  }
  return message;
}

Json read_messages(const JsonView& view) {
  const Json& list = view.at("messages");
  if (!list.is_array()) view.fail("messages", "a list of messages");
  Json messages = Json::array();
  std::string expected = "user";
  for (std::size_t i = 0; i < list.size(); ++i) {
    const JsonView message(list[i], fmt::format("{}: messages[{}]", view.where(), i));
    if (i == 0 && message.string("role") == "system") {
      messages.push_back(read_message(message, "system"));
      continue;
    }
    messages.push_back(read_message(message, expected));
    expected = expected == "user" ? "assistant" : "user";
  }
  if (expected == "assistant") view.fail("messages", "the assistant's answer at the end");
  return messages;
}

}  // namespace

void save_chat(const std::filesystem::path& path, const SavedChat& chat) {
  const Json json = {{"format", kFormat},
                     {"version", kVersion},
                     {"settings", settings_json(chat)},
                     {"messages", chat.messages}};
  write_file(path, json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

SavedChat load_chat(const std::filesystem::path& path, const SavedChat& now) {
  const Json json = read_json_file(path, kMaxBytes);
  const JsonView view(json, path.string());
  if (view.string("format", "") != kFormat) {
    view.fail("format", fmt::format("\"{}\", as /save writes it", kFormat));
  }
  view.integer("version", kVersion, kVersion);
  SavedChat chat = now;
  chat.messages = read_messages(view);
  if (view.has("settings")) read_settings(view.object("settings"), chat);
  return chat;
}

}  // namespace zaya::cli
