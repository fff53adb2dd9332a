#include "text/tools/call_reader.h"

#include <algorithm>
#include <utility>

namespace zaya {
namespace {

using Kind = OutputEvent::Kind;

constexpr std::string_view kFunction = "<function=";
constexpr std::string_view kNestedFunction = "<function>";
constexpr std::string_view kFunctionClose = "</function>";
constexpr std::string_view kParameter = "<parameter=";
constexpr std::string_view kNestedParameter = "<parameter>";
constexpr std::string_view kParameterClose = "</parameter>";
constexpr std::string_view kValueClose = "</value>";

const Json* member(const Json& object, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    if (const auto found = object.find(key); found != object.end()) return &*found;
  }
  return nullptr;
}

}  // namespace

void ToolCallReader::push(std::string_view text, std::vector<OutputEvent>& events) {
  events_ = &events;
  held_ += text;
  while (step()) {
  }
  held_.erase(0, position_);
  base_ += std::exchange(position_, 0);
}

void ToolCallReader::finish(bool cut_off, std::vector<OutputEvent>& events) {
  last_ = true;
  cut_off_ = cut_off;
  push({}, events);
  if (writer_.in_argument()) writer_.end_argument(cut_off, events);
  if (state_ == State::body || state_ == State::value) end_call(false);
  state_ = State::text;
}

bool ToolCallReader::step() {
  switch (state_) {
    case State::text:
      return step_text();
    case State::body:
      return step_body();
    case State::value:
      return step_value();
    case State::bracketed:
      return step_bracketed();
    case State::after_call:
      return step_after_call();
  }
  return false;
}

bool ToolCallReader::step_text() {
  const std::string_view text = rest();
  if (text.empty()) return false;
  if (const std::size_t plain = std::min(text.find_first_of("<["), text.size()); plain > 0) {
    pass_text(plain);
    return true;
  }
  Lookahead closers = look();
  closers.accept(kParameterClose);
  closers.skip_space();
  closers.accept(kFunctionClose);
  closers.skip_space();
  const bool orphans = accept_closer(closers, wrapper_);
  if (closers.starved()) return false;
  if (orphans) {
    position_ += closers.position();
    return true;
  }
  Lookahead ahead = look();
  const auto found = find_opening(ahead, CallWrapper::none, *tools_);
  if (ahead.starved()) return false;
  if (found) {
    start(*found);
  } else if (cut_in_opening(CallWrapper::none)) {
    position_ = held_.size();
  } else {
    pass_text(1);
  }
  return true;
}

// Between the parameters of a call. What belongs to no parameter is passed over.
bool ToolCallReader::step_body() {
  while (position_ < held_.size() &&
         std::string_view(" \t\r\n").find(held_[position_]) != std::string_view::npos) {
    ++position_;
  }
  const std::string_view text = rest();
  if (text.empty()) return false;
  if (text.front() == '{' && std::exchange(body_begins_, false)) {
    bracketed_ = Bracketed{.opening = {.wrapper = wrapper_, .form = CallOpening::Form::json},
                           .is_body = true};
    state_ = State::bracketed;
    return true;
  }
  if (text.front() != '<' && text.front() != '[') return pass_garbage();
  Lookahead ahead = look();
  if (accept_closer(ahead, wrapper_)) {
    position_ += ahead.position();
    end_call(true);
    wrapper_ = CallWrapper::none;
    return true;
  }
  if (ahead.accept(kFunctionClose)) {
    // <function>NAME</function> with the parameters after it: the name's tag was closed.
    Lookahead more = ahead;
    more.skip_space();
    const bool goes_on = more.accept_one_of(kParameter, kNestedParameter);
    if (more.starved()) return false;
    position_ += ahead.position();
    if (!goes_on) end_call(true);
    return true;
  }
  if (ahead.accept(kParameterClose)) {
    position_ += ahead.position();
    return true;
  }
  if (Lookahead copy = ahead; copy.accept_one_of(kParameter, kNestedParameter)) {
    return step_parameter(ahead);
  } else if (copy.starved()) {
    return false;
  }
  const auto next = find_opening(ahead, wrapper_, *tools_);
  if (ahead.starved()) return false;
  if (!next) return pass_garbage();
  end_call(true);
  return true;
}

