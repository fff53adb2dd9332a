#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/random.h"
#include "text/output_parser.h"
#include "text/utf8.h"

namespace zaya::test {

/// Any text is an output: reasoning and content, separated by a zero byte, or content alone. The
/// first byte says whether it was cut off, the second where it is cut into pieces. Traps when the
/// pieces make a difference, when calls are not whole and in order, when arguments are no JSON
/// object, or when there is text that is not UTF-8. For the fuzz target, and for the tests over its
/// corpus.
inline void check_tool_calls(std::string_view input) {
  static const auto tools = std::make_shared<const ToolSet>(parse_json(R"([
    {"function": {"name": "f", "parameters": {"properties": {
      "s": {"type": "string"}, "t": {"type": "string"}, "i": {"type": "integer"},
      "n": {"type": "number"}, "b": {"type": "boolean"}, "a": {"type": "array"},
      "o": {"type": "object"}, "u": {"type": ["string", "number", "null", "array"]},
      "e": {"enum": ["x", 1, null]}, "r": {"$ref": "#"}}}}},
    {"name": "g"}])",
                                                                       "tools"));
  if (input.size() < 2) return;
  const bool cut_off = (input[0] & 1) != 0;
  Random random(static_cast<unsigned char>(input[1]));
  input.remove_prefix(2);
  const std::size_t zero = input.find('\0');
  const std::string_view reasoning =
      zero == std::string_view::npos ? std::string_view() : input.substr(0, zero);
  const std::string_view content = zero == std::string_view::npos ? input : input.substr(zero + 1);

  const auto events_of = [&](bool in_pieces) {
    OutputParser parser({.tools = tools});
    std::vector<OutputEvent> events;
    const auto take = [&](std::vector<OutputEvent> more) {
      for (OutputEvent& event : more) append_event(events, std::move(event));
    };
    const auto push = [&](std::string_view text, bool is_reasoning) {
      while (!text.empty()) {
        const std::size_t size =
            in_pieces ? std::min<std::size_t>(text.size(), 1 + random.next() % 12) : text.size();
        const std::string_view piece = text.substr(0, size);
        take(is_reasoning ? parser.push(piece, {}) : parser.push({}, piece));
        text.remove_prefix(size);
      }
    };
    push(reasoning, true);
    push(content, false);
    take(parser.finish(cut_off));
    return events;
  };

  const std::vector<OutputEvent> events = events_of(false);
  if (events_of(true) != events) __builtin_trap();
  std::size_t calls = 0;
  bool open = false;
  std::string arguments;
  for (const OutputEvent& event : events) {
    if (find_invalid_utf8(event.text) != std::string_view::npos) __builtin_trap();
    switch (event.kind) {
      case OutputEvent::Kind::call_begin:
        if (open || event.call != calls || event.text.empty() || event.id.empty()) __builtin_trap();
        open = true;
        arguments.clear();
        break;
      case OutputEvent::Kind::arguments:
        if (!open || event.call != calls) __builtin_trap();
        arguments += event.text;
        break;
      case OutputEvent::Kind::call_end:
        if (!open || event.call != calls) __builtin_trap();
        if (!Json::parse(arguments).is_object()) __builtin_trap();  // throws when it is no JSON
        open = false;
        ++calls;
        break;
      case OutputEvent::Kind::reasoning:
      case OutputEvent::Kind::content:
        if (open) __builtin_trap();
        break;
    }
  }
  if (open) __builtin_trap();
}

}  // namespace zaya::test
