#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/output_event.h"
#include "text/tools/call_opening.h"
#include "text/tools/call_writer.h"
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
  explicit ToolCallReader(std::shared_ptr<const ToolSet> tools)
      : tools_(tools), writer_(std::move(tools)) {}

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
  // Where the text of an argument ends.
  struct Value {
    bool nested = false;  // at </value> rather than </parameter>
    int functions = 0;    // calls inside of it that are open
    int wrappers = 0;
  };
  // A part in brackets, which is read as a whole.
  struct Bracketed {
    CallOpening opening;   // its bracket is at opening.length
    bool is_body = false;  // the arguments of a call that has begun
    BracketFinder finder = {};
    std::size_t read = 0;  // bytes that the finder has seen
    std::optional<std::size_t> end = {};
  };

  bool step();
  bool step_text();
  bool step_body();
  bool pass_garbage();
  bool step_parameter(Lookahead look);
  bool step_value();
  bool step_literal(std::string_view text);
  bool step_bracketed();
  bool step_after_call();

  Lookahead look() const { return {rest(), last_}; }
  std::string_view rest() const { return std::string_view(held_).substr(position_); }
  bool cut_in_opening(CallWrapper outer) const;
  bool ends_value(Lookahead& look, std::size_t& passed) const;
  bool begins_other_parameter(Lookahead look) const;
  void start(const CallOpening& opening);
  void resolve(const Bracketed& part, bool whole);
  bool resolve_keywords(const CallOpening& opening, std::string_view inner, bool whole);
  bool resolve_json(const CallOpening& opening, const Json& json, bool whole);
  void begin_call(const CallOpening& opening, const std::string& name);
  void end_call(bool complete);
  void begin_value(std::string name, bool nested);
  void pass_text(std::size_t bytes);

  std::shared_ptr<const ToolSet> tools_;
  std::vector<OutputEvent>* events_ = nullptr;  // of the push that runs
  bool last_ = false;
  bool cut_off_ = false;

  std::string held_;  // text that is not settled
  std::size_t position_ = 0;
  std::size_t base_ = 0;  // where held_ begins
  std::optional<std::size_t> first_call_;

  CallWriter writer_;
  State state_ = State::text;
  CallWrapper wrapper_ = CallWrapper::none;
  bool body_begins_ = false;  // nothing of the call's body was read yet
  Value value_;
  std::optional<Bracketed> bracketed_;
};

}  // namespace zaya