// Text that belongs to no parameter. Without a wrapper to wait for, it comes after the call.
bool ToolCallReader::pass_garbage() {
  if (wrapper_ == CallWrapper::none) {
    end_call(true);
  } else {
    body_begins_ = false;
    position_ += std::min(rest().find_first_of("<[", 1), rest().size());
  }
  return true;
}

bool ToolCallReader::step_parameter(Lookahead look) {
  const auto pass = [&] {
    if (look.starved()) return false;
    position_ += std::max<std::size_t>(look.position(), 1);
    return true;
  };
  if (look.accept(kParameter)) {
    std::string name = clean_name(look.until(">\n<"));
    look.accept(">");
    if (!pass()) return false;
    if (!name.empty()) begin_value(std::move(name), /*nested=*/false);
    return true;
  }
  // <parameter> <name>NAME</name> <type>...</type> <value>VALUE</value> </parameter>
  std::string name;
  bool has_value = false;
  if (look.accept(kNestedParameter)) {
    for (bool more = true; more;) {
      look.skip_space();
      more = false;
      if (look.accept("<name>")) {
        name = clean_name(look.until("<"));
        more = look.accept("</name>");
      } else if (look.accept("<type>")) {
        look.until("<");
        more = look.accept("</type>");
      } else if (look.accept("<description>")) {
        look.until("<");
        more = look.accept("</description>");
      } else {
        has_value = look.accept("<value>");
      }
    }
  }
  if (!pass()) return false;
  if (has_value && !name.empty()) begin_value(std::move(name), /*nested=*/true);
  return true;
}

bool ToolCallReader::step_value() {
  const std::string_view text = rest();
  if (text.empty()) return false;
  if (const std::size_t plain = std::min(text.find_first_of("<["), text.size()); plain > 0) {
    writer_.push_value(text.substr(0, plain), ArgumentValue::Look::plain, *events_);
    position_ += plain;
    return true;
  }
  Lookahead ahead = look();
  if (value_.functions == 0 && value_.wrappers == 0) {
    std::size_t passed = 0;
    const bool ends = ends_value(ahead, passed);
    if (ahead.starved()) return false;
    if (ends) {
      position_ += passed;
      writer_.end_argument(/*cut=*/false, *events_);
      state_ = State::body;
      return true;
    }
  }
  if (last_ && text.size() > 1 && kParameterClose.starts_with(text)) {
    position_ = held_.size();
    return true;
  }
  return step_literal(text);
}

// At a '<' or '[' that belongs to the value. A whole call in a value, as in a text about calls, is
// passed up to its own end.
bool ToolCallReader::step_literal(std::string_view text) {
  Lookahead ahead = look();
  Value after = value_;
  std::size_t length = 1;
  auto kind = begins_tag(text) ? ArgumentValue::Look::markup : ArgumentValue::Look::plain;
  if (ahead.accept(kFunctionClose)) {
    length = ahead.position();
    if (after.functions > 0) --after.functions;
  } else if (accept_closer(ahead, wrapper_)) {
    length = ahead.position();
    if (after.functions == 0 && after.wrappers > 0) --after.wrappers;
  } else if (accept_opener(ahead, wrapper_)) {
    length = ahead.position();
    ahead.skip_space();
    if (ahead.accept_one_of(kFunction, "{") && after.functions == 0) ++after.wrappers;
  } else if (ahead.accept(kFunction)) {
    const bool named = !ahead.until("> \n<\"'(").empty() && ahead.accept(">");
    length = ahead.position();
    ahead.skip_space();
    if (named && ahead.accept_one_of(kParameter, kNestedParameter, kFunctionClose)) {
      ++after.functions;
    }
  } else if (std::any_of(kLineBreaks.begin(), kLineBreaks.end(),
                         [&](std::string_view tag) { return ahead.accept(tag); })) {
    length = ahead.position();
    kind = ArgumentValue::Look::line_break;
  }
  // One byte does not tell whether a tag begins.
  if (ahead.starved() || (text.size() == 1 && !last_)) return false;
  value_ = after;
  writer_.push_value(text.substr(0, length), kind, *events_);
  position_ += length;
  return true;
}

