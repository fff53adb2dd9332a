#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zaya {

/// What a model's output says, piece by piece. Every text is well-formed UTF-8.
struct OutputEvent {
  enum class Kind {
    reasoning,   ///< `text`: more of the reasoning
    content,     ///< `text`: more of the answer
    call_begin,  ///< a tool call: `call`, `id`, and the function's name in `text`
    arguments,   ///< `text`: more of the arguments of `call`
    call_end,    ///< the arguments of `call`, joined, are the text of a JSON object
  };

  Kind kind = Kind::content;
  std::string text = {};
  std::size_t call = 0;   ///< which call of this output: 0, 1, ... Calls do not overlap.
  std::string id = {};    ///< of call_begin
  bool complete = false;  ///< of call_end: false when the output ended before the call did

  bool operator==(const OutputEvent&) const = default;
};

/// Appends an event; text goes to the last event when that is of the same kind.
inline void append_event(std::vector<OutputEvent>& events, OutputEvent event) {
  using Kind = OutputEvent::Kind;
  const bool is_text =
      event.kind == Kind::reasoning || event.kind == Kind::content || event.kind == Kind::arguments;
  if (is_text && event.text.empty()) return;
  if (is_text && !events.empty() && events.back().kind == event.kind) {
    events.back().text += event.text;
  } else {
    events.push_back(std::move(event));
  }
}

}  // namespace zaya
