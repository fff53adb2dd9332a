#pragma once

#include <string>
#include <string_view>

#include "server/api_error.h"
#include "server/chat_call.h"
#include "server/completion_call.h"
#include "server/messages_call.h"
#include "server/responses_call.h"
#include "text/chat.h"

namespace zaya {

/// What anybody may send as a body to any route: it is understood, or refused with one error that
/// can be sent back. A conversation that was understood can be rendered, or the template refuses
/// it.
inline void check_request(std::string_view body) {
  static const ChatTemplate chat = ChatTemplate::builtin();
  const Json kwargs = Json::object();
  const auto attempt = [](const auto& read) {
    try {
      read();
    } catch (const ApiError& error) {
      parse_json(to_wire(error_json(error.detail(), Dialect::openai)), "error");
      parse_json(to_wire(error_json(error.detail(), Dialect::anthropic)), "error");
    } catch (const Error&) {
      // Of the template.
    }
  };
  Json json;
  attempt([&] { json = parse_body(body); });
  if (!json.is_object()) return;
  attempt([&] { chat.render(read_chat_call(json, {}, kwargs).chat); });
  attempt([&] { read_completion_call(json, {}); });
  attempt([&] { chat.render(read_responses_call(json, {}, kwargs).chat.chat); });
  attempt([&] { chat.render(read_messages_call(json, {}, kwargs).chat); });
}

}  // namespace zaya
