#include "text/tools/call_reader.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace zaya {
namespace {

using Kind = OutputEvent::Kind;

constexpr std::string_view kOpen = "<zyphra_tool_call>";
constexpr std::string_view kClose = "</zyphra_tool_call>";
constexpr std::string_view kSquareOpen = "[zyphra_tool_call]";
constexpr std::string_view kSquareClose = "[/zyphra_tool_call]";
constexpr std::string_view kOtherOpen = "<tool_call>";
constexpr std::string_view kOtherClose = "</tool_call>";
constexpr std::string_view kFunction = "<function=";
constexpr std::string_view kNestedFunction = "<function>";
constexpr std::string_view kFunctionClose = "</function>";
constexpr std::string_view kParameter = "<parameter=";
constexpr std::string_view kNestedParameter = "<parameter>";
constexpr std::string_view kParameterClose = "</parameter>";
constexpr std::string_view kValueClose = "</value>";

// A name as it was meant: without spaces, quotes and the slash of <function=NAME/>.
std::string clean_name(std::string_view name) {
  constexpr std::string_view kAround = " \t\r\n\"'/";
  const auto begin = name.find_first_not_of(kAround);
  if (begin == std::string_view::npos) return {};
  return std::string(name.substr(begin, name.find_last_not_of(kAround) - begin + 1));
}

// A function that nobody declared takes strings.
const Tool& undeclared() {
  static const Tool tool("", Json());
  return tool;
}

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
  if (argument_) end_argument(cut_off);
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
  const bool orphans = close_wrapper(closers);
  if (closers.starved()) return false;
  if (orphans) {
    position_ += closers.position();
    return true;
  }
  Lookahead ahead = look();
  const auto found = opening(ahead, Wrapper::none);
  if (ahead.starved()) return false;
  if (found) {
    start(*found);
  } else if (text.starts_with(kOpen) && cut_in_opening(Wrapper::none)) {
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
  Lookahead ahead = look();
  if (close_wrapper(ahead)) {
    position_ += ahead.position();
    end_call(true);
    wrapper_ = Wrapper::none;
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
  if (text.front() == '{' && given_.empty()) {
    bracketed_ = Bracketed{.opening = {.wrapper = wrapper_, .form = Form::json}, .is_body = true};
    state_ = State::bracketed;
    return true;
  }
  const auto next = opening(ahead, wrapper_);
  if (ahead.starved()) return false;
  if (next || wrapper_ == Wrapper::none) {
    end_call(true);
    return true;
  }
  position_ += std::min(text.find_first_of("<[", 1), text.size());
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
    if (!name.empty()) begin_argument(std::move(name), /*nested=*/false);
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
  if (has_value && !name.empty()) begin_argument(std::move(name), /*nested=*/true);
  return true;
}

bool ToolCallReader::step_value() {
  const std::string_view text = rest();
  if (text.empty()) return false;
  if (const std::size_t plain = std::min(text.find_first_of("<["), text.size()); plain > 0) {
    add_value(argument_->value.push(text.substr(0, plain)));
    position_ += plain;
    return true;
  }
  Lookahead ahead = look();
  if (argument_->functions == 0 && argument_->wrappers == 0) {
    std::size_t passed = 0;
    const bool ends = ends_value(ahead, passed);
    if (ahead.starved()) return false;
    if (ends) {
      position_ += passed;
      end_argument(/*cut=*/false);
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
  std::size_t length = 1;
  auto kind = ArgumentValue::Look::plain;
  if (ahead.accept(kFunctionClose)) {
    length = ahead.position();
    if (argument_->functions > 0) --argument_->functions;
  } else if (close_wrapper(ahead)) {
    length = ahead.position();
    if (argument_->functions == 0 && argument_->wrappers > 0) --argument_->wrappers;
  } else if (ahead.accept_one_of(kOpen, kSquareOpen) ||
             (wrapper_ == Wrapper::other && ahead.accept(kOtherOpen))) {
    length = ahead.position();
    ahead.skip_space();
    const bool is_call = ahead.accept_one_of(kFunction, std::string_view("{"));
    if (is_call && argument_->functions == 0) ++argument_->wrappers;
  } else if (ahead.accept(kFunction)) {
    const bool named = !ahead.until("> \n<\"'(").empty() && ahead.accept(">");
    length = ahead.position();
    ahead.skip_space();
    if (named && ahead.accept_one_of(kParameter, kNestedParameter, kFunctionClose)) {
      ++argument_->functions;
    }
  } else if (std::any_of(kLineBreaks.begin(), kLineBreaks.end(),
                         [&](std::string_view tag) { return ahead.accept(tag); })) {
    length = ahead.position();
    kind = ArgumentValue::Look::line_break;
  }
  if (text.size() == 1 && !last_) return false;
  if (ahead.starved()) return false;
  if (kind == ArgumentValue::Look::plain && begins_tag(text)) kind = ArgumentValue::Look::markup;
  add_value(argument_->value.push(text.substr(0, length), kind));
  position_ += length;
  return true;
}

// Whether what comes next ends the value, and how much of it belongs to the value's own closers. A
// closing tag that is not followed by what must follow it in a call is part of the value.
bool ToolCallReader::ends_value(Lookahead& look, std::size_t& passed) const {
  const auto follows = [&](bool parameters) {
    look.skip_space();
    return (parameters && look.accept_one_of(kParameter, kNestedParameter, kFunctionClose)) ||
           look.accept_one_of(kFunction, kNestedFunction, kOpen, kSquareOpen) ||
           close_wrapper(look) || look.at_end();
  };
  if (look.accept(kParameterClose)) {
    passed = look.position();
    return follows(true);
  }
  if (argument_->nested && look.accept(kValueClose)) {
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
  if (close_wrapper(look)) {
    if (look.accept("\n")) return true;
    look.skip_space();
    return look.accept_one_of(kOpen, kSquareOpen) || look.at_end();
  }
  return false;
}

// A declared parameter that was not given yet: then the closing tag of this one was forgotten.
bool ToolCallReader::begins_other_parameter(Lookahead look) const {
  if (!look.accept(kParameter)) return false;
  const std::string name = clean_name(look.until(">\n<"));
  return look.accept(">") && name != argument_->name && tool_->declares(name) &&
         !given_.contains(name);
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
  if (part.end && part.opening.form == Form::keywords) {
    Lookahead tail(text.substr(length), last_);
    tail.skip_space();
    if (tail.accept_one_of(std::string_view("/>"), std::string_view(">"))) {
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
  const bool closes = close_wrapper(ahead);
  if (closes || ahead.accept_one_of(kFunctionClose, kParameterClose)) {
    position_ += ahead.position();
    if (closes) wrapper_ = Wrapper::none;
    return true;
  }
  const auto next = wrapper_ == Wrapper::none ? std::nullopt : opening(ahead, wrapper_);
  if (ahead.starved()) return false;
  if (next) {
    position_ += space;
    Opening here = *next;
    here.length -= space;
    start(here);
    return true;
  }
  if (wrapper_ != Wrapper::none && cut_in_opening(wrapper_)) position_ = held_.size();
  wrapper_ = Wrapper::none;
  state_ = State::text;
  return true;
}

// The beginning of a call. Forms that a text about something else may have must name a declared
// function. `outer`: the wrapper that is open already.
std::optional<ToolCallReader::Opening> ToolCallReader::opening(Lookahead& look,
                                                               Wrapper outer) const {
  Opening found{.wrapper = outer};
  if (look.accept_one_of(kOpen, kSquareOpen)) {
    found.wrapper = Wrapper::zyphra;
  } else if (look.accept(kOtherOpen)) {
    found.wrapper = Wrapper::other;
  }
  const bool wrapped = found.wrapper != Wrapper::none;
  if (wrapped) look.skip_space();
  found.length = look.position();
  if (wrapped && look.accept("{")) {
    found.form = Form::json;
    return found;
  }
  if (!function(look, found)) return std::nullopt;
  found.length = look.position();
  if (found.wrapper == Wrapper::zyphra) return found;
  if (tools_->find(found.name) == nullptr) return std::nullopt;
  if (!wrapped && found.form == Form::tags) {
    look.skip_space();
    if (!look.accept_one_of(kParameter, kNestedParameter, kFunctionClose, std::string_view("{"))) {
      return std::nullopt;
    }
  }
  return found;
}

// <function=NAME>, the same with the > forgotten, <function=NAME(...), <function>NAME.
bool ToolCallReader::function(Lookahead& look, Opening& opening) const {
  if (look.accept(kFunction)) {
    opening.name = clean_name(look.until(">\n<("));
    if (opening.name.empty()) return false;
    if (!look.accept(">")) {
      Lookahead ahead = look;
      if (ahead.accept("(")) opening.form = Form::keywords;
    }
    return true;
  }
  if (!look.accept(kNestedFunction)) return false;
  look.skip_space();
  const bool tagged = look.accept("<name>");
  opening.name = clean_name(look.until("<\n>"));
  if (tagged) look.accept("</name>");
  return !opening.name.empty();
}

// Whether the output was cut off within the beginning of a call.
bool ToolCallReader::cut_in_opening(Wrapper outer) const {
  if (!last_ || !cut_off_) return false;
  Lookahead ahead(rest(), /*last=*/false);
  ahead.skip_space();
  opening(ahead, outer);
  return ahead.starved();
}

void ToolCallReader::start(const Opening& opening) {
  if (opening.form != Form::tags) {
    bracketed_ = Bracketed{.opening = opening};
    state_ = State::bracketed;
    return;
  }
  wrapper_ = opening.wrapper;
  begin_call(opening.name);
  position_ += opening.length;
}

void ToolCallReader::resolve(const Bracketed& part, bool whole) {
  const Opening& opening = part.opening;
  const std::string_view text = rest();
  const std::size_t length = part.end.value_or(text.size());
  const std::string_view inner = text.substr(opening.length, length - opening.length);
  if (opening.form == Form::keywords) {
    if (resolve_keywords(opening, inner.substr(1, inner.size() - (whole ? 2 : 1)), whole)) return;
  } else {
    const auto json = parse_literal(whole ? std::string(inner) : close_json(inner));
    if (part.is_body) {
      if (json && json->is_object()) add_members(*json);
      state_ = State::body;
      return;
    }
    if (json && resolve_json_call(opening, *json, whole)) return;
  }
  const bool drop = !whole && cut_off_ && opening.wrapper == Wrapper::zyphra;
  if (!drop) add(Kind::content, text.substr(0, length));
  wrapper_ = Wrapper::none;
  state_ = State::text;
}

bool ToolCallReader::resolve_keywords(const Opening& opening, std::string_view inner, bool whole) {
  Keywords keywords = parse_keywords(inner);
  // The last one may have been cut.
  if (!whole && cut_off_ && keywords.whole && !keywords.values.empty()) keywords.values.pop_back();
  if (whole ? !keywords.whole : keywords.values.empty() && !cut_off_) return false;
  Json arguments = Json::object();
  for (auto& [name, value] : keywords.values) arguments.emplace(name, std::move(value));
  begin_call(opening.name);
  wrapper_ = opening.wrapper;
  add_members(arguments);
  end_call(whole);
  return true;
}

// {"name": ..., "arguments": {...}}, with the other words that are used for them.
bool ToolCallReader::resolve_json_call(const Opening& opening, const Json& json, bool whole) {
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
  if (opening.wrapper != Wrapper::zyphra && tools_->find(function) == nullptr) return false;
  const Json* given = member(*call, {"arguments", "parameters", "input"});
  std::optional<Json> arguments;
  if (given != nullptr) {
    arguments = given->is_string() ? parse_literal(given->get_ref<const std::string&>()) : *given;
  }
  begin_call(function);
  wrapper_ = opening.wrapper;
  if (arguments && arguments->is_object()) add_members(*arguments);
  end_call(whole);
  return true;
}

void ToolCallReader::add(Kind kind, std::string_view text, bool complete) {
  append_event(*events_, {.kind = kind,
                          .text = std::string(text),
                          .call = kind == Kind::content ? 0 : calls_,
                          .complete = complete});
}

void ToolCallReader::pass_text(std::size_t bytes) {
  add(Kind::content, rest().substr(0, bytes));
  position_ += bytes;
}

void ToolCallReader::begin_call(const std::string& name) {
  if (!first_call_) first_call_ = base_ + position_;
  const Tool* tool = tools_->find(name);
  tool_ = tool != nullptr ? tool : &undeclared();
  given_.clear();
  add(Kind::call_begin, name);
  state_ = State::body;
}

void ToolCallReader::end_call(bool complete) {
  add(Kind::arguments, given_.empty() ? "{}" : "}");
  add(Kind::call_end, {}, complete);
  ++calls_;
  state_ = State::after_call;
}

void ToolCallReader::begin_argument(std::string name, bool nested) {
  const bool again = given_.contains(name);
  const ValueType& type = tool_->type_of(name);
  argument_.emplace(Argument{
      .name = std::move(name), .value = ArgumentValue(type), .nested = nested, .again = again});
  state_ = State::value;
}

void ToolCallReader::begin_key(const std::string& name) {
  add(Kind::arguments, fmt::format("{}\"{}\":", given_.empty() ? '{' : ',', json_escaped(name)));
  given_.insert(name);
}

void ToolCallReader::add_value(std::string_view json) {
  // The first of several values has gone out already.
  if (json.empty() || argument_->again) return;
  if (!std::exchange(argument_->begun, true)) begin_key(argument_->name);
  add(Kind::arguments, json);
}

void ToolCallReader::end_argument(bool cut) {
  if (!cut) {
    add_value(argument_->value.finish());
  } else if (const auto json = argument_->value.cut()) {
    add_value(*json);
  }
  argument_.reset();
  state_ = State::body;
}

void ToolCallReader::add_members(const Json& object) {
  for (const auto& [name, value] : object.items()) {
    if (given_.contains(name)) continue;
    begin_key(name);
    add(Kind::arguments, coerce_json(tool_->type_of(name), value));
  }
}

bool ToolCallReader::close_wrapper(Lookahead& look) const {
  return look.accept_one_of(kClose, kSquareClose) ||
         (wrapper_ == Wrapper::other && look.accept(kOtherClose));
}

}  // namespace zaya