// Whether what comes next ends the value, and how much of it belongs to the value's own closers. A
// closing tag that is not followed by what must follow it in a call is part of the value.
bool ToolCallReader::ends_value(Lookahead& look, std::size_t& passed) const {
  const auto follows = [&](bool parameters) {
    look.skip_space();
    return (parameters && look.accept_one_of(kParameter, kNestedParameter, kFunctionClose)) ||
           look.accept_one_of(kFunction, kNestedFunction) || accept_opener(look, wrapper_) ||
           accept_closer(look, wrapper_) || look.at_end();
  };
  if (look.accept(kParameterClose)) {
    passed = look.position();
    return follows(true);
  }
  if (value_.nested && look.accept(kValueClose)) {
    passed = look.position();
    look.skip_space();
    if (look.accept(kParameterClose)) {
      passed = look.position();
      return true;
    }
    return follows(true);
  }
  if (begins_other_parameter(look)) return true;
  if (look.accept(kParameter)) {
    look.until(">\n<");  // its name must be there before it is known to be another one's
    return false;
  }
  if (look.accept(kFunctionClose)) return follows(false);
  if (accept_closer(look, wrapper_)) {
    if (look.accept("\n")) return true;
    look.skip_space();
    return accept_opener(look, wrapper_) || look.at_end();
  }
  return false;
}

// A declared parameter that was not given yet: then the closing tag of this one was forgotten.
bool ToolCallReader::begins_other_parameter(Lookahead look) const {
  if (!look.accept(kParameter)) return false;
  const std::string name = clean_name(look.until(">\n<"));
  return look.accept(">") && writer_.lacks(name);
}

bool ToolCallReader::step_bracketed() {
  Bracketed& part = *bracketed_;
  const std::string_view text = rest();
  const std::size_t begin = part.opening.length;
  if (!part.end) {
    const std::size_t from = begin + part.read;
    const auto end = part.finder.read(text.substr(from));
    part.read = text.size() - begin;
    if (end) part.end = from + *end;
  }
  if (!part.end && !last_) return false;
  std::size_t length = part.end.value_or(text.size());
  if (part.end && part.opening.form == CallOpening::Form::keywords) {
    Lookahead tail(text.substr(length), last_);
    tail.skip_space();
    if (tail.accept_one_of("/>", ">")) {
      length += tail.position();
    }
    if (tail.starved()) return false;
  }
  const Bracketed whole = *std::exchange(bracketed_, std::nullopt);
  resolve(whole, whole.end.has_value());
  position_ += length;
  return true;
}

// What follows a call: its remaining closing tags, or another call in its wrapper.
bool ToolCallReader::step_after_call() {
  Lookahead ahead = look();
  ahead.skip_space();
  const std::size_t space = ahead.position();
  const bool closes = accept_closer(ahead, wrapper_);
  if (closes || ahead.accept_one_of(kFunctionClose, kParameterClose)) {
    position_ += ahead.position();
    if (closes) wrapper_ = CallWrapper::none;
    return true;
  }
  const auto next =
      wrapper_ == CallWrapper::none ? std::nullopt : find_opening(ahead, wrapper_, *tools_);
  if (ahead.starved()) return false;
  if (next) {
    position_ += space;
    CallOpening here = *next;
    here.length -= space;
    start(here);
    return true;
  }
  if (wrapper_ != CallWrapper::none && cut_in_opening(wrapper_)) position_ = held_.size();
  wrapper_ = CallWrapper::none;
  state_ = State::text;
  return true;
}

// Whether the output was cut off within the beginning of a call.
bool ToolCallReader::cut_in_opening(CallWrapper outer) const {
  if (!last_ || !cut_off_) return false;
  Lookahead ahead(rest(), /*last=*/false);
  ahead.skip_space();
  Lookahead wrapper = ahead;
  if (outer == CallWrapper::none && !accept_opener(wrapper, outer)) return false;
  find_opening(ahead, outer, *tools_);
  return ahead.starved();
}

