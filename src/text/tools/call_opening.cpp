#include "text/tools/call_opening.h"

namespace zaya {
namespace {

constexpr std::string_view kSquareOpen = "[zyphra_tool_call]";
constexpr std::string_view kSquareClose = "[/zyphra_tool_call]";
constexpr std::string_view kOtherOpen = "<tool_call>";
constexpr std::string_view kOtherClose = "</tool_call>";

// <function=NAME>, the same with the > forgotten, <function=NAME(...), <function>NAME.
bool accept_function(Lookahead& look, CallOpening& opening) {
  if (look.accept("<function=")) {
    opening.name = clean_name(look.until(">\n<("));
    if (opening.name.empty()) return false;
    if (!look.accept(">")) {
      Lookahead ahead = look;
      if (ahead.accept("(")) opening.form = CallOpening::Form::keywords;
    }
    return true;
  }
  if (!look.accept("<function>")) return false;
  look.skip_space();
  const bool tagged = look.accept("<name>");
  opening.name = clean_name(look.until("<\n>"));
  if (tagged) look.accept("</name>");
  return !opening.name.empty();
}

}  // namespace

std::optional<CallOpening> find_opening(Lookahead& look, CallWrapper outer, const ToolSet& tools) {
  CallOpening found{.wrapper = outer};
  if (look.accept_one_of(kCallOpen, kSquareOpen)) {
    found.wrapper = CallWrapper::zyphra;
  } else if (look.accept(kOtherOpen)) {
    found.wrapper = CallWrapper::other;
  }
  const bool wrapped = found.wrapper != CallWrapper::none;
  if (wrapped) look.skip_space();
  found.length = look.position();
  if (wrapped && look.accept("{")) {
    found.form = CallOpening::Form::json;
    return found;
  }
  if (!accept_function(look, found)) return std::nullopt;
  found.length = look.position();
  if (found.wrapper == CallWrapper::zyphra) return found;
  if (tools.find(found.name) == nullptr) return std::nullopt;
  if (!wrapped && found.form == CallOpening::Form::tags) {
    look.skip_space();
    if (!look.accept_one_of("<parameter=", "<parameter>", "</function>", "{")) return std::nullopt;
  }
  return found;
}

bool accept_closer(Lookahead& look, CallWrapper wrapper) {
  return look.accept_one_of(kCallClose, kSquareClose) ||
         (wrapper == CallWrapper::other && look.accept(kOtherClose));
}

bool accept_opener(Lookahead& look, CallWrapper wrapper) {
  return look.accept_one_of(kCallOpen, kSquareOpen) ||
         (wrapper == CallWrapper::other && look.accept(kOtherOpen));
}

std::string clean_name(std::string_view name) {
  constexpr std::string_view kAround = " \t\r\n\"'/";
  const auto begin = name.find_first_not_of(kAround);
  if (begin == std::string_view::npos) return {};
  return std::string(name.substr(begin, name.find_last_not_of(kAround) - begin + 1));
}

}  // namespace zaya
