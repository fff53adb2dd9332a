#include "server/chat_output.h"

#include <utility>

#include "server/reply_parts.h"
#include "server/sampling_fields.h"

namespace zaya {

using Kind = OutputEvent::Kind;

ChatOutput::ChatOutput(const Options& options)
    : parallel_calls_(options.parallel_calls),
      with_reasoning_(options.reasoning),
      parser_({.tools = options.tools, .id_seed = random_seed()}) {}

bool ChatOutput::wanted(const OutputEvent& event) const {
  if (event.kind == Kind::reasoning) return with_reasoning_;
  if (event.kind == Kind::content) return true;
  return parallel_calls_ || event.call == 0;
}

void ChatOutput::take(const OutputEvent& event) {
  switch (event.kind) {
    case Kind::reasoning:
      reasoning_ += event.text;
      break;
    case Kind::content:
      content_ += event.text;
      break;
    case Kind::call_begin:
      calls_.push_back({.id = event.id, .name = event.text, .arguments = {}});
      break;
    case Kind::arguments:
      calls_.back().arguments += event.text;
      break;
    case Kind::call_end:
      calls_.back().complete = event.complete;
      break;
  }
}

std::vector<OutputEvent> ChatOutput::push(const RequestEvent& event) {
  TextPiece piece;
  if (event.token) piece = event.token->text;
  piece.reasoning += event.rest.reasoning;
  piece.answer += event.rest.answer;
  std::vector<OutputEvent> events = parser_.push(piece.reasoning, piece.answer);
  if (event.finish) {
    for (OutputEvent& last : parser_.finish(*event.finish != FinishReason::stop)) {
      append_event(events, std::move(last));
    }
  }
  std::erase_if(events, [&](const OutputEvent& e) { return !wanted(e); });
  for (const OutputEvent& e : events) take(e);
  if (event.finish) {
    finish_reason_ = openai_finish_reason(*event.finish);
    if (finish_reason_ == "stop" && !calls_.empty()) finish_reason_ = "tool_calls";
    stop_string_ = event.stop_string;
  }
  return events;
}

}  // namespace zaya