void ToolCallReader::start(const CallOpening& opening) {
  if (opening.form != CallOpening::Form::tags) {
    bracketed_ = Bracketed{.opening = opening};
    state_ = State::bracketed;
    return;
  }
  begin_call(opening, opening.name);
  position_ += opening.length;
}

void ToolCallReader::resolve(const Bracketed& part, bool whole) {
  const CallOpening& opening = part.opening;
  const std::string_view text = rest();
  const std::size_t length = part.end.value_or(text.size());
  const std::string_view inner = text.substr(opening.length, length - opening.length);
  if (opening.form == CallOpening::Form::keywords) {
    if (resolve_keywords(opening, inner.substr(1, inner.size() - (whole ? 2 : 1)), whole)) return;
  } else {
    const auto json = parse_literal(whole ? std::string(inner) : close_json(inner));
    if (part.is_body) {
      if (json && json->is_object()) writer_.add_arguments(*json, *events_);
      state_ = State::body;
      return;
    }
    if (json && resolve_json(opening, *json, whole)) return;
  }
  const bool drop = !whole && cut_off_ && opening.wrapper == CallWrapper::zyphra;
  if (!drop) {
    append_event(*events_, {.kind = Kind::content, .text = std::string(text.substr(0, length))});
  }
  wrapper_ = CallWrapper::none;
  state_ = State::text;
}

bool ToolCallReader::resolve_keywords(const CallOpening& opening, std::string_view inner,
                                      bool whole) {
  Keywords keywords = parse_keywords(inner);
  // The last one may have been cut.
  if (!whole && cut_off_ && keywords.whole && !keywords.values.empty()) keywords.values.pop_back();
  if (whole ? !keywords.whole : keywords.values.empty() && !cut_off_) return false;
  Json arguments = Json::object();
  for (auto& [name, value] : keywords.values) arguments.emplace(name, std::move(value));
  begin_call(opening, opening.name);
  writer_.add_arguments(arguments, *events_);
  end_call(whole);
  return true;
}

// {"name": ..., "arguments": {...}}, with the other words that are used for them.
bool ToolCallReader::resolve_json(const CallOpening& opening, const Json& json, bool whole) {
  if (!json.is_object()) return false;
  const Json* call = &json;
  const Json* name = member(json, {"name", "function"});
  if (name != nullptr && name->is_object()) {
    call = name;
    name = member(*call, {"name"});
  }
  if (name == nullptr || !name->is_string()) return false;
  const auto& function = name->get_ref<const std::string&>();
  if (function.empty()) return false;
  if (opening.wrapper != CallWrapper::zyphra && tools_->find(function) == nullptr) return false;
  const Json* given = member(*call, {"arguments", "parameters", "input"});
  std::optional<Json> arguments;
  if (given != nullptr && given->is_string()) {
    arguments = parse_literal(given->get_ref<const std::string&>());
  } else if (given != nullptr) {
    arguments = *given;
  }
  begin_call(opening, function);
  if (arguments && arguments->is_object()) writer_.add_arguments(*arguments, *events_);
  end_call(whole);
  return true;
}

void ToolCallReader::begin_call(const CallOpening& opening, const std::string& name) {
  if (!first_call_) first_call_ = base_ + position_;
  wrapper_ = opening.wrapper;
  writer_.begin_call(name, *events_);
  state_ = State::body;
  body_begins_ = true;
}

void ToolCallReader::end_call(bool complete) {
  writer_.end_call(complete, *events_);
  state_ = State::after_call;
}

void ToolCallReader::begin_value(std::string name, bool nested) {
  writer_.begin_argument(std::move(name));
  value_ = {.nested = nested};
  state_ = State::value;
  body_begins_ = false;
}

void ToolCallReader::pass_text(std::size_t bytes) {
  append_event(*events_, {.kind = Kind::content, .text = std::string(rest().substr(0, bytes))});
  position_ += bytes;
}

}  // namespace zaya
