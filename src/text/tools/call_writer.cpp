#include "text/tools/call_writer.h"

#include <utility>

#include <fmt/format.h>

namespace zaya {
namespace {

using Kind = OutputEvent::Kind;

// A function that nobody declared takes strings.
const Tool& undeclared() {
  static const Tool tool("", Json());
  return tool;
}

}  // namespace

void CallWriter::begin_call(const std::string& name, std::vector<OutputEvent>& events) {
  const Tool* tool = tools_->find(name);
  tool_ = tool != nullptr ? tool : &undeclared();
  given_.clear();
  add(Kind::call_begin, name, events);
}

void CallWriter::end_call(bool complete, std::vector<OutputEvent>& events) {
  add(Kind::arguments, given_.empty() ? "{}" : "}", events);
  append_event(events, {.kind = Kind::call_end, .call = calls_++, .complete = complete});
}

void CallWriter::begin_argument(std::string name) {
  const bool again = given_.contains(name);
  const ValueType& type = tool_->type_of(name);
  argument_.emplace(
      Argument{.name = std::move(name), .value = ArgumentValue(type), .again = again});
}

void CallWriter::push_value(std::string_view text, ArgumentValue::Look look,
                            std::vector<OutputEvent>& events) {
  add_value(argument_->value.push(text, look), events);
}

void CallWriter::end_argument(bool cut, std::vector<OutputEvent>& events) {
  if (!cut) {
    add_value(argument_->value.finish(), events);
  } else if (const auto json = argument_->value.cut()) {
    add_value(*json, events);
  }
  argument_.reset();
}

void CallWriter::add_arguments(const Json& object, std::vector<OutputEvent>& events) {
  for (const auto& [name, value] : object.items()) {
    if (given_.contains(name)) continue;
    add_key(name, events);
    add(Kind::arguments, coerce_json(tool_->type_of(name), value), events);
  }
}

bool CallWriter::lacks(const std::string& parameter) const {
  return tool_->declares(parameter) && !given_.contains(parameter) &&
         !(argument_ && argument_->name == parameter);
}

void CallWriter::add(Kind kind, std::string_view text, std::vector<OutputEvent>& events) {
  append_event(events, {.kind = kind, .text = std::string(text), .call = calls_});
}

void CallWriter::add_key(const std::string& name, std::vector<OutputEvent>& events) {
  add(Kind::arguments, fmt::format("{}\"{}\":", given_.empty() ? '{' : ',', json_escaped(name)),
      events);
  given_.insert(name);
}

void CallWriter::add_value(std::string_view json, std::vector<OutputEvent>& events) {
  if (json.empty() || argument_->again) return;
  if (!std::exchange(argument_->begun, true)) add_key(argument_->name, events);
  add(Kind::arguments, json, events);
}

}  // namespace zaya
