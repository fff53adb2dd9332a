#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "text/output_event.h"
#include "text/tools/arguments.h"
#include "text/tools/literal.h"
#include "text/tools/lookahead.h"
#include "text/tools/tool_set.h"

namespace zaya {

/// Finds the tool calls in one stream of text, in ZAYA1's form
///
///   <zyphra_tool_call>
///   <function=NAME>
///   <parameter=P>
///   VALUE
///   </parameter>
///   </function>
///   </zyphra_tool_call>
///
/// and in the forms that models make of it (docs/tool-calls.md). Everything else is text, given out
/// as `content` events; the calls are numbered from 0 and have no ids. What comes out does not
/// depend on the pieces that went in.
class ToolCallReader {
 public:
  explicit ToolCallReader(std::shared_ptr<const ToolSet> tools) : tools_(std::move(tools)) {}

  /// `text` must be well-formed UTF-8.
  void push(std::string_view text, std::vector<OutputEvent>& events);
  /// No more text comes. `cut_off`: the output was ended from outside, so that what is at its end
  /// may be half of what the model meant. An open call is closed.
  void finish(bool cut_off, std::vector<OutputEvent>& events);

  /// Bytes of the text that are settled: given out, or part of a call.
  std::size_t settled() const { return base_; }
  /// Where in the text the first call begins, once there is one.
  std::optional<std::size_t> first_call() const { return first_call_; }

 private:
  enum class State { text, body, value, bracketed, after_call };
  enum class Wrapper { none, zyphra, other };
  enum class Form { tags, keywords, json };

  struct Opening {
    Wrapper wrapper = Wrapper::none;
    Form form = Form::tags;
    std::string name = {};
    std::size_t length = 0;  // up to the body, or to the bracket
  };
  // An argument that is being read.
  struct Argument {
    std::string name;
    ArgumentValue value;
    bool nested;         // <name>, <value> rather than <parameter=NAME>
    bool again;          // there is one of this name already
    bool begun = false;  // its key was given out
    int functions = 0;   // calls inside of the value that are open
    int wrappers = 0;
  };
  // A part in brackets, which is read as a whole.
  struct Bracketed {
    Opening opening;       // its bracket is at opening.length
    bool is_body = false;  // the arguments of a call that has begun
    BracketFinder finder = {};
    std::size_t read = 0;  // bytes that the finder has seen
    std::optional<std::size_t> end = {};
  };

  bool step();
  bool step_text();
  bool step_body();
  bool step_parameter(Lookahead look);
  bool step_value();
  bool step_literal(std::string_view rest);
  bool step_bracketed();
  bool step_after_call();

  Lookahead look() const { return {rest(), last_}; }
  std::string_view rest() const { return std::string_view(held_).substr(position_); }
  std::optional<Opening> opening(Lookahead& look, Wrapper outer) const;
  bool function(Lookahead& look, Opening& opening) const;
  bool cut_in_opening(Wrapper outer) const;
  bool ends_value(Lookahead& look, std::size_t& passed) const;
  bool begins_other_parameter(Lookahead look) const;
  void start(const Opening& opening);
  void resolve(const Bracketed& part, bool whole);
  bool resolve_keywords(const Opening& opening, std::string_view inner, bool whole);
  bool resolve_json_call(const Opening& opening, const Json& json, bool whole);

  void add(OutputEvent::Kind kind, std::string_view text = {}, bool complete = false);
  void begin_call(const std::string& name);
  void end_call(bool complete);
  void begin_argument(std::string name, bool nested);
  void add_value(std::string_view json);
  void end_argument(bool cut);
  void add_members(const Json& object);
  void begin_key(const std::string& name);
  bool close_wrapper(Lookahead& look) const;
  void pass_text(std::size_t bytes);

  std::shared_ptr<const ToolSet> tools_;
  std::vector<OutputEvent>* events_ = nullptr;  // of the push that runs
  bool last_ = false;
  bool cut_off_ = false;

  std::string held_;  // text that is not settled
  std::size_t position_ = 0;
  std::size_t base_ = 0;  // where held_ begins
  std::optional<std::size_t> first_call_;

  State state_ = State::text;
  Wrapper wrapper_ = Wrapper::none;
  std::size_t calls_ = 0;
  const Tool* tool_ = nullptr;
  std::set<std::string, std::less<>> given_;  // arguments of this call
  std::optional<Argument> argument_;
  std::optional<Bracketed> bracketed_;
};

}  // namespace zaya
